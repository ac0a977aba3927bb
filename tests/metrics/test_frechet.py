import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import frechet_distance, moments


def gaussian(n, d, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, d, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("d", "shift", "s"), [(1, 0.0, 1.0), (3, 2.0, 0.5), (16, 0.3, 3.0)])
def test_isotropic_gaussians_match_the_closed_form(d, shift, s):
    eye = torch.eye(d, dtype=torch.float64)
    mean = torch.full((d,), shift, dtype=torch.float64)
    value = frechet_distance(torch.zeros(d), eye, mean, s**2 * eye)
    assert value == pytest.approx(d * shift**2 + d * (1 - s) ** 2, abs=1e-12)


def test_commuting_covariances_match_the_closed_form():
    generator = torch.Generator().manual_seed(3)
    q, _ = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64))
    a = torch.linspace(0.01, 5, 12, dtype=torch.float64)
    b = a.flip(0) ** 2
    zero = torch.zeros(12)
    value = frechet_distance(zero, q @ a.diag() @ q.T, zero, q @ b.diag() @ q.T)
    assert value == pytest.approx(float((a.sqrt() - b.sqrt()).square().sum()), rel=1e-11)


def test_general_covariances_match_the_slow_matrix_root():
    _, s1 = moments(gaussian(50, 6, 0) @ gaussian(6, 6, 1))
    _, s2 = moments(gaussian(50, 6, 2) @ gaussian(6, 6, 3))
    root = np.linalg.eigvals((s1 @ s2).numpy()).real.clip(0) ** 0.5
    expected = float(s1.trace() + s2.trace()) - 2 * root.sum()
    assert frechet_distance(torch.zeros(6), s1, torch.zeros(6), s2) == pytest.approx(expected)


@pytest.mark.parametrize("swap", [False, True])
def test_singular_covariances_match_the_closed_form(swap):
    # rank 1 against full rank: S1 = u u^T, tr (S1 S2)^(1/2) = sqrt(u^T S2 u)
    u = gaussian(1, 8, 4)[0]
    _, full = moments(gaussian(40, 8, 5))
    expected = float(u @ u + full.trace()) - 2 * math.sqrt(float(u @ full @ u))
    pair = (torch.outer(u, u), full)
    s1, s2 = reversed(pair) if swap else pair
    zero = torch.zeros(8)
    assert frechet_distance(zero, s1, zero, s2) == pytest.approx(expected, abs=1e-9)


def test_two_singular_covariances_on_other_axes_share_nothing():
    s1, s2 = torch.diag(torch.tensor([4.0, 0, 0, 0])), torch.diag(torch.tensor([0, 9.0, 0, 0]))
    zero = torch.zeros(4)
    assert frechet_distance(zero, s1, zero, s2) == pytest.approx(13, abs=1e-12)
    assert frechet_distance(zero, s1, zero, s1) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(zero, 0 * s1, zero, s2) == pytest.approx(9, abs=1e-12)


def test_fewer_samples_than_dimensions_match_the_sample_svd():
    x, y = gaussian(20, 60, 6), 2 * gaussian(25, 60, 7)
    (m1, s1), (m2, s2) = moments(x), moments(y)
    xc, yc = (x - m1) / math.sqrt(19), (y - m2) / math.sqrt(24)
    trace = torch.linalg.svdvals(xc @ yc.T).sum()
    expected = float((m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * trace)
    assert frechet_distance(m1, s1, m2, s2) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [2, 16])
def test_the_bias_of_finite_samples_is_the_known_one(d):
    n, repeats = 1000, 40
    values = []
    for r in range(repeats):
        values.append(
            frechet_distance(*moments(gaussian(n, d, r)), *moments(gaussian(n, d, r + 999)))
        )
    expected = (2 * d + d * (d + 1) / 2) / n
    assert sum(values) / repeats == pytest.approx(expected, rel=0.2 if d == 2 else 0.06)


def test_the_blind_spot_is_zero_distance_between_unlike_laws():
    # 4 clusters at (+-a, 0), (0, +-a) against 2 at (+-c, 0) with the same first two moments
    for a, s2, c, vx in [(2.0, 0.01, math.sqrt(2), 0.01), (1.0, 0.6, 1.0, 0.1)]:
        variance = a**2 / 2 + s2
        real = variance * torch.eye(2)
        fake = torch.diag(torch.tensor([c**2 + vx, variance]))
        assert frechet_distance(torch.zeros(2), real, torch.zeros(2), fake) == pytest.approx(
            0, abs=1e-6
        )


def test_plain_collapse_to_two_of_four_clusters_is_seen():
    real = 2.01 * torch.eye(2, dtype=torch.float64)
    fake = torch.diag(torch.tensor([4.01, 0.01], dtype=torch.float64))
    value = frechet_distance(torch.zeros(2), real, torch.zeros(2), fake)
    assert value == pytest.approx(2.0784, abs=1e-4)


@given(seed=st.integers(0, 10**6), d=st.integers(1, 12), n=st.integers(2, 40))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_symmetric_not_negative_and_zero_on_itself(seed, d, n):
    x, y = gaussian(n, d, seed, scale=3), gaussian(n + 3, d, seed + 1) + 0.5
    one, other = (*moments(x), *moments(y)), (*moments(y), *moments(x))
    scale = float(moments(x)[1].trace() + moments(y)[1].trace())
    assert frechet_distance(*one) == pytest.approx(frechet_distance(*other), abs=1e-6 * scale)
    assert frechet_distance(*one) >= -1e-9 * scale
    assert abs(frechet_distance(*moments(x), *moments(x))) <= 1e-6 * scale
    assert frechet_distance(*moments(x.flip(0)), *moments(y)) == pytest.approx(
        frechet_distance(*one), abs=1e-6 * scale
    )


def test_moments_are_numpy_s():
    x = gaussian(30, 5, 0) + 1e4
    mean, covariance = moments(x)
    assert np.allclose(mean, x.numpy().mean(axis=0), rtol=1e-12)
    assert np.allclose(covariance, np.cov(x.numpy(), rowvar=False), rtol=1e-9)
    from_numpy = moments(x.numpy())
    assert torch.equal(from_numpy[1], covariance)


def test_float32_features_are_summed_in_float64():
    x = (gaussian(2000, 4, 0) + 1000).float()
    _, covariance = moments(x)
    assert np.allclose(covariance, np.cov(x.double().numpy(), rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_broken_row_is_named(value):
    x = torch.zeros(10, 3)
    x[6, 1] = x[8, 0] = value
    with pytest.raises(ValueError, match=r"row 6 holds NaN or infinity \(2 of 10"):
        moments(x)


def test_what_has_no_covariance_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 3\): must be \(N, d\) with N >= 2"):
        moments(torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"must be \(N, d\)"):
        moments(torch.zeros(4, 1, 8, 8))


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"must be \(d,\), \(d, d\)"):
        frechet_distance(torch.zeros(3), torch.eye(3), torch.zeros(4), torch.eye(4))
    with pytest.raises(ValueError, match=r"cov1 holds NaN"):
        frechet_distance(torch.zeros(2), torch.eye(2) * math.nan, torch.zeros(2), torch.eye(2))
