"""Sliced Wasserstein distances against closed forms, scipy and a slow twin."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics.measure import compare
from equipoise.metrics.sliced import (
    PatchSample,
    blown_up,
    halved,
    laplacian_pyramid,
    sliced_wasserstein,
    sliced_wasserstein_patches,
    wasserstein_powers,
)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(n, channels, side, seed=0):
    coarse = normal(n, channels, side // 4, side // 4, seed=seed)
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")


def shifted(d, order):
    if order == 2:
        return 1 / math.sqrt(d)
    return math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("d", [1, 3, 32])
def test_a_shift_matches_the_closed_form(order, d):
    real = normal(50, d)
    shift = torch.zeros(d, dtype=torch.float64)
    shift[0] = 3.0
    measure = sliced_wasserstein(real, real + shift, order=order, directions=4000)
    error = measure.error or 1e-9  # d = 1 has two directions, of one distance
    assert abs(measure.value - 3 * shifted(d, order)) < 4 * error + 1e-9
    assert error < 0.03


@pytest.mark.parametrize("order", [1, 2])
def test_the_interval_holds_the_closed_form_as_often_as_it_says(order):
    real, shift = normal(2, 5), torch.tensor([1.0, 0, 0, 0, 0])
    held = 0
    for seed in range(300):
        m = sliced_wasserstein(real, real + shift, order=order, directions=64, seed=seed)
        held += m.low <= shifted(5, order) <= m.high
    assert held / 300 == pytest.approx(0.95, abs=0.04)


@given(n=st.integers(1, 12), m=st.integers(1, 12), seed=st.integers(0, 10**6))
@settings(max_examples=60)
def test_one_line_is_exact_for_any_two_sizes(n, m, seed):
    x, y = normal(2, n, seed=seed), normal(2, m, seed=seed + 1)
    first = wasserstein_powers(x, y, 1).tolist()
    slow = [scipy.stats.wasserstein_distance(x[k], y[k]) for k in range(2)]
    assert first == pytest.approx(slow, abs=1e-12)
    same = math.lcm(n, m)
    a, b = (t.repeat_interleave(same // t.shape[1], 1).sort(1).values for t in (x, y))
    assert wasserstein_powers(x, y, 2).tolist() == pytest.approx(
        (a - b).square().mean(1).tolist(), abs=1e-12
    )
    assert torch.allclose(wasserstein_powers(x, y, 2), wasserstein_powers(y, x, 2))


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100), order=st.sampled_from([1, 2]))
@settings(max_examples=20)
def test_a_distance_it_is(seed, scale, order):
    x, y = normal(7, 4, seed=seed), normal(9, 4, seed=seed + 1)

    def take(a, b):
        return float(sliced_wasserstein(a, b, order=order, directions=16))

    assert take(x, x) == 0
    assert take(x, y) == pytest.approx(take(y, x), rel=1e-9)
    assert take(scale * x, scale * y) == pytest.approx(scale * take(x, y), rel=1e-9)
    assert take(x, y) <= take(x, x[:5]) + take(x[:5], y) + 1e-12
    assert take(x.flip(0), y + 0) == pytest.approx(take(x, y), rel=1e-12)


def test_it_sees_what_the_first_two_moments_cannot():
    # 4 tight clusters against 2 wide ones, equal mean and covariance: the blind spot of FID
    corners = torch.tensor([[2.0, 0], [-2, 0], [0, 2], [0, -2]], dtype=torch.float64)
    real = corners.repeat(500, 1) + 0.1 * normal(2000, 2)
    fresh = corners.repeat(500, 1) + 0.1 * normal(2000, 2, seed=1)
    spread = torch.tensor([0.1, math.sqrt(2.01)], dtype=torch.float64)
    fake = corners[:2].repeat(1000, 1) / math.sqrt(2) + spread * normal(2000, 2, seed=2)
    near = sliced_wasserstein(real, fresh, order=1)
    far = sliced_wasserstein(real, fake, order=1)
    assert far.value == pytest.approx(0.44, abs=0.03)
    assert near.value < 0.06


def test_the_pyramid_is_scipy_s_and_gives_the_images_back():
    images = normal(2, 3, 32, 48)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256
    down = scipy.ndimage.convolve(images.numpy(), kernel, mode="mirror")[:, :, ::2, ::2]
    assert np.allclose(halved(images).numpy(), down, atol=1e-12)
    zeros = np.zeros((2, 3, 32, 48))
    zeros[:, :, ::2, ::2] = down
    up = scipy.ndimage.convolve(zeros, 4 * kernel, mode="mirror")
    assert np.allclose(blown_up(halved(images)).numpy(), up, atol=1e-12)
    fine, middle, rest = laplacian_pyramid(images, 3)
    assert torch.allclose(blown_up(blown_up(rest) + middle) + fine, images, atol=1e-12)


def slow_patches(real, fake, directions, patches, seed):
    """Levels, patches, normalization and sorting as arXiv 1710.10196 tells them, one by one."""
    result = {}
    levels = [laplacian_pyramid(t.float(), 2) for t in (real, fake)]
    for level, side in enumerate((32, 16)):
        sets = []
        for pyramid in levels:
            found = []
            for place, image in enumerate(pyramid[level].numpy()):
                random = torch.Generator().manual_seed(seed * 1_000_003 + place * 64 + level)
                spots = torch.rand((patches, 2), generator=random, dtype=torch.float64)
                for top, left in (spots * (side - 6)).long().tolist():
                    found.append(image[:, top : top + 7, left : left + 7])
            found = np.array(found, dtype=np.float64)
            for c in range(found.shape[1]):
                found[:, c] = (found[:, c] - found[:, c].mean()) / found[:, c].std()
            sets.append(found.reshape(len(found), -1))
        random = torch.Generator().manual_seed(seed * 1_000_003 + 7919 * (level + 1))
        axes = torch.randn((sets[0].shape[1], directions), generator=random, dtype=torch.float64)
        each = []
        for axis in axes.T.numpy():
            lines = [np.sort(s @ (axis / np.linalg.norm(axis))) for s in sets]
            each.append(np.abs(lines[0] - lines[1]).mean())
        result[f"side_{side}"] = 1e3 * np.mean(each)
    return result


def test_patches_match_their_slow_twin():
    real, fake = smooth(6, 3, 32), normal(6, 3, 32, 32)
    measure = sliced_wasserstein_patches(real, fake, directions=20, patches=9, seed=4)
    slow = slow_patches(real, fake, 20, 9, 4)
    assert {k: measure.parts[k] for k in slow} == pytest.approx(slow, rel=1e-4)
    assert measure.value == pytest.approx(np.mean(list(slow.values())), rel=1e-4)


def test_the_convention_of_pggan_is_the_default():
    measure = sliced_wasserstein_patches(smooth(2, 3, 64), smooth(2, 3, 64, seed=1))
    assert list(measure.parts)[:3] == ["side_64", "side_32", "side_16"]
    said = measure.convention
    assert (said["patch"], said["patches_per_image"], said["directions"]) == (7, 128, 512)
    assert (said["order"], said["times"], said["n_real"]) == (1, 1e3, 2)


def test_same_images_score_zero_and_a_change_of_tone_is_not_seen():
    real = smooth(5, 3, 32)
    few = {"directions": 32, "patches": 8}
    assert sliced_wasserstein_patches(real, real, **few).value == 0
    toned = sliced_wasserstein_patches(real, 0.3 * real + 0.2, **few)
    assert toned.value < 1e-2  # of values near 1e2 for other images: rounding of float32 alone


def test_blur_shows_at_the_fine_level_and_fresh_images_nowhere():
    real, fresh = (
        smooth(40, 1, 32, seed=s) + 0.3 * normal(40, 1, 32, 32, seed=s + 7) for s in (0, 1)
    )
    few = {"directions": 64, "patches": 32}
    near = sliced_wasserstein_patches(real, fresh, **few)
    blurred = sliced_wasserstein_patches(real, blown_up(halved(fresh)), **few)
    assert blurred.parts["side_32"] > 2 * near.parts["side_32"]
    assert blurred.parts["side_16"] < 2 * near.parts["side_16"]
    assert compare(near, blurred) > 0
    assert blurred.low > near.high


@pytest.mark.parametrize("order", [1, 2])
def test_the_error_is_the_spread_over_fresh_samples(order):
    measures = [
        sliced_wasserstein(
            normal(60, 3, seed=2 * s), normal(80, 3, seed=2 * s + 1) + 1.0,
            order=order, directions=64, seed=s,
        )
        for s in range(150)
    ]  # fmt: skip
    spread = float(np.std([m.value for m in measures]))
    assert np.mean([m.error for m in measures]) == pytest.approx(spread, rel=0.15)
    assert np.mean([m.parts["error_directions"] for m in measures]) < 0.7 * spread


def test_the_error_of_patches_is_the_spread_over_fresh_images():
    measures = [
        sliced_wasserstein_patches(
            smooth(20, 1, 16, seed=3 * s), 0.2 * normal(20, 1, 16, 16, seed=3 * s + 1)
            + smooth(20, 1, 16, seed=3 * s + 2), directions=32, patches=16, seed=s,
        )
        for s in range(60)
    ]  # fmt: skip
    spread = float(np.std([m.value for m in measures]))
    assert 0.8 * spread < np.mean([m.error for m in measures]) < 1.6 * spread


def test_the_jackknife_is_the_one_that_drops_groups():
    x, y = normal(25, 2), normal(31, 2, seed=1)
    measure = sliced_wasserstein(x, y, order=2, directions=8)
    left = []
    for g in range(10):
        a, b = (t[torch.arange(len(t)) % 10 != g] for t in (x, y))
        left.append(sliced_wasserstein(a, b, order=2, directions=8).value)
    expected = math.sqrt(9 / 10 * np.sum((np.array(left) - np.mean(left)) ** 2))
    assert measure.parts["error_samples"] == pytest.approx(expected, rel=1e-9)
    assert sliced_wasserstein(x[:1], y[:1]).error is None


def test_measuring_changes_no_image():
    real, fake = smooth(4, 3, 32).float(), smooth(4, 3, 32, seed=1).float()
    kept = real.clone(), fake.clone()
    sliced_wasserstein_patches(real, fake, directions=4, patches=2)
    assert torch.equal(real, kept[0])
    assert torch.equal(fake, kept[1])


def test_a_stream_may_be_cut_anywhere():
    real, fake = smooth(7, 3, 16), smooth(7, 3, 16, seed=1)
    whole = sliced_wasserstein_patches(real, fake, patches=8, directions=16, seed=5)
    samples = []
    for name, images, cut in (("real", real, 3), ("fake", fake, 6)):
        sample = PatchSample(name, patches=8, seed=5)
        sample.add(images[:cut])
        sample.add(images[cut:])
        samples.append(sample)
    streamed = sliced_wasserstein_patches(*samples, directions=16, seed=5)
    assert streamed.value == whole.value
    assert streamed.convention["n_fake"] == 7


def test_smaller_images_ask_for_a_smaller_end():
    digits = normal(9, 1, 8, 8)
    measure = sliced_wasserstein_patches(digits, digits, smallest=8, directions=4, patches=2)
    assert next(iter(measure.parts)) == "side_8"


I32 = smooth(2, 3, 32)
BAD = [
    (lambda: sliced_wasserstein_patches(I32, I32[:, :1]), "make both gray or both colour"),
    (lambda: sliced_wasserstein_patches(I32, smooth(2, 3, 16)), "must agree: resize"),
    (lambda: sliced_wasserstein_patches(normal(2, 1, 8, 8), I32), "pass another smallest="),
    (lambda: sliced_wasserstein_patches(normal(2, 1, 34, 33), I32), "multiples of 2"),
    (lambda: sliced_wasserstein_patches(I32, 0 * I32), "fake: channel 0 does not vary"),
    (lambda: sliced_wasserstein_patches(I32, I32 * math.nan), "fake: image 0 holds NaN"),
    (lambda: sliced_wasserstein_patches(I32, PatchSample("x")), "this PatchSample is empty"),
    (lambda: sliced_wasserstein_patches(I32, I32, directions=1), "directions = 1: must be at"),
    (lambda: sliced_wasserstein_patches(I32, I32, smallest=4), "at least 1 and 7"),
    (lambda: sliced_wasserstein_patches([I32[0], I32[1, :1]], I32), "real: image 1 has shape"),
    (lambda: sliced_wasserstein(normal(3, 2), normal(3, 3)), "real and fake have 2 and 3"),
    (lambda: sliced_wasserstein(normal(3, 2), normal(3, 2), order=3), "order = 3: must be 1"),
    (lambda: sliced_wasserstein(I32, I32), "flatten images"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "said"), BAD)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_samples_filled_otherwise_are_refused():
    one, two = PatchSample("real", patches=4), PatchSample("fake", patches=5)
    one.add(I32)
    two.add(I32)
    with pytest.raises(ValueError, match="fill both PatchSamples alike"):
        sliced_wasserstein_patches(one, two)
    with pytest.raises(ValueError, match=r"real: images of \(3, 16, 16\) after images of"):
        one.add(smooth(1, 3, 16))
