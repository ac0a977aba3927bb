"""One contract for every metric family: names, reals at the good end, noise at the bad, NaN."""

import math
import time

import pytest
import torch

from equipoise.data import open_source
from equipoise.errors import DataError, RecipeError
from equipoise.metrics import FAMILIES, metric_family
from equipoise.metrics.families import averaged_pixels
from equipoise.record import SIGNALS

NAMES = {
    "mixture": ("modes", "fair_modes", "mode_coverage", "high_quality", "mode_kl"),
    "digits_cnn": (
        "frechet_digits_cnn",
        "precision_digits_cnn",
        "recall_digits_cnn",
        "coverage_digits_cnn",
    ),
    "pixels": ("frechet_pixels", "precision_pixels", "recall_pixels", "coverage_pixels"),
}
KIND = {"mixture": "ring", "digits_cnn": "digits", "pixels": "digits"}
generator = torch.Generator


def prepared(family):
    source = open_source(KIND[family])
    order = torch.randperm(1797, generator=generator().manual_seed(0))
    everything = source.reals(1797, 0)[order]
    score = metric_family(family)(everything[:900], source.mixture)
    return score, everything[900:]


def better(name):
    return SIGNALS[f"metric/{name}"].better


def test_every_family_is_under_contract():
    assert set(NAMES) == set(FAMILIES)


@pytest.mark.parametrize("family", NAMES)
def test_names_are_those_of_the_catalogue_and_values_are_floats(family):
    score, fresh = prepared(family)
    scores = score(fresh)
    assert tuple(scores) == NAMES[family]
    for name, value in scores.items():
        assert better(name) in ("lower", "higher")
        assert type(value) is float
        assert math.isfinite(value)


@pytest.mark.parametrize("family", NAMES)
def test_fresh_reals_beat_noise_by_every_name(family):
    score, fresh = prepared(family)
    noise = torch.rand(fresh.shape, generator=generator().manual_seed(0)) * 2 - 1
    good, bad = score(fresh), score(noise)
    for name in NAMES[family]:
        assert good[name] < bad[name] if better(name) == "lower" else good[name] > bad[name]


@pytest.mark.parametrize("family", NAMES)
def test_scoring_repeats_itself_and_forgets(family):
    score, fresh = prepared(family)
    first = score(fresh)
    score(-fresh)
    assert score(fresh) == first


@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_generator_scores_nan_by_every_name(family, value):
    score, fresh = prepared(family)
    fakes = fresh.clone()
    fakes[3].flatten()[0] = value
    fakes.requires_grad_()
    scores = score(fakes)
    assert tuple(scores) == NAMES[family]
    assert all(math.isnan(v) for v in scores.values())


@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize("factor", [0.0, 1e6, 1e30, 3e38])
def test_extreme_but_finite_fakes_never_raise(family, factor):
    score, fresh = prepared(family)
    assert tuple(score(fresh.clamp(-1, 1) * factor)) == NAMES[family]


@pytest.mark.parametrize("family", ["digits_cnn", "pixels"])
def test_collapse_to_one_image_keeps_precision_and_loses_coverage(family):
    source = open_source("digits")
    reals = source.reals(1797, 0)
    scores = metric_family(family)(reals, None)(reals[:1].repeat(500, 1, 1, 1))
    assert scores[f"precision_{family}"] == 1
    assert scores[f"recall_{family}"] < 0.01
    assert scores[f"coverage_{family}"] < 0.02


@pytest.mark.parametrize("family", ["digits_cnn", "pixels"])
def test_the_reals_themselves_are_at_the_optimum(family):
    reals = open_source("digits").reals(600, 0)
    scores = metric_family(family)(reals, None)(reals)
    assert scores.pop(f"frechet_{family}") == pytest.approx(0, abs=1e-9)
    assert set(scores.values()) == {1.0}


def test_a_random_half_of_the_digits_scores_as_calibrated():
    score, fresh = prepared("digits_cnn")
    scores = score(fresh)
    assert scores["frechet_digits_cnn"] < 0.5  # noise: 20 and more; a Gaussian in pixels: 11
    assert scores["coverage_digits_cnn"] == pytest.approx(0.96875, abs=0.02)


def test_scoring_all_digits_is_cheap():
    reals = open_source("digits").reals(1797, 0)
    score = metric_family("digits_cnn")(reals, None)
    times = []
    for _ in range(3):
        started = time.process_time()
        score(reals)
        times.append(time.process_time() - started)
    assert min(times) < 0.5  # CPU seconds


def test_pixels_are_area_averages():
    images = torch.rand(2, 3, 32, 16, generator=generator().manual_seed(0))
    pixels = averaged_pixels(images).reshape(2, 3, 8, 8)
    assert torch.allclose(pixels[1, 2, 3, 5], images[1, 2, 12:16, 10:12].mean())
    assert averaged_pixels(torch.zeros(2, 1, 4, 4)).shape == (2, 16)


def test_colour_images_of_any_size_are_scored():
    images = torch.rand(40, 3, 20, 20, generator=generator().manual_seed(0)) * 2 - 1
    scores = metric_family("pixels")(images[:20], None)(images[20:])
    assert all(math.isfinite(v) for v in scores.values())


@pytest.mark.parametrize(
    ("family", "reals", "message"),
    [
        ("mixture", torch.zeros(9, 2), "this data has no known modes"),
        ("digits_cnn", torch.zeros(9, 3, 8, 8), "use 'pixels' for other images"),
        ("digits_cnn", torch.zeros(9, 2), "reads digits"),
        ("pixels", torch.zeros(9, 2), "use 'mixture' for points"),
        ("pixels", torch.zeros(5, 3, 8, 8), "has 5 reals and needs more than 5"),
    ],
)
def test_reals_that_a_family_cannot_read_are_refused(family, reals, message):
    with pytest.raises(DataError, match=message):
        metric_family(family)(reals, None)


def test_an_unknown_family_lists_the_choices():
    with pytest.raises(RecipeError, match=r"family 'pixel'; did you mean 'pixels'\?"):
        metric_family("pixel")
