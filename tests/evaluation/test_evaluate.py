"""From samples on disk to measures: streams, cache, presets, blind spots, errors."""

import json

import numpy as np
import pytest
import torch

from equipoise.data.digits import digits
from equipoise.data.samples import open_samples
from equipoise.errors import DataError
from equipoise.evaluation import MEASURES, PRESETS, evaluate
from equipoise.evaluation.gather import SHARD, Cache, gather
from equipoise.features import extractor

RNG = np.random.default_rng(0)
QUICK = {"check_blind_spots": False}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Digits shuffled and cut in two, and one half of few different ones."""
    folder = tmp_path_factory.mktemp("images")
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
    levels = ((digits()[order].permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    np.save(folder / "real.npy", levels[:900])
    np.save(folder / "fake.npy", levels[900:])
    np.save(folder / "few.npy", np.repeat(levels[900:930], 30, axis=0))
    np.save(folder / "train.npy", levels[900:1200])
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    np.save(folder / "real.npy", RNG.normal(size=(400, 6)).astype(np.float32))
    np.save(folder / "fake.npy", RNG.normal(size=(300, 6)).astype(np.float32) + 0.5)
    return folder


def test_a_fresh_sample_is_near_and_few_digits_are_not(images):
    fresh = evaluate(images / "fake.npy", images / "real.npy", features="digits_cnn", **QUICK)
    few = evaluate(images / "few.npy", images / "real.npy", features="digits_cnn", **QUICK)
    value = {
        name: (fresh.measures[name].value, few.measures[name].value) for name in fresh.measures
    }
    assert value["frechet_digits_cnn"][0] < 0.3 < 1 < value["frechet_digits_cnn"][1]
    assert value["recall_digits_cnn"][0] > 0.85 > 0.1 > value["recall_digits_cnn"][1]
    assert value["duplicates_digits_cnn"][0] < 0.05 < 1 == value["duplicates_digits_cnn"][1]
    assert fresh.measures["frechet_digits_cnn"].convention["resize"] == "none"


def test_rows_are_features_already(rows):
    found = evaluate(rows / "fake.npy", rows / "real.npy", metrics=["frechet"], **QUICK)
    (measure,) = found.measures.values()
    assert measure.name == "frechet_given"
    assert measure.parts["mean"] == pytest.approx(6 * 0.25, rel=0.2)
    assert measure.convention["n_fake"] == 300


NEEDS = {"cmmd": "norm 1"}


@pytest.mark.parametrize("name", [n for n in MEASURES if n not in ("fid", "kid", "cmmd")])
def test_every_metric_measures(rows, name):
    train = {"train": rows / "fake.npy"} if MEASURES[name].needs_train else {}
    found = evaluate(
        rows / "fake.npy", rows / "real.npy", metrics=[name], subset_size=50, **train, **QUICK
    )
    assert found.measures
    for key, measure in found.measures.items():
        assert key == measure.name
        assert "given" in key
        assert measure.convention["features"] == "given"
        assert measure.value == measure.value


def test_cmmd_is_of_embeddings_of_norm_1(rows, tmp_path):
    for name in ("real", "fake"):
        array = np.load(rows / f"{name}.npy")
        np.save(tmp_path / f"{name}.npy", array / np.linalg.norm(array, axis=1, keepdims=True))
    found = evaluate(tmp_path / "fake.npy", tmp_path / "real.npy", metrics=["cmmd"], **QUICK)
    assert found.measures["cmmd_given"].value > 0
    with pytest.raises(ValueError, match="norm"):
        evaluate(rows / "fake.npy", rows / "real.npy", metrics=["cmmd"], **QUICK)


def test_blind_spots_are_told(images):
    found = evaluate(images / "few.npy", images / "real.npy", features="digits_cnn")
    spots = found.blind_spots
    assert spots.n == 450
    frechet, recall = spots.scores["frechet_digits_cnn"], spots.scores["recall_digits_cnn"]
    assert frechet["gaussian"] < 1e-6 < frechet["fresh"]
    assert frechet["copies"] < 1e-6
    assert recall["collapsed"] < 0.05 < 0.8 < recall["fresh"]
    assert any("cannot tell a Gaussian" in line for line in spots.warnings)


def test_fakes_that_sit_in_a_blind_spot_are_not_trusted(rows, tmp_path):
    """Twelve points, moved to the reals' own mean and covariance: a perfect Frechet distance."""
    from equipoise.evaluation.blind_spots import matched

    real = torch.from_numpy(np.load(rows / "real.npy")).double()
    points = torch.randn(12, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    np.save(tmp_path / "fake.npy", matched(points.repeat(25, 1), real).numpy())
    found = evaluate(tmp_path / "fake.npy", rows / "real.npy", metrics=["frechet"])
    assert found.measures["frechet_given"].value < 1e-6
    (line,) = [w for w in found.all_warnings() if "cannot be trusted" in w]
    assert line.startswith("frechet_given cannot be trusted here")
    assert "recall_given" in line


def test_too_few_samples_have_no_blind_spots(rows, tmp_path):
    np.save(tmp_path / "few.npy", RNG.normal(size=(30, 6)))
    found = evaluate(tmp_path / "few.npy", rows / "real.npy", metrics=["frechet"])
    assert found.blind_spots is None


class Counting(torch.nn.Module):
    """Features that count the images they were asked for, and may fail at one of them."""

    def __init__(self, fails_after=10**9):
        super().__init__()
        self.register_buffer("weight", torch.ones(1))
        self.seen, self.fails_after = 0, fails_after

    def forward(self, images):
        self.seen += len(images)
        if self.seen > self.fails_after:
            raise KeyboardInterrupt
        return images.float().flatten(1)[:, :5] + 1.0


def counted(network):
    return extractor(network, name="counted")


def test_what_was_interrupted_goes_on_where_it_stopped(tmp_path):
    pixels = RNG.integers(0, 256, (3 * SHARD // 2, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    samples, cache = open_samples(tmp_path / "x.npy"), Cache(tmp_path / "cache")
    plain = gather(samples, counted(Counting()), batch=64, seed=0)
    with pytest.raises(KeyboardInterrupt):
        gather(samples, counted(Counting(SHARD + 100)), batch=64, seed=0, cache=cache)
    for rest in (SHARD // 2, 0):
        network = Counting()
        side = gather(samples, counted(network), batch=64, seed=0, cache=cache)
        assert network.seen == rest
        assert torch.equal(side.features, plain.features)
        assert torch.equal(side.moments.mean, plain.moments.mean)
    assert gather(samples, counted(Counting()), batch=64, seed=0, cache=cache, limit=1100).n == 1100


def test_functions_that_a_name_alone_tells_apart_are_never_cached(tmp_path):
    np.save(tmp_path / "x.npy", RNG.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8))
    samples, cache = open_samples(tmp_path / "x.npy"), Cache(tmp_path / "cache")
    values = [
        gather(samples, extractor(f, name="mine"), batch=8, seed=0, cache=cache).features
        for f in (lambda x: x.float().flatten(1), lambda x: 2 * x.float().flatten(1))
    ]
    assert torch.equal(values[1], 2 * values[0])
    assert not (tmp_path / "cache").exists()


def test_a_damaged_shard_is_made_again(tmp_path):
    np.save(tmp_path / "x.npy", RNG.integers(0, 256, (50, 4, 4, 3), dtype=np.uint8))
    samples, cache = open_samples(tmp_path / "x.npy"), Cache(tmp_path / "cache")
    first = gather(samples, counted(Counting()), batch=64, seed=0, cache=cache)
    (shard,) = (tmp_path / "cache").rglob("*.npy")
    shard.write_bytes(shard.read_bytes()[:200])
    network = Counting()
    again = gather(samples, counted(network), batch=64, seed=0, cache=cache)
    assert network.seen == 50
    assert torch.equal(first.features, again.features)


def test_other_samples_or_features_are_another_entry(tmp_path):
    cache = Cache(tmp_path / "cache")
    places = set()
    for name, pixels in {"a": 0, "b": 1}.items():
        np.save(tmp_path / f"{name}.npy", np.full((5, 4, 4, 3), pixels, np.uint8))
        for features in ("pixels", "patches"):
            places.add(cache.place(open_samples(tmp_path / f"{name}.npy"), extractor(features)))
    assert len(places) == 4


def test_memorization_compares_with_reals_that_were_held_out(images):
    found = evaluate(
        images / "few.npy", images / "real.npy", train=images / "train.npy",
        metrics=["memorization"], features="digits_cnn", **QUICK,
    )  # fmt: skip
    assert found.measures["memorization_copied_digits_cnn"].value == 1.0
    assert found.measures["memorization_ratio_digits_cnn"].value == 0.0


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_refuses_what_differs_from_it(images, name):
    pair = images / "fake.npy", images / "real.npy"
    with pytest.raises(ValueError, match=f"preset {name!r} pins a convention whole"):
        evaluate(*pair, preset=name, k=17)
    with pytest.raises(ValueError, match="metrics = 'vendi'"):
        evaluate(*pair, preset=name, metrics=["vendi"])


def test_prdc_k5_is_the_packages_convention(images):
    found = evaluate(
        images / "fake.npy", images / "real.npy", preset="prdc-k5", features="digits_cnn", **QUICK
    )
    assert found.measures["precision_digits_cnn"].convention["k"] == 5
    assert found.measures["precision_digits_cnn"].convention["ties"] == "lt"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"metrics": ["fjd"]}, "unknown metric 'fjd'"),
        ({"metrics": ["fid"]}, "said of the features 'inception' alone.*'frechet'"),
        ({"metrics": ["memorization"]}, "pass train="),
        ({"preset": "clean"}, "unknown preset 'clean'.*'clean-fid'"),
        ({"features": "incepton"}, "unknown features 'incepton'"),
        ({"features": "given"}, "holds images, and features='given' is for rows"),
    ],
)
def test_what_cannot_be_measured_is_refused(images, given, said):
    with pytest.raises(ValueError, match=said):
        evaluate(images / "fake.npy", images / "real.npy", **given)


def test_samples_that_do_not_fit_are_named(images, rows, tmp_path):
    broken = np.load(rows / "real.npy")
    broken[7, 2] = np.nan
    np.save(tmp_path / "broken.npy", broken)
    np.save(tmp_path / "one.npy", broken[:1])
    for fake, real, features, said in [
        (tmp_path / "broken.npy", rows / "real.npy", None, r"broken.npy\[7\] holds NaN"),
        (tmp_path / "one.npy", rows / "real.npy", None, "holds 1 sample"),
        (rows / "fake.npy", images / "real.npy", "pixels", "holds rows of shape"),
        (images / "fake.npy", None, None, "real is missing"),
    ]:
        with pytest.raises(DataError, match=said):
            evaluate(fake, real, features=features, **QUICK)


def test_the_result_is_plain_json(images):
    found = evaluate(images / "few.npy", images / "real.npy", features="digits_cnn",
                     metrics=["support_size", "frechet"])  # fmt: skip
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["schema"] == 1
    assert plain["measures"]["frechet_digits_cnn"]["parts"]["mean"] > 0
    assert plain["blind_spots"]["scores"]["recall_digits_cnn"]["copies"] == 1.0
    assert plain["warnings"]
