"""Kernel distance and CMMD: slow twins, closed forms, errors, what they cannot see."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import cmmd, cmmd_streamed, kernel_distance, kernel_distance_subsets, kernels
from equipoise.metrics.kernels import gaussian_gap, mean_discrepancy, pair_sums, polynomial
from equipoise.metrics.measure import compare
from equipoise.metrics.states import Moments


def gaussian(n, d, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, d, generator=generator, dtype=torch.float64)


def unit(n, d, seed, shift=0.0):
    x = gaussian(n, d, seed) + shift
    return x / x.norm(dim=1, keepdim=True)


def slow(x, y, k, unbiased=True):
    """Pair by pair, in Python's exact sums."""
    x, y = x.tolist(), y.tolist()

    def mean(a, b, apart):
        values = [
            k(p, q) for (i, p), (j, q) in product(enumerate(a), enumerate(b)) if not apart or i != j
        ]
        return math.fsum(values) / len(values)

    return mean(x, x, unbiased) + mean(y, y, unbiased) - 2 * mean(x, y, False)


def cubic(p, q):
    return (math.fsum(a * b for a, b in zip(p, q, strict=True)) / len(p) + 1) ** 3


def wide(p, q):
    return math.exp(-math.fsum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 200)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 12), m=st.integers(2, 12), d=st.integers(1, 5))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_fast_path_is_the_slow_one(seed, n, m, d):
    x, y = gaussian(n, d, seed), gaussian(m, d, seed + 1, 1.5) + 0.3
    expected = slow(x, y, cubic)
    exact = kernel_distance(x, y, features="t", exact=True).value
    assert exact == pytest.approx(expected, rel=1e-10, abs=1e-10)
    scale = slow(x, y * 0, cubic, unbiased=False) + slow(x * 0, y, cubic, unbiased=False) + 1
    assert kernel_distance(x, y, features="t").value == pytest.approx(expected, abs=1e-5 * scale)


@pytest.mark.parametrize("unbiased", [False, True])
def test_cmmd_is_the_slow_one(unbiased):
    x, y = unit(9, 4, 0), unit(7, 4, 1, 0.5)
    expected = 1000 * slow(x, y, wide, unbiased)
    for exact in (False, True):
        measure = cmmd(x, y, features="t", unbiased=unbiased, exact=exact)
        assert measure.value == pytest.approx(expected, rel=1e-5 if not exact else 1e-9)


@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
@pytest.mark.parametrize("kernel", [polynomial(3, 0.2, 1.0), gaussian_gap(0.05)])
def test_chunks_do_not_matter(monkeypatch, kernel, chunk):
    x, y = gaussian(70, 5, 0), gaussian(41, 5, 1)
    whole = pair_sums(x, y, kernel, exact=True)
    monkeypatch.setattr(kernels, "CHUNK", chunk)
    for a, b in zip(whole, pair_sums(x, y, kernel, exact=True), strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_error_is_the_delete_one_jackknife(unbiased):
    x, y = gaussian(12, 3, 0), gaussian(9, 3, 1) + 0.5
    kernel = polynomial(3, 1 / 3, 1.0)

    def value(a, b):
        return mean_discrepancy(pair_sums(a, b, kernel, True), unbiased)[0]

    squared = 0.0
    for at, points in enumerate((x, y)):
        n = len(points)
        left = []
        for i in range(n):
            pair = [x, y]
            pair[at] = torch.cat([points[:i], points[i + 1 :]])
            left.append(value(*pair))
        squared += (n - 1) / n * sum((v - np.mean(left)) ** 2 for v in left)
    error = mean_discrepancy(pair_sums(x, y, kernel, True), unbiased)[1]
    assert error == pytest.approx(math.sqrt(squared), rel=1e-10)


@pytest.mark.parametrize(("shift", "low", "high"), [(0.3, 0.85, 1.2), (0.0, 1.0, 1.8)])
def test_the_error_is_the_spread_over_data_sets_and_the_value_unbiased(shift, low, high):
    d, n, repeats = 4, 200, 120
    found = [
        kernel_distance(gaussian(n, d, r), gaussian(n, d, 500 + r) + shift, features="t")
        for r in range(repeats)
    ]
    values = np.array([m.value for m in found])
    assert low < np.mean([m.error for m in found]) / values.std(ddof=1) < high
    truth = population(d, shift)
    assert abs(values.mean() - truth) < 3.5 * values.std() / math.sqrt(repeats)
    # a cubic kernel is heavy-tailed: .88 of the intervals hold the truth at n = 200, .95 at 1000
    assert sum(m.low <= truth <= m.high for m in found) >= 0.85 * repeats


def population(d, shift):
    """Cubic MMD^2 of N(0, I) and N(shift, I): sum_k C(3, k) |M_k - N_k|^2 / d^k.

    With t = x.y: E t = |m|^2; E t^2 = tr (C C'), C = I + m m^T; the third likewise,
    E t^3 = |E x^(3)|^2, where E x^(3)_ijk = m_i m_j m_k + m_i d_jk + m_j d_ik + m_k d_ij.
    """
    mean = torch.full((d,), shift, dtype=torch.float64)
    zero = torch.zeros(d, dtype=torch.float64)
    eye = torch.eye(d).double()

    def tensors(m):
        third = torch.einsum("i,j,k->ijk", m, m, m)
        for pattern in ("i,jk->ijk", "j,ik->ijk", "k,ij->ijk"):
            third = third + torch.einsum(pattern, m, eye)
        return m, eye + torch.outer(m, m), third

    total = 0.0
    for k, (a, b) in enumerate(zip(tensors(zero), tensors(mean), strict=True), start=1):
        total += math.comb(3, k) * float((a - b).square().sum()) / d**k
    return total


@given(seed=st.integers(0, 10**6), d=st.integers(2, 6))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_symmetric_and_unmoved_by_rotations(seed, d):
    x, y = gaussian(20, d, seed), gaussian(25, d, seed + 1) + 0.5
    q, _ = torch.linalg.qr(gaussian(d, d, seed + 2))
    one = kernel_distance(x, y, features="t", exact=True)
    for other in (
        kernel_distance(y, x, features="t", exact=True),
        kernel_distance(x @ q, y @ q, features="t", exact=True),
        kernel_distance(x.flip(0), y.flip(0), features="t", exact=True),
    ):
        assert other.value == pytest.approx(one.value, abs=1e-11)
        assert other.error == pytest.approx(one.error, rel=1e-9)


def test_float32_products_agree_with_float64():
    x, y = gaussian(1500, 64, 0), gaussian(1300, 64, 1, 1.05)
    fast = kernel_distance(x, y, features="t")
    exact = kernel_distance(x, y, features="t", exact=True)
    assert fast.value == pytest.approx(exact.value, rel=1e-5)
    assert abs(fast.value - exact.value) < 1e-3 * exact.error
    assert fast.warnings == ()


def test_features_far_from_zero_are_said_to_need_float64():
    x, y = gaussian(300, 8, 0) + 1000, gaussian(300, 8, 1) + 1000
    assert "take exact=True" in kernel_distance(x, x + 1e-5 * y, features="t").warnings[0]
    assert kernel_distance(x, x + 1e-5 * y, features="t", exact=True).warnings == ()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_features_are_raised(kind):
    x, y = (20 * gaussian(60, 4, 0)).to(kind), (20 * gaussian(60, 4, 1)).to(kind)
    expected = slow(x.double(), y.double(), cubic)
    assert kernel_distance(x, y, features="t", exact=True).value == pytest.approx(expected)


def test_subsets_are_drawn_as_torch_fidelity_draws_them():
    x, y = gaussian(50, 3, 0), gaussian(40, 3, 1) + 0.4
    draw = np.random.RandomState(2020)
    values = []
    for _ in range(6):
        fake = y[torch.from_numpy(draw.choice(40, 15, replace=False))]
        real = x[torch.from_numpy(draw.choice(50, 15, replace=False))]
        values.append(slow(real, fake, cubic))
    measure = kernel_distance_subsets(x, y, features="t", subsets=6, size=15, seed=2020)
    assert measure.value == pytest.approx(np.mean(values), rel=1e-10)
    assert measure.parts["spread"] == pytest.approx(np.std(values), rel=1e-9)
    assert measure.error is None


def test_subsets_scatter_around_the_full_estimate():
    x, y = gaussian(400, 16, 0), gaussian(400, 16, 1, 1.1)
    full = kernel_distance(x, y, features="t")
    seeds = [
        kernel_distance_subsets(x, y, features="t", subsets=20, size=100, seed=s).value
        for s in range(12)
    ]
    assert np.std(seeds) > 0
    assert abs(np.mean(seeds) - full.value) < 4 * np.std(seeds) / math.sqrt(12)
    with pytest.raises(ValueError, match="estimator 'all pairs' against '20 subsets of 100'"):
        compare(full, kernel_distance_subsets(x, y, features="t", subsets=20, size=100))


def test_one_subset_of_all_is_the_full_estimate():
    x, y = gaussian(60, 5, 0), gaussian(60, 5, 1)
    one = kernel_distance_subsets(x, y, features="t", subsets=1, size=60)
    assert one.value == pytest.approx(kernel_distance(x, y, features="t", exact=True).value)


def test_no_global_randomness_is_used():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    kernel_distance_subsets(gaussian(9, 2, 0), gaussian(9, 2, 1), features="t", size=5)
    assert np.array_equal(before, np.random.get_state()[1])


def test_a_collapse_with_the_reals_moments_is_not_seen_but_plain_collapse_is():
    d, n = 64, 2000
    real, fresh, points = gaussian(n, d, 0), gaussian(n, d, 1), gaussian(200, d, 2)
    fake = points[torch.arange(n) % 200]
    centred = fake - fake.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(centred.T.cov()), centred.T, upper=False
    )
    matched = (torch.linalg.cholesky(real.T.cov()) @ white).T + real.mean(0)
    values = {
        name: kernel_distance(real, x, features="t")
        for name, x in (("fresh", fresh), ("matched", matched), ("plain", fake))
    }
    assert values["matched"].value < values["fresh"].value + 2 * values["fresh"].error
    assert values["plain"].value > 10 * abs(values["fresh"].value)


def test_equal_halves_are_at_a_distance_of_zero_within_the_interval():
    x = gaussian(800, 8, 3)
    measure = kernel_distance(x[:400], x[400:], features="t")
    assert measure.low < 0 < measure.high
    assert measure.convention["bias"] == "none"


class TestCmmd:
    def test_it_is_ten_times_the_squared_distance_of_the_means(self):
        x, y = unit(1500, 32, 0), unit(1500, 32, 1, 0.4)
        measure = cmmd(x, y, features="t")
        means = 10 * float((x.mean(0) - y.mean(0)).square().sum())
        assert measure.value == pytest.approx(means, rel=0.02)

    @pytest.mark.parametrize("unbiased", [False, True])
    @pytest.mark.parametrize("shift", [0.0, 0.02, 0.4])
    def test_moments_give_it_within_the_bound(self, unbiased, shift):
        x, y = unit(900, 24, 0), unit(700, 24, 1, shift)
        exact = cmmd(x, y, features="t", unbiased=unbiased, exact=True)
        streamed = cmmd_streamed(Moments.of(x), Moments.of(y), features="t", unbiased=unbiased)
        off = abs(streamed.value - exact.value)
        assert off <= streamed.parts["remainder"] < 7e-4
        assert off < 7e-5
        assert streamed.parts["first"] >= streamed.parts["second"] > 0

    def test_float32_has_no_noise_floor(self):
        x, y = unit(600, 16, 0), unit(600, 16, 1)
        fast = cmmd(x, y, features="t", unbiased=True).value
        exact = cmmd(x, y, features="t", unbiased=True, exact=True).value
        assert abs(fast - exact) < 3e-6  # means of kernels in float32: 7e-5

    def test_the_biased_floor_is_the_known_one(self):
        n, d = 500, 16
        biased = [cmmd(unit(n, d, r), unit(n, d, 90 + r), features="t").value for r in range(8)]
        free = [
            cmmd(unit(n, d, r), unit(n, d, 90 + r), features="t", unbiased=True).value
            for r in range(8)
        ]
        assert np.mean(biased) == pytest.approx(10 * 2 / n, rel=0.1)
        assert abs(np.mean(free)) < 0.1 * np.mean(biased)

    def test_it_is_nearly_blind_to_collapse_that_keeps_the_mean(self):
        x = unit(1000, 16, 0)
        direction = torch.zeros(16).double()
        direction[0] = 1
        poles = direction * torch.tensor([1.0, -1.0]).double().repeat(500)[:, None]
        shifted = cmmd(x, unit(1000, 16, 1, 0.15), features="t", unbiased=True).value
        assert cmmd(x, poles, features="t", unbiased=True).value < shifted

    def test_the_error_is_the_spread(self):
        found = [
            cmmd(unit(200, 8, r), unit(200, 8, 300 + r, 0.3), features="t", unbiased=True)
            for r in range(60)
        ]
        spread = np.std([m.value for m in found], ddof=1)
        assert 0.8 < np.mean([m.error for m in found]) / spread < 1.25

    @pytest.mark.parametrize(
        ("act", "said"),
        [
            (lambda x: cmmd(2 * x, x, features="t"), "real: an embedding has norm 2: .*x / x.norm"),
            (lambda x: cmmd(x, x, features="t", sigma=0), "sigma = 0"),
            (lambda x: cmmd(x, x[:, :3], features="t"), "4 and 3 dim"),
            (lambda x: streamed(x, 2 * x), "fake: an embedding has norm 2"),
            (lambda x: streamed(x, x, sigma=-1.0), "sigma = -1.0"),
            (lambda x: streamed(x, unit(9, 5, 0)), "4 and 5 dim"),
        ],
    )
    def test_what_cannot_be_is_refused(self, act, said):
        with pytest.raises(ValueError, match=said):
            act(unit(9, 4, 0))

    def test_statistics_without_n_have_no_unbiased_estimate(self, tmp_path):
        x = unit(50, 4, 0)
        np.savez(tmp_path / "a.npz", mu=x.mean(0), sigma=np.cov(x.numpy(), rowvar=False, ddof=0))
        state = Moments.load(tmp_path / "a.npz")
        value = cmmd_streamed(state, Moments.of(unit(60, 4, 1, 0.5)), features="t").value
        assert value == pytest.approx(cmmd(x, unit(60, 4, 1, 0.5), features="t").value, abs=1e-4)
        with pytest.raises(ValueError, match="n = None: the unbiased estimate"):
            cmmd_streamed(state, Moments.of(x), features="t", unbiased=True)


def streamed(x, y, **options):
    return cmmd_streamed(Moments.of(x), Moments.of(y), features="t", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"real": torch.zeros(1, 3)}, r"real has shape \(1, 3\): must be \(N, d\) with N >= 2"),
        ({"fake": torch.zeros(9, 2)}, "real and fake have 3 and 2 dimensions"),
        ({"fake": torch.full((9, 3), math.nan)}, "fake: row 0 holds NaN"),
        ({"degree": 0}, "degree = 0: must be at least 1"),
        ({"fake": torch.full((9, 3), 1e20)}, "overflow float32; take exact=True"),
    ],
)
def test_what_cannot_be_compared_is_refused(options, said):
    given_ = {"real": gaussian(9, 3, 0), "fake": gaussian(9, 3, 1), "features": "t"} | options
    with pytest.raises(ValueError, match=said):
        kernel_distance(given_.pop("real"), given_.pop("fake"), **given_)


@pytest.mark.parametrize("options", [{"size": 10}, {"size": 1}, {"subsets": 0, "size": 5}])
def test_subsets_that_cannot_be_drawn_are_refused(options):
    with pytest.raises(ValueError, match="subsets must be at least 1, size from 2"):
        kernel_distance_subsets(gaussian(9, 3, 0), gaussian(12, 3, 1), features="t", **options)


def test_two_samples_a_side_have_a_value_and_no_error():
    measure = kernel_distance(gaussian(2, 3, 0), gaussian(2, 3, 1), features="t")
    assert measure.error is None
    assert math.isfinite(measure.value)
