"""PSNR and distances in features against closed forms, a slow twin and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics.reconstruction import (
    feature_distance,
    feature_distance_values,
    mse_values,
    psnr,
    psnr_values,
)

UNIT = (0.0, 1.0)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("data_range", "gap", "expected"),
    [(UNIT, 0.1, 20.0), ((-1, 1), 0.2, 20.0), ((0, 255), 1.0, 48.130803608679106)],
)
def test_a_constant_gap_matches_the_closed_form(data_range, gap, expected):
    x = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    assert float(psnr(x, x + gap, data_range=data_range)) == pytest.approx(expected, abs=1e-9)


def test_psnr_agrees_with_torchmetrics():
    theirs = pytest.importorskip("torchmetrics.functional.image").peak_signal_noise_ratio
    x, y = noise(5, 3, 8, 8), noise(5, 3, 8, 8, seed=1)
    pooled = psnr(x, y, data_range=UNIT, average="pooled")
    assert float(pooled) == pytest.approx(float(theirs(x, y, data_range=1.0)), abs=1e-6)
    each = theirs(x, y, data_range=1.0, dim=(1, 2, 3), reduction="none")
    assert psnr_values(x, y, data_range=UNIT).tolist() == pytest.approx(each.tolist(), abs=1e-6)


def test_pooling_is_another_number_and_never_above():
    x = noise(20, 1, 8, 8)
    y = (x + noise(20, 1, 1, 1, seed=1) * 0.3 * (noise(20, 1, 8, 8, seed=2) - 0.5)).clamp(0, 1)
    one = psnr(x, y, data_range=UNIT)
    pooled = psnr(x, y, data_range=UNIT, average="pooled")
    assert pooled.value < one.value - 0.5
    assert one.parts["pooled"] == pooled.value
    mse = mse_values(x, y, data_range=UNIT)
    se = float(mse.std()) / math.sqrt(20)
    assert pooled.error == pytest.approx(10 / math.log(10) * se / float(mse.mean()))


def test_equal_images_are_infinite_and_it_is_said():
    x, y = noise(3, 1, 8, 8), noise(3, 1, 8, 8, seed=1)
    y[1] = x[1]
    measure = psnr(x, y, data_range=UNIT)
    assert (measure.value, measure.error, measure.low) == (math.inf, None, None)
    assert measure.warnings == ("1 of 3 pairs are equal: their PSNR is infinite",)
    assert math.isfinite(measure.parts["pooled"])
    assert math.isinf(psnr(x, x, data_range=UNIT, average="pooled").value)


@given(seed=st.integers(0, 10**6), shift=st.floats(-3, 3), scale=st.floats(0.5, 200))
@settings(max_examples=20)
def test_psnr_is_of_the_range_alone(seed, shift, scale):
    x, y = noise(3, 2, 5, 5, seed=seed), noise(3, 2, 5, 5, seed=seed + 1)
    base = psnr_values(x, y, data_range=UNIT)
    moved = psnr_values(scale * x + shift, scale * y + shift, data_range=(shift, shift + scale))
    assert torch.allclose(base, moved, atol=1e-8)
    assert torch.allclose(base, psnr_values(y, x, data_range=UNIT))


def stack(images):
    images = images.double()
    return [images, images[:, :1, ::2, ::2].repeat(1, 5, 1, 1) + torch.arange(5.0).view(1, 5, 1, 1)]


def slow_distance(x, y, weights):
    total = 0.0
    for layer, (a, b) in enumerate(zip(stack(x[None]), stack(y[None]), strict=True)):
        a, b = a[0].numpy(), b[0].numpy()
        cells = []
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                u, v = a[:, i, j], b[:, i, j]
                gap = u / np.linalg.norm(u) - v / np.linalg.norm(v)
                cells.append((weights[layer].numpy() * gap**2).sum())
        total += np.mean(cells)
    return total


@pytest.mark.parametrize("weighted", [False, True])
def test_the_feature_distance_matches_its_slow_twin(weighted):
    x, y = noise(4, 3, 6, 6), noise(4, 3, 6, 6, seed=1)
    weights = [noise(3), noise(5)] if weighted else [torch.ones(3), torch.ones(5)]
    measure = feature_distance(
        x, y, stack, features_name="toy", weights=weights if weighted else None
    )
    slow = [slow_distance(a, b, weights) for a, b in zip(x, y, strict=True)]
    assert measure.value == pytest.approx(np.mean(slow), abs=1e-9)
    assert measure.error == pytest.approx(np.std(slow, ddof=1) / 2, rel=1e-6)
    assert measure.name == "feature_distance_toy"
    assert measure.convention["weights"] == ("given" if weighted else "none")


def test_orthogonal_and_opposite_channels_match_the_closed_form():
    x = torch.zeros(1, 2, 3, 3)
    y = torch.zeros(1, 2, 3, 3)
    x[:, 0], y[:, 1] = 5.0, 0.1
    pixels = lambda images: [images]  # noqa: E731 - one line says it
    assert feature_distance(x, y, pixels, features_name="pixels").value == pytest.approx(2)
    assert feature_distance(x, -x, pixels, features_name="pixels").value == pytest.approx(4)


def test_what_it_cannot_see_is_a_common_gain():
    x = noise(3, 4, 6, 6) + 0.1
    pixels = lambda images: [images]  # noqa: E731 - one line says it
    values = feature_distance_values(x, 0.2 * x, pixels)
    assert float(values.max()) < 1e-15
    assert float(feature_distance_values(x, x, pixels).max()) == 0


X = noise(2, 3, 8, 8)
BAD = [
    ({"features_name": "lpips_vgg"}, "without LPIPS's own weights is not LPIPS"),
    ({"weights": [torch.ones(3)]}, "has 1 layers and features gives 2"),
    ({"weights": [torch.ones(4), torch.ones(5)]}, "layer 0 has 4 numbers.*must be 3"),
    ({"weights": [torch.ones(3), -torch.ones(5)]}, "layer 1 .* the least -1"),
    ({"features": lambda images: [images.flatten(1)]}, r"layer 0 gives shape \(2, 192\)"),
    ({"features": lambda images: [images * math.nan]}, "layer 0 holds NaN or infinity"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), BAD)
def test_bad_features_and_weights_are_refused(change, said):
    arguments = {"features": stack, "features_name": "toy"} | change
    with pytest.raises(ValueError, match=said):
        feature_distance(X, X, **arguments)


def test_bad_images_are_refused():
    broken = X.clone()
    broken[1, 0, 0, 0] = math.inf
    with pytest.raises(ValueError, match="second: image 1 holds NaN or infinity"):
        psnr(X, broken, data_range=UNIT)
    with pytest.raises(ValueError, match="grayscale against colour"):
        psnr(X, X[:, :1], data_range=UNIT)
    with pytest.raises(ValueError, match="outside data_range"):
        psnr(X * 255, X * 255, data_range=UNIT)
    with pytest.raises(ValueError, match="did you mean 'pooled'"):
        psnr(X, X, data_range=UNIT, average="pool")
