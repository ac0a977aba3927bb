"""`equipoise evaluate`."""

import json

import numpy as np
import pytest

from equipoise.evaluation import MEASURES

RNG = np.random.default_rng(0)


@pytest.fixture
def sets(here):
    for name in ("real", "fake"):
        np.save(here / f"{name}.npy", RNG.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8))
    np.save(here / "rows.npy", RNG.normal(size=(50, 3)))
    return "fake.npy", "real.npy"


def test_measures_their_convention_and_the_blind_spots_are_said(equipoise_says, sets):
    said = equipoise_says("evaluate", *sets, "--features", "pixels")
    assert said.code == 0
    for part in ("frechet_pixels", "recall_pixels", "120 / 120", "features pixels", "collapsed"):
        assert part in said.out
    assert said.err == ""


def test_json_and_markdown(equipoise_says, sets):
    asked = ("evaluate", *sets, "--features", "pixels", "--metrics", "frechet, vendi")
    said = json.loads(equipoise_says(*asked, "--json").out)
    assert list(said["measures"]) == ["frechet_pixels", "vendi_pixels_fake", "vendi_pixels_real"]
    table = equipoise_says(*asked, "--markdown", "--no-blind-spots").out
    assert "| frechet_pixels | " in table
    assert "recall" not in table


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["nowhere", "real.npy"], "nowhere: no such file or folder"),
        (["fake.npy"], "real is missing"),
        (["fake.npy", "real.npy", "--metrics", "fjd"], "unknown metric 'fjd'"),
        (["fake.npy", "real.npy", "--metrics", "fid"], "ask for 'frechet'"),
        (["fake.npy", "real.npy", "--preset", "clean-fid"], "weights of 'inception'"),
        (
            ["fake.npy", "real.npy", "--preset", "prdc-k5", "--metrics", "vendi"],
            "pins a convention",
        ),
        (["fake.npy", "real.npy", "--json", "--markdown"], "give one of the two"),
        (["rows.npy", "rows.npy", "--features", "pixels"], "features='given'"),
        (["fake.npy", "rows.npy"], "holds images, and features='given'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(equipoise_says, sets, monkeypatch, asked, said):
    monkeypatch.setenv("TORCH_HOME", "nowhere")
    monkeypatch.setenv("HOME", "nowhere")
    answer = equipoise_says("evaluate", *asked)
    assert answer.code == 2
    assert said in " ".join(answer.err.split())
    assert "Traceback" not in answer.err


def test_every_metric_is_listed(equipoise_says):
    said = equipoise_says("list", "metrics").out
    assert all(name in said for name in MEASURES)
    assert "clean-fid" in equipoise_says("list", "conventions").out
    assert "random_conv" in equipoise_says("list", "features").out
