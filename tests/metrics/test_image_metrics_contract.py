"""One contract for the metrics of images, videos, points and waveforms."""

import json
import math

import numpy as np
import pytest
import torch

import equipoise.metrics as metrics
from equipoise.metrics.latent_path import squared_distance
from equipoise.metrics.measure import Measure, compare

UNIT = (0.0, 1.0)
RATE = 8000
RESOLUTIONS = (metrics.Resolution(64, 16, 48),)
WALK = metrics.LatentWalk(synthesis=lambda z: torch.tanh(z @ torch.eye(3, 48)), z_dim=3)


def draw(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def images(seed):
    return draw(64, 3, 16, 16, seed=seed)


def videos(seed):
    return draw(4, 4, 3, 8, 8, seed=seed)


def clouds(seed):
    return draw(6, 9, 3, seed=seed)


def waves(seed):
    return draw(4, 400, seed=seed) - 0.5


def features(seed):
    return draw(40, 5, seed=seed)


def scores(index, distance):
    return lambda a, b: metrics.point_cloud_scores(a, b, distance=distance)[index]


def pixels(batch):
    return [batch]


# name: (inputs, measure of two sets, its value for the same set twice or None)
PAIRS = {
    "ssim": (images, lambda a, b: metrics.ssim(a, b, data_range=UNIT), 1),
    "ms_ssim": (images, lambda a, b: metrics.ms_ssim(a, b, data_range=UNIT), 1),
    "psnr": (images, lambda a, b: metrics.psnr(a, b, data_range=UNIT), math.inf),
    "feature_distance_pixels": (
        images, lambda a, b: metrics.feature_distance(a, b, pixels, features_name="pixels"), 0,
    ),
    "sliced_wasserstein": (features, metrics.sliced_wasserstein, 0),
    "sliced_wasserstein_patches": (
        images, lambda a, b: metrics.sliced_wasserstein_patches(a, b, patches=4, directions=9), 0,
    ),
    "frame_change_pixels": (videos, lambda a, b: metrics.frame_change(a, b, data_range=UNIT), 1),
    "flicker_pixels": (videos, lambda a, b: metrics.flicker(a, b, data_range=UNIT), 1),
    "coverage_chamfer": (clouds, scores(0, "chamfer"), 1),
    "coverage_emd": (clouds, scores(0, "emd"), 1),
    "minimum_matching_distance_chamfer": (clouds, scores(1, "chamfer"), 0),
    "minimum_matching_distance_emd": (clouds, scores(1, "emd"), 0),
    "one_nn_accuracy_chamfer": (clouds, scores(2, "chamfer"), 0),
    "one_nn_accuracy_emd": (clouds, scores(2, "emd"), 0),
    "multi_resolution_stft": (
        waves,
        lambda a, b: metrics.multi_resolution_stft(
            a, b, sample_rate=RATE, resolutions=RESOLUTIONS
        ),
        0,
    ),
    "mel_error": (
        waves,
        lambda a, b: metrics.mel_error(
            a, b, sample_rate=RATE, resolution=RESOLUTIONS[0], bands=8
        ),
        0,
    ),
}  # fmt: skip
# of one set alone
SINGLE = {
    "ms_ssim_diversity": (images, lambda a: metrics.ms_ssim_diversity(a, data_range=UNIT)),
    "warping_error": (
        videos,
        lambda a: metrics.warping_error(a, torch.zeros(4, 3, 2, 8, 8), data_range=UNIT),
    ),
    "path_length_squared": (
        features,
        lambda a: metrics.path_length(
            WALK, squared_distance, distance_name="squared",
            rule=metrics.PathRule(space="z", n=40, arc="any"),
        ),
    ),
    "eq_t": (
        images,
        lambda a: metrics.translation_equivariance(lambda z, to: z, a.split(16), data_range=UNIT),
    ),
    "eq_t_frac": (
        images,
        lambda a: metrics.translation_equivariance(
            lambda z, to: z, a.split(16), data_range=UNIT, fractional=True
        ),
    ),
    "eq_r": (
        images,
        lambda a: metrics.rotation_equivariance(
            lambda z, angle: z.repeat(1, 1, 2, 2), a[:4].split(2), data_range=UNIT
        ),
    ),
}  # fmt: skip
CALLS = {
    name: (lambda make=make, take=take: take(make(0), make(1)), make, take)
    for name, (make, take, _) in PAIRS.items()
} | {name: (lambda make=make, take=take: take(make(0)), make, take)
     for name, (make, take) in SINGLE.items()}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_measure_holds_plain_finite_numbers_and_its_convention(name):
    measure = CALLS[name][0]()
    assert isinstance(measure, Measure)
    assert measure.name == name
    assert type(measure.value) is float
    assert math.isfinite(measure.value)
    assert measure.low < measure.value < measure.high
    assert measure.error > 0
    assert any(key in measure.convention for key in ("n", "n_real"))
    json.dumps([dict(measure.convention), dict(measure.parts)])
    assert all(isinstance(v, float | int) for v in measure.parts.values())


@pytest.mark.parametrize("name", CALLS)
def test_measuring_repeats_itself_and_leaves_the_random_state_and_inputs(name):
    _, make, take = CALLS[name]
    inputs = [make(0), make(1)][: 2 if name in PAIRS else 1]
    kept = [t.clone() for t in inputs]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = take(*inputs)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert all(torch.equal(a, b) for a, b in zip(inputs, kept, strict=True))
    assert compare(first, take(*inputs)) == 0


@pytest.mark.parametrize("name", PAIRS)
def test_the_same_set_twice_is_at_the_named_value(name):
    make, take, expected = PAIRS[name]
    assert take(make(0), make(0)).value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_numpy_and_tensors_with_gradients_are_read_alike(name):
    make, take, _ = PAIRS[name]
    value = take(make(0), make(1)).value
    assert take(make(0).numpy(), make(1).numpy()).value == pytest.approx(value)
    assert take(make(0).requires_grad_(), make(1)).value == pytest.approx(value)


@pytest.mark.parametrize("name", PAIRS)
def test_the_first_broken_item_is_named(name):
    make, take, _ = PAIRS[name]
    broken = make(1)
    broken[3].flatten()[0] = math.nan
    with pytest.raises(ValueError, match=r"(image|video|cloud|waveform|row) 3 holds NaN"):
        take(make(0), broken)
