"""SSIM, MS-SSIM and diversity against closed forms, slow twins and torchmetrics."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import sameness
from equipoise.metrics.measure import compare
from equipoise.metrics.sameness import jackknife_of_pairs, ms_ssim_diversity, pairwise_ms_ssim
from equipoise.metrics.structural import (
    PROTOCOLS,
    WEIGHTS,
    compared,
    gaussian,
    moments_of,
    ms_ssim,
    ms_ssim_values,
    scales,
    ssim,
    ssim_values,
)

UNIT = (0.0, 1.0)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(*shape, seed=0):
    """Images with coarse structure, so that no scale's factor is clamped."""
    coarse = noise(shape[0], shape[1], 4, 4, seed=seed)
    return F.interpolate(coarse, size=shape[2:], mode="bilinear") * 0.8 + 0.2 * noise(
        *shape, seed=seed + 1
    )


def slow_terms(x, y, size, sigma):
    """SSIM and CS of two planes, one window at a time, variances from differences."""
    at = np.arange(size) - (size - 1) / 2
    w = np.exp(-(at**2) / (2 * sigma**2))
    w = np.outer(w, w) / w.sum() ** 2
    similarity, contrast = [], []
    for i in range(x.shape[0] - size + 1):
        for j in range(x.shape[1] - size + 1):
            a, b = x[i : i + size, j : j + size], y[i : i + size, j : j + size]
            ma, mb = (w * a).sum(), (w * b).sum()
            va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
            cs = (2 * (w * (a - ma) * (b - mb)).sum() + C2) / (va + vb + C2)
            contrast.append(cs)
            similarity.append((2 * ma * mb + C1) / (ma**2 + mb**2 + C1) * cs)
    return np.mean(similarity), np.mean(contrast)


def halved(x):
    height, width = x.shape[1] + x.shape[1] % 2, x.shape[2] + x.shape[2] % 2
    x = np.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2])), mode="edge")
    return x.reshape(len(x), height // 2, 2, width // 2, 2).mean((2, 4))


def slow_ms_ssim(x, y, protocol):
    """One pair (C, H, W) in [0, 255]."""
    rows = []
    for _ in WEIGHTS:
        size = min(11, *x.shape[1:])
        sigma = 1.5 * size / 11 if protocol == "pggan" else 1.5
        rows.append([slow_terms(a, b, size, sigma) for a, b in zip(x, y, strict=True)])
        x, y = halved(x), halved(y)
    terms = np.array([[cs for _, cs in row] for row in rows[:-1]] + [[s for s, _ in rows[-1]]])
    if protocol == "pggan":
        terms = terms.mean(1, keepdims=True)
    return (np.clip(terms, 0, None) ** np.array(WEIGHTS)[:, None]).prod(0).mean()


def test_constant_images_match_the_closed_form():
    x, y = torch.full((2, 3, 16, 16), 0.2), torch.full((2, 3, 16, 16), 0.6)
    a, b = 51.0, 153.0
    expected = (2 * a * b + C1) / (a**2 + b**2 + C1)
    assert float(ssim(x, y, data_range=UNIT)) == pytest.approx(expected, rel=1e-6)


def test_scaled_zero_mean_contrast_matches_the_closed_form():
    # y = m + s (x - m) within each window gives cs = (2 s v + c2) / (v (1 + s^2) + c2)
    x = torch.zeros(1, 1, 11, 11, dtype=torch.float64)
    x[..., ::2] = 1
    w = gaussian(11, 1.5)
    m = float(w[::2].sum())
    y = m + 0.5 * (x - m)
    v = m * (1 - m) * 255**2
    luminance = 1.0
    expected = luminance * (v + C2) / (1.25 * v + C2)
    assert float(ssim(x, y, data_range=UNIT)) == pytest.approx(expected, rel=1e-9)


def test_ssim_matches_its_slow_twin():
    x, y = smooth(2, 2, 13, 15), smooth(2, 2, 13, 15, seed=9)
    slow = [
        np.mean([slow_terms(a, b, 11, 1.5)[0] for a, b in zip(p, q, strict=True)])
        for p, q in zip(x.numpy() * 255, y.numpy() * 255, strict=True)
    ]
    assert ssim_values(x, y, data_range=UNIT).tolist() == pytest.approx(slow, abs=1e-10)


@pytest.mark.parametrize(("protocol", "side"), [("pggan", 32), ("compare_gan", 29)])
def test_ms_ssim_matches_its_slow_twin(protocol, side):
    x, y = (
        smooth(2, 2, side, side + 3 * (side % 2)),
        smooth(2, 2, side, side + 3 * (side % 2), seed=9),
    )
    slow = [
        slow_ms_ssim(p, q, protocol) for p, q in zip(x.numpy() * 255, y.numpy() * 255, strict=True)
    ]
    values = ms_ssim_values(x, y, data_range=UNIT, protocol=protocol)
    assert values.tolist() == pytest.approx(slow, abs=1e-10)


def test_ssim_agrees_with_torchmetrics_over_the_mirrored_image():
    theirs = pytest.importorskip("torchmetrics.functional.image")
    x, y = smooth(3, 3, 40, 32), smooth(3, 3, 40, 32, seed=9)
    measure = ssim(x, y, data_range=UNIT, border="reflect")
    value = theirs.structural_similarity_index_measure(x, y, data_range=1.0)
    assert float(measure) == pytest.approx(float(value), abs=1e-9)
    assert abs(float(ssim(x, y, data_range=UNIT)) - float(value)) > 1e-3  # another convention


def test_torchmetrics_ssim_depends_on_where_zero_is_and_ours_does_not():
    theirs = pytest.importorskip("torchmetrics.functional.image")
    x = smooth(3, 3, 32, 32)
    y = 0.4 * x  # darker
    unit = ssim(x, y, data_range=UNIT)
    signed = ssim(2 * x - 1, 2 * y - 1, data_range=(-1, 1))
    assert float(signed) == pytest.approx(float(unit), abs=1e-12)
    peer = [
        theirs.structural_similarity_index_measure(x, y, data_range=1.0),
        theirs.structural_similarity_index_measure(2 * x - 1, 2 * y - 1, data_range=(-1.0, 1.0)),
    ]
    assert abs(float(peer[0] - peer[1])) > 0.1


def test_ms_ssim_agrees_with_torchmetrics_but_for_the_border_of_its_last_scale():
    theirs = pytest.importorskip("torchmetrics.functional.image")
    x, y = smooth(2, 1, 176, 176), smooth(2, 1, 176, 176, seed=9)
    value = theirs.multiscale_structural_similarity_index_measure(x, y, data_range=1.0)
    rule, window = PROTOCOLS["pggan"], gaussian(11, 1.5)
    product = torch.ones(2, dtype=torch.float64)
    for level, (a, b) in enumerate(zip(scales(255 * x, rule), scales(255 * y, rule), strict=True)):
        if level < 4:
            term = compared(a, b, window)[1]
        else:
            mirrored = [
                moments_of(F.pad(t.image, (5,) * 4, mode="reflect"), window) for t in (a, b)
            ]
            term = compared(*mirrored, window)[0]
        product *= term.mean(1) ** WEIGHTS[level]
    assert float(product.mean()) == pytest.approx(float(value), abs=1e-6)
    assert abs(float(ms_ssim(x, y, data_range=UNIT)) - float(value)) > 1e-4


@given(seed=st.integers(0, 10**6), protocol=st.sampled_from(sorted(PROTOCOLS)))
@settings(max_examples=10)
def test_equal_images_score_one_and_order_does_not_matter(seed, protocol):
    x, y = noise(3, 3, 16, 16, seed=seed), noise(3, 3, 16, 16, seed=seed + 1)
    for take in (ssim_values, lambda a, b, **k: ms_ssim_values(a, b, protocol=protocol, **k)):
        assert take(x, x, data_range=UNIT).tolist() == pytest.approx([1] * 3, abs=1e-9)
        forth, back = take(x, y, data_range=UNIT), take(y, x, data_range=UNIT)
        assert torch.allclose(forth, back, atol=1e-12)
        assert float(forth.max()) <= 1


def test_bytes_and_floats_of_one_picture_agree():
    bytes_ = (noise(4, 3, 16, 16) * 255).round().to(torch.uint8)
    other = (noise(4, 3, 16, 16, seed=5) * 255).round().to(torch.uint8)
    one = ssim_values(bytes_, other, data_range=(0, 255))
    two = ssim_values(bytes_ / 127.5 - 1, other / 127.5 - 1, data_range=(-1, 1))
    assert torch.allclose(one, two, atol=1e-5)


def test_the_interval_is_over_images():
    x, y = smooth(9, 1, 16, 16), smooth(9, 1, 16, 16, seed=9)
    measure = ssim(x, y, data_range=UNIT)
    values = ssim_values(x, y, data_range=UNIT)
    assert measure.error == pytest.approx(float(values.std()) / 3)
    assert measure.convention["n"] == 9
    assert ssim(x[:1], y[:1], data_range=UNIT).error is None


def test_pggan_pairs_neighbours():
    images = smooth(6, 3, 16, 16)
    measure = ms_ssim_diversity(images, data_range=UNIT)
    expected = ms_ssim_values(images[::2], images[1::2], data_range=UNIT)
    assert float(measure) == pytest.approx(float(expected.mean()))
    assert measure.error == pytest.approx(float(expected.std()) / math.sqrt(3))
    assert "below 176 pixels" in measure.warnings[0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_pairs_are_each_pair(protocol):
    images = smooth(5, 2, 16, 16)
    table = pairwise_ms_ssim(images, data_range=UNIT, protocol=protocol)
    for i in range(5):
        pair = ms_ssim_values(images[[i] * 5], images, data_range=UNIT, protocol=protocol)
        assert torch.allclose(table[i], pair, atol=1e-9)


def test_compare_gan_takes_all_pairs_of_batches_of_64(monkeypatch):
    monkeypatch.setattr(sameness, "BATCH", 4)
    images = smooth(11, 1, 16, 16)
    measure = ms_ssim_diversity(images, data_range=UNIT, protocol="compare_gan", seed=3)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    means = []
    for chosen in (order[:4], order[4:8]):
        table = pairwise_ms_ssim(images[chosen], data_range=UNIT, protocol="compare_gan")
        means.append(float(table[~torch.eye(4, dtype=torch.bool)].mean()))
    assert float(measure) == pytest.approx(np.mean(means))
    assert measure.convention["n"] == 8


def test_the_jackknife_is_the_one_that_drops_images():
    table = noise(9, 9) + noise(9, 9).T
    mean, error = jackknife_of_pairs(table)
    off = ~torch.eye(9, dtype=torch.bool)
    assert mean == pytest.approx(float(table[off].mean()))
    without = []
    for i in range(9):
        keep = [j for j in range(9) if j != i]
        left = table[keep][:, keep]
        without.append(float(left[~torch.eye(8, dtype=torch.bool)].mean()))
    assert error == pytest.approx(math.sqrt(8 / 9 * np.sum((without - np.mean(without)) ** 2)))


def test_the_jackknife_has_the_spread_of_repeated_samples():
    values, errors = [], []
    for seed in range(300):
        x = noise(20, 1, seed=seed)[:, 0]
        mean, error = jackknife_of_pairs(x[:, None] + x[None, :])
        values.append(mean)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)
    assert np.std(values) == pytest.approx(2 / math.sqrt(12 * 20), rel=0.15)


def test_collapse_is_less_diverse_than_the_reals():
    reals = smooth(20, 3, 32, 32)
    collapsed = (reals[:1] + 0.02 * noise(20, 3, 32, 32, seed=3)).clamp(0, 1)
    wide = ms_ssim_diversity(reals, data_range=UNIT)
    narrow = ms_ssim_diversity(collapsed, data_range=UNIT)
    assert narrow.low > wide.high
    assert compare(wide, narrow) > 0.2


def test_other_protocols_are_not_compared():
    images = smooth(64, 1, 16, 16)
    one = ms_ssim_diversity(images, data_range=UNIT)
    two = ms_ssim_diversity(images, data_range=UNIT, protocol="compare_gan")
    with pytest.raises(ValueError, match="protocol 'pggan' against 'compare_gan'"):
        compare(one, two)


X = noise(2, 3, 16, 16)
BAD = [
    (lambda: ssim(X, X[:, :1], data_range=UNIT), "grayscale against colour"),
    (lambda: ssim(X, X[:1], data_range=UNIT), "as many of the one as of the other"),
    (lambda: ssim(X, noise(2, 3, 16, 17), data_range=UNIT), "resize or crop both alike"),
    (lambda: ssim([X[0], X[1, :, :12]], X, data_range=UNIT), r"image 1 has shape \(3, 12, 16\)"),
    (lambda: ssim(2 * X - 1, X, data_range=UNIT), "first: image 0 spans .* outside data_range"),
    (lambda: ssim(X, X, data_range=(1, 0)), r"data_range = \(1, 0\): must be \(low, high\)"),
    (lambda: ssim(X[..., :8], X[..., :8], data_range=UNIT), "at least 11.* or use psnr"),
    (lambda: ssim(X, X, data_range=UNIT, border="valids"), "did you mean 'valid'"),
    (lambda: ms_ssim(X, X, data_range=UNIT, protocol="pgan"), "did you mean 'pggan'"),
    (lambda: ms_ssim(X[..., :8], X[..., :8], data_range=UNIT), "needs sides that are multiples"),
    (lambda: ms_ssim_diversity(X[:1], data_range=UNIT), "with N >= 2"),
    (lambda: ms_ssim_diversity(noise(3, 1, 16, 16), data_range=UNIT), "even number; drop one"),
    (lambda: ms_ssim_diversity(X, data_range=UNIT, protocol="compare_gan"), "batches of 64"),
    (lambda: ssim(X[0], X[0], data_range=UNIT), r"must be \(N, C, H, W\)"),
    (lambda: ssim([], X, data_range=UNIT), "first is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "said"), BAD)
def test_bad_images_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_first_broken_image_is_named():
    images = noise(70, 1, 16, 16)
    images[66, 0, 2, 3] = math.nan
    with pytest.raises(ValueError, match="images: image 66 holds NaN"):
        ms_ssim_diversity(images, data_range=UNIT)
