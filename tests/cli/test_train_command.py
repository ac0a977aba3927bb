"""`train` and `resume` end to end on tiny runs: what is left, what is said, dry runs, images."""

import json

import numpy as np
import pytest
from PIL import Image

from equipoise.recipe import load, parse, preset_names
from equipoise.record import Trace

TINY = (
    *("--set", "kimg=2", "--set", "evaluation.every_kimg=1", "--set", "evaluation.samples=100"),
    *("--set", "generator.width=8", "--set", "discriminator.width=8"),
)


def test_a_run_leaves_recipe_trace_samples_checkpoint_and_verdict(equipoise_says, here):
    said = equipoise_says("train", "ring", *TINY, "--run-dir", "run", "--seed", "3")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "run directory: run"
    assert lines[1].startswith("step 8/16  modes ")
    assert any(line.startswith("2.0 kimg in ") and "mode_kl" in line for line in lines)
    verdict = json.loads((here / "run" / "diagnosis.json").read_text())["verdict"]
    assert any(line.startswith(verdict.upper()) for line in lines)
    assert lines[-1] == "look:     equipoise report run"
    recipe = load(here / "run")
    assert (recipe.seed, recipe.kimg, recipe.generator.width) == (3, 2.0, 8)
    trace = Trace.read(here / "run")
    assert trace.last_step == 16
    assert trace.blobs
    assert all((here / "run" / blob.path).is_file() for blob in trace.blobs)
    assert [p.name for p in (here / "run" / "checkpoints").iterdir()] == [
        "step-00000016.safetensors"
    ]


def test_a_finished_run_is_refused_again_and_resumes_to_the_same_end(equipoise_says, here):
    assert equipoise_says("train", "ring", *TINY, "--run-dir", "run", "--no-progress").code == 0
    result = json.loads((here / "run" / "result.json").read_text())
    again = equipoise_says("train", "ring", *TINY, "--run-dir", "run")
    assert again.code == 2
    assert "equipoise resume run" in again.err
    assert equipoise_says("resume", "run").code == 0
    assert json.loads((here / "run" / "result.json").read_text())["metrics"] == result["metrics"]


def test_no_progress_prints_the_end_alone(equipoise_says):
    said = equipoise_says("train", "ring", *TINY, "--run-dir", "run", "--no-progress")
    assert not any(line.startswith("step ") for line in said.out.splitlines())
    assert "2.0 kimg in " in said.out


def test_without_a_run_dir_the_folder_is_named_after_recipe_and_time(equipoise_says, here):
    said = equipoise_says("train", "ring", *TINY)
    (folder,) = (here / "runs").iterdir()
    assert said.out.startswith(f"run directory: runs/{folder.name}\n")
    assert folder.name.startswith("ring-2")


CHANGES = {
    "as it is": (),
    "changed": ("--set", "batch=32", "--seed", "7", "--kimg", "1.5"),
    "nothing averaged": (
        "--set",
        "ema.half_life_kimg=null",
        "--set",
        "optimizer.generator.lr=1e-4",
    ),
}


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("preset", preset_names())
def test_a_dry_run_prints_the_recipe_that_would_be_played(equipoise_says, here, preset, changes):
    said = equipoise_says("train", preset, *CHANGES[changes], "--dry-run")
    assert (said.code, said.err) == (0, "")
    expected = load(preset)
    if changes == "changed":
        expected = expected.edit({"batch": 32, "seed": 7, "kimg": 1.5})
    elif changes == "nothing averaged":
        expected = expected.edit({"ema.half_life_kimg": None, "optimizer.generator.lr": 1e-4})
    assert parse(said.out) == expected
    assert list(here.iterdir()) == []


def test_a_dry_run_can_be_played_as_a_file(equipoise_says, here):
    text = equipoise_says("train", "digits", "--set", "batch=16", "--dry-run").out
    (here / "mine.yaml").write_text(text)
    assert equipoise_says("train", "mine.yaml", "--dry-run").out == text


@pytest.fixture
def pictures(here):
    """Twenty small images of more than one size and mode, one of them in a subfolder."""
    random = np.random.default_rng(0)
    (here / "my pictures" / "more").mkdir(parents=True)
    for number in range(20):
        pixels = random.integers(0, 255, (20 + number, 40, 4), np.uint8)
        image = Image.fromarray(pixels, "RGBA").convert(("RGBA", "RGB", "L", "P")[number % 4])
        folder = here / "my pictures" / ("more" if number == 7 else "")
        image.save(folder / f"{number}.png")
    return here / "my pictures"


SMALL = ("--set", "kimg=0.2", "--set", "data.resolution=8", *TINY[2:], "--set", "batch=16")


def test_images_of_ones_own_are_trained_on(equipoise_says, here, pictures):
    said = equipoise_says("train", "images", "--data", "my pictures", *SMALL, "--run-dir", "run")
    assert (said.code, said.err) == (0, "")
    assert "frechet_pixels" in said.out
    reals = np.load(here / "run" / "samples" / "samples-real-00000000.npy")
    assert reals.shape == (20, 3, 8, 8)
    assert load(here / "run").data.path == str(pictures)  # resume may be called from elsewhere


def test_a_folder_named_images_needs_no_option(equipoise_says, here, pictures):
    pictures.rename(here / "images")
    assert equipoise_says("train", "images", *SMALL, "--run-dir", "run").code == 0


def test_a_recipe_of_ones_own_takes_a_folder_too(equipoise_says, here, pictures):
    (here / "mine.yaml").write_text("base: images\nname: mine\ndata: {resolution: 16}\n")
    said = equipoise_says("train", "mine.yaml", "--data", "my pictures", "--dry-run")
    recipe = parse(said.out)
    assert (recipe.data.path, recipe.data.resolution) == (str(pictures), 16)


def test_a_preset_can_be_turned_to_images_by_hand(equipoise_says, pictures):
    by_hand = ("data.kind=folder", "data.resolution=8", "evaluation.metrics=[pixels]")
    settings = [word for setting in by_hand for word in ("--set", setting)]
    primary = ("--set", "evaluation.primary=frechet_pixels")
    said = equipoise_says(
        "train", "digits", "--data", "my pictures", *settings, *primary, "--dry-run"
    )
    assert parse(said.out).data.path == str(pictures)


def test_warnings_go_to_stderr_and_stop_nothing(equipoise_says, pictures):
    flipped = ("--set", "data.augment.flip=true", "--dry-run")
    said = equipoise_says("train", "images", *flipped)
    assert said.code == 0
    assert said.err.startswith("warning: data.augment changes the reals alone")
    assert said.err.count("\n") == 1
    assert parse(said.out).data.augment.flip
