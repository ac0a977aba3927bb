import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import (
    frechet_distance,
    moments,
    neighbours,
    precision_recall_coverage,
    radii,
)


def gaussian(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(real, fake, k):
    """The definitions, point by point."""

    def distance(a, b):
        return float((a - b).square().sum().sqrt())

    def reach(points):
        return [
            sorted(distance(p, q) for j, q in enumerate(points) if j != i)[k - 1]
            for i, p in enumerate(points)
        ]

    r, f = reach(real), reach(fake)
    inside = [[distance(x, y) <= r[i] for y in fake] for i, x in enumerate(real)]
    precision = sum(any(row[j] for row in inside) for j in range(len(fake))) / len(fake)
    recall = sum(any(distance(x, y) <= f[j] for j, y in enumerate(fake)) for x in real) / len(real)
    density = sum(map(sum, inside)) / (k * len(fake))
    coverage = sum(map(any, inside)) / len(real)
    return precision, recall, density, coverage


@given(seed=st.integers(0, 10**6), n=st.integers(4, 14), m=st.integers(4, 14), k=st.integers(1, 3))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_fast_path_is_the_slow_one(seed, n, m, k):
    real, fake = gaussian(n, 2, seed), gaussian(m, 2, seed + 1)
    assert precision_recall_coverage(real, fake, k) == pytest.approx(slow(real, fake, k))


def test_ties_on_a_lattice_count_as_inside_as_in_the_slow_path():
    lattice = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    fake = lattice[:9] + torch.tensor([1.0, 0.0])
    assert precision_recall_coverage(lattice, fake, 3) == pytest.approx(slow(lattice, fake, 3))


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_chunks_do_not_matter(monkeypatch, chunk):
    real, fake = gaussian(60, 3, 0), gaussian(45, 3, 1)
    whole = precision_recall_coverage(real, fake)
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    assert precision_recall_coverage(real, fake) == whole


def test_identical_sets_score_one():
    x = gaussian(50, 4, 0)
    result = precision_recall_coverage(x, x)
    assert (result.precision, result.recall, result.coverage) == (1, 1, 1)
    assert result.density == pytest.approx(6 / 5)  # each ball holds its 5 neighbours and its centre


def test_sets_of_one_repeated_point_score_one():
    x = torch.full((20, 3), 0.1)
    result = precision_recall_coverage(x, x)
    assert (result.precision, result.recall, result.coverage) == (1, 1, 1)


def test_disjoint_sets_score_zero():
    assert precision_recall_coverage(gaussian(60, 2, 0), gaussian(50, 2, 1) + 100) == (0, 0, 0, 0)


def test_one_of_five_far_clusters_has_precision_without_coverage():
    angle = torch.arange(5.0) * 2 * torch.pi / 5
    centers = 100 * torch.stack([angle.cos(), angle.sin()], dim=1).double()
    real = torch.cat([c + gaussian(100, 2, i) for i, c in enumerate(centers)])
    fake = centers[0] + gaussian(500, 2, 9)
    result = precision_recall_coverage(real, fake)
    assert result.precision > 0.9
    assert 0.15 < result.recall <= 0.2
    assert 0.15 < result.coverage <= 0.2


def test_all_fakes_on_one_real_point_have_precision_alone():
    real = gaussian(200, 3, 0)
    result = precision_recall_coverage(real, real[:1].repeat(200, 1))
    assert result.precision == 1
    assert result.recall == 1 / 200
    assert result.coverage < 0.1


def test_the_blind_spot_of_the_frechet_distance_is_seen():
    # equal means and covariances: 4 tight clusters against 2 stretched ones, no fake near a real
    n, a = 3000, 2.0
    which = torch.arange(n) % 4
    centers = torch.tensor([[a, 0], [-a, 0], [0, a], [0, -a]]).double()
    real = centers[which] + 0.1 * gaussian(n, 2, 0)
    stretch = torch.tensor([0.01, 2.01]).double().sqrt()
    fake = centers[which % 2] / 2**0.5 + stretch * gaussian(n, 2, 1)
    assert frechet_distance(*moments(real), *moments(fake)) < 0.02
    result = precision_recall_coverage(real, fake)
    assert result.precision < 0.05
    assert result.recall < 0.05
    assert result.coverage < 0.01


def test_coverage_of_two_samples_of_one_law_is_the_known_expectation():
    n, k, repeats = 500, 5, 12
    expected = 1.0
    for j in range(1, k + 1):
        expected *= (n - j) / (2 * n - j)
    expected = 1 - expected
    assert expected == pytest.approx(0.9692, abs=1e-4)  # 1 - 2^-5 = .96875 for large n
    values = [
        precision_recall_coverage(gaussian(n, 4, r), gaussian(n, 4, 99 + r)) for r in range(repeats)
    ]
    assert sum(v.coverage for v in values) / repeats == pytest.approx(expected, abs=0.006)
    assert sum(v.density for v in values) / repeats == pytest.approx(1, abs=0.03)


def test_given_radii_change_nothing():
    real, fake = gaussian(80, 3, 0), gaussian(70, 3, 1)
    given = precision_recall_coverage(real, fake, real_radii=radii(real, 5))
    assert given == precision_recall_coverage(real, fake)


def test_the_order_of_samples_does_not_matter():
    real, fake = gaussian(80, 3, 0), gaussian(70, 3, 1)
    assert precision_recall_coverage(real.flip(0), fake.flip(0)) == precision_recall_coverage(
        real, fake
    )


def test_swapping_the_sets_swaps_precision_and_recall():
    real, fake = gaussian(80, 3, 0), 0.3 * gaussian(70, 3, 1)
    there, back = precision_recall_coverage(real, fake), precision_recall_coverage(fake, real)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.precision > there.recall


def test_a_shift_far_from_zero_does_not_matter():
    real, fake = gaussian(80, 3, 0), gaussian(70, 3, 1)
    shifted = precision_recall_coverage(real + 1e6, fake + 1e6)
    assert shifted == pytest.approx(precision_recall_coverage(real, fake))


@pytest.mark.parametrize(
    ("real", "fake", "k", "message"),
    [
        (torch.zeros(5, 2), torch.zeros(9, 2), 5, "k = 5 with 5 real samples"),
        (torch.zeros(9, 2), torch.zeros(4, 2), 5, "k = 5 with 4 fake samples"),
        (torch.zeros(9, 2), torch.zeros(9, 2), 0, "k must be at least 1"),
        (torch.zeros(9, 2), torch.zeros(9, 3), 5, "real and fake have 2 and 3 dimensions"),
        (torch.zeros(9, 2), torch.full((9, 2), torch.nan), 5, "fake: row 0 holds NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(real, fake, k, message):
    with pytest.raises(ValueError, match=message):
        precision_recall_coverage(real, fake, k)
