"""The Frechet distance of two states: routes, singular cases, terms, error, blind spots."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import frechet, frechet_distance, frechet_infinity, moments
from equipoise.metrics import roots as module
from equipoise.metrics.frechet_infinity import _by_increments, _line
from equipoise.metrics.measure import compare
from equipoise.metrics.roots import Side, factored, root, side_of, side_of_samples
from equipoise.metrics.states import Moments


def gaussian(n, d, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, d, generator=generator, dtype=torch.float64)


def distance(x, y, **options):
    return frechet(Moments.of(x), Moments.of(y), features="test", **options)


def with_features(x, y, **options):
    return distance(x, y, real_features=x, fake_features=y, **options)


def slow(x, y):
    """Nuclear norm of the centred samples' product: no covariance, no eigenvalue, no root."""
    xc, yc = (x - x.mean(0)) / math.sqrt(len(x) - 1), (y - y.mean(0)) / math.sqrt(len(y) - 1)
    nuclear = np.linalg.norm((xc @ yc.T).numpy(), ord="nuc")
    gap = float((x.mean(0) - y.mean(0)).square().sum())
    return gap + float(xc.square().sum() + yc.square().sum()) - 2 * nuclear


def with_moments(n, mean, covariance, seed):
    """Samples whose mean and covariance are exactly these."""
    z = gaussian(n, len(mean), seed)
    z = z - z.mean(0)
    lower = torch.linalg.cholesky(z.T @ z / (n - 1))
    whitened = torch.linalg.solve_triangular(lower, z.T, upper=False)
    return (torch.linalg.cholesky(covariance) @ whitened).T + mean


@pytest.mark.parametrize(("d", "shift", "s"), [(1, 0.0, 1.0), (3, 2.0, 0.5), (16, 0.3, 3.0)])
def test_samples_of_exact_moments_match_the_closed_form(d, shift, s):
    eye, mean = torch.eye(d).double(), torch.full((d,), shift, dtype=torch.float64)
    x = with_moments(50, 0 * mean, eye, 0)
    y = with_moments(70, mean, s**2 * eye, 1)
    measure = with_features(x, y)
    assert measure.value == pytest.approx(d * shift**2 + d * (1 - s) ** 2, abs=1e-11)
    assert measure.parts["mean"] == pytest.approx(d * shift**2, abs=1e-11)
    assert measure.parts["covariance"] == pytest.approx(d * (1 - s) ** 2, abs=1e-11)
    assert measure.parts["rank_real"] == measure.parts["rank_fake"] == d
    assert measure.convention["n_fake"] == 70
    assert measure.name == "frechet_test"
    assert measure.warnings == ()


@given(seed=st.integers(0, 10**6), d=st.integers(1, 14), n=st.integers(2, 30), m=st.integers(2, 30))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_route_is_the_slow_one(seed, d, n, m):
    x, y = gaussian(n, d, seed), gaussian(m, d, seed + 1, 2.0) + 0.5
    expected = slow(x, y)
    close = pytest.approx(expected, abs=1e-7 * (1 + abs(expected)))
    assert distance(x, y).value == close
    assert with_features(x, y).value == close
    assert distance(x, y, real_features=x).value == close
    assert distance(x, y, fake_features=y).value == close
    assert distance(y, x).value == pytest.approx(distance(x, y).value, abs=1e-7 * (1 + expected))


@given(seed=st.integers(0, 10**6), d=st.integers(2, 8))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_a_rotation_and_a_shift_of_both_change_nothing(seed, d):
    x, y = gaussian(40, d, seed), gaussian(50, d, seed + 1, 1.5)
    q, _ = torch.linalg.qr(gaussian(d, d, seed + 2))
    shift = 10 * gaussian(1, d, seed + 3)
    turned = with_features(x @ q + shift, y @ q + shift)
    plain = with_features(x, y)
    assert turned.value == pytest.approx(plain.value, abs=1e-9)
    assert turned.error == pytest.approx(plain.error, rel=1e-6)
    assert with_features(3 * x, 3 * y).value == pytest.approx(9 * plain.value, rel=1e-9)


SETS = {
    "plenty": lambda: gaussian(300, 12, 0),
    "fewer samples than features": lambda: gaussian(20, 64, 1),
    "as many samples as features": lambda: gaussian(24, 24, 2),
    "5 % dead units": lambda: gaussian(300, 40, 3) * (torch.arange(40) >= 2),
    "two distinct points": lambda: gaussian(2, 8, 4).repeat(20, 1),
    "one point": lambda: torch.ones(30, 5).double(),
    "ill conditioned": lambda: gaussian(400, 10, 5) * torch.logspace(0, -6, 10).double(),
}


@pytest.mark.parametrize("kind", SETS)
def test_equal_sets_are_at_distance_zero(kind):
    x = SETS[kind]()
    for measure in (distance(x, x), with_features(x, x), distance(x, x, fake_features=x)):
        assert abs(measure.value) < 1e-9


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("other", SETS)
def test_singular_sets_match_the_slow_route(kind, other):
    x, y = SETS[kind](), SETS[other]()
    d = min(x.shape[1], y.shape[1])
    x, y = x[:, :d], y[:, :d] * 1.5
    for measure in (distance(x, y), with_features(x, y)):
        assert measure.value == pytest.approx(slow(x, y), abs=1e-9 * (float(x.var(0).sum()) + 10))


def test_all_routes_were_taken_above(monkeypatch):
    taken = []
    for name in ("_by_eigenvalues", "_by_singular_values"):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, real=real, name=name: taken.append(name) or real(*a)
        )
    plenty, few = gaussian(300, 12, 0), gaussian(9, 12, 1)
    distance(plenty, 2 * plenty)
    with_features(few, plenty)
    assert taken == ["_by_eigenvalues"] * 2
    with_features(few, few + 1)
    assert taken[2:] == ["_by_singular_values"]
    # over twelve decades eigenvalues are lost in rounding: the rank is asked for, then the bound
    decades = torch.logspace(0, -6, 12).double()
    distance(plenty * decades, gaussian(300, 12, 3) * decades)
    assert taken[3:] == ["_by_eigenvalues", "_by_eigenvalues", "_by_singular_values"]


def test_the_bound_on_rounding_holds_where_small_eigenvalues_weigh():
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(30, 30, generator=generator, dtype=torch.float64))
    spectrum = torch.logspace(0, -9, 30).double()
    a, b = q @ spectrum.diag() @ q.T, q @ spectrum.flip(0).diag() @ q.T
    truth = float((spectrum * spectrum.flip(0)).sqrt().sum())
    found = root(side_of((a + a.T) / 2), side_of((b + b.T) / 2))
    assert abs(float(found.values.sum()) - truth) < 1e-9
    one = root(side_of((a + a.T) / 2), side_of((a + a.T) / 2))
    assert abs(float(one.values.sum()) - float(spectrum.sum())) <= max(one.rounding, 1e-14) * 30


@pytest.mark.parametrize("d", [1, 5, 8, 9, 31, 64])
def test_strips_are_the_whole_product(d):
    covariance = moments(gaussian(3 * d + 2, d, 0))[1]
    other = moments(gaussian(3 * d + 2, d, 1))[1]
    side = side_of(covariance)
    whole = side.factor.T @ other @ side.factor
    assert side.lower
    assert torch.allclose(module.inner_product(side, other).tril(), whole.tril(), atol=1e-13)


@pytest.mark.parametrize("pair", [("chol", "chol"), ("chol", "samples"), ("samples", "samples")])
def test_bases_carry_one_gaussian_onto_the_other(pair):
    def side(kind, seed):
        x = gaussian(200 if kind == "chol" else 6, 8, seed, 1.0 + seed)
        mean, covariance = moments(x)
        if kind == "chol":
            return side_of(covariance), covariance
        return side_of_samples(x, mean, len(x) - 1), covariance

    for first, second in (pair, pair[::-1]):
        (one, s1), (two, s2) = side(first, 0), side(second, 1)
        back, onto = root(one, two, with_bases=True).bases
        forth = onto @ onto.T
        if (first, second) == ("chol", "chol"):
            assert torch.allclose(forth @ s2 @ forth, s1, atol=1e-10)
            assert torch.allclose(back @ back.T @ forth, torch.eye(8).double(), atol=1e-9)
        trace = float((forth * s2).sum())
        assert trace == pytest.approx(float(root(one, two).values.sum()), rel=1e-9)
        assert float((back @ back.T * s1).sum()) == pytest.approx(trace, rel=1e-9)


def test_the_influence_is_the_derivative_by_a_sample_s_weight():
    x, y = gaussian(60, 4, 0), gaussian(50, 4, 1, 1.4) + 0.3
    (m1, s1), (m2, s2) = moments(x), moments(y)

    def value(weights, at):
        shift = [m1, m2]
        cov = [s1, s2]
        points = (x, y)[at]
        weights = weights / weights.sum()
        mean = weights @ points
        centred = points - mean
        shift[at], cov[at] = mean, (centred.T * weights) @ centred
        other = 1 - at
        n = len((x, y)[other])
        cov[other] = cov[other] * (n - 1) / n
        return frechet_distance(shift[0], cov[0], shift[1], cov[1])

    squared = 0.0
    for at, points in enumerate((x, y)):
        n = len(points)
        even = torch.full((n,), 1 / n).double()
        slopes = []
        for i in range(n):
            spike = torch.zeros(n).double()
            spike[i] = 1
            h = 1e-5
            up = value((1 - h) * even + h * spike, at)
            down = value((1 + h) * even - h * spike, at)
            slopes.append((up - down) / (2 * h))
        squared += np.var(slopes, ddof=1) / n
    error = with_features(x, y, covariance="n").error
    assert error == pytest.approx(math.sqrt(squared), rel=1e-5)


@pytest.mark.parametrize(
    ("d", "n", "shift", "scale", "low", "high"),
    [(4, 400, 0.3, 1.3, 0.85, 1.25), (4, 300, 0.0, 1.0, 1.1, 1.6), (24, 16, 0.5, 1.5, 0.9, 1.5)],
)
def test_the_error_is_the_spread_over_data_sets(d, n, shift, scale, low, high):
    # where the laws agree the first derivative vanishes and the error is sqrt 2 times too wide
    values, errors = [], []
    for r in range(100):
        measure = with_features(gaussian(n, d, r), gaussian(n, d, 500 + r, scale) + shift)
        values.append(measure.value)
        errors.append(measure.error)
    assert low < np.mean(errors) / np.std(values, ddof=1) < high


def test_the_error_counts_the_sides_that_are_given():
    x, y = gaussian(300, 5, 0), gaussian(200, 5, 1) + 0.5
    both = with_features(x, y)
    fakes = distance(x, y, fake_features=y)
    reals = distance(x, y, real_features=x)
    assert math.hypot(fakes.error, reals.error) == pytest.approx(both.error, rel=1e-12)
    assert "of the fakes alone" in fakes.warnings[0]
    assert both.warnings == ()
    assert distance(x, y).error is None
    part = distance(x, y, real_features=x[:150], fake_features=y[:150])  # a sample of them serves
    assert part.value == both.value
    assert part.error == pytest.approx(both.error, rel=0.3)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_features_are_raised_before_they_are_squared(kind):
    # torchmetrics casts the result back: float16 gives inf where the truth is 136078
    x, y = (100 * gaussian(400, 4, 0)).to(kind), (100 * gaussian(400, 4, 1) + 180).to(kind)
    assert with_features(x, y).value == pytest.approx(slow(x.double(), y.double()), rel=1e-12)
    assert with_features(x, y).value > 65504


def test_the_divisor_is_said_and_used():
    x, y = gaussian(20, 3, 0), gaussian(25, 3, 1, 2.0)
    by_n = distance(x, y, covariance="n")
    s1, s2 = (np.cov(v.numpy(), rowvar=False, bias=True) for v in (x, y))
    assert by_n.value == pytest.approx(frechet_distance(x.mean(0), s1, y.mean(0), s2), rel=1e-12)
    with pytest.raises(ValueError, match="covariance 'n-1' against 'n'"):
        compare(distance(x, y), by_n)
    few_x, few_y = gaussian(5, 9, 2), gaussian(6, 9, 3)
    assert with_features(few_x, few_y, covariance="n").value == pytest.approx(
        distance(few_x, few_y, covariance="n").value, rel=1e-7
    )


def test_too_few_samples_are_said():
    measure = with_features(gaussian(20, 64, 0), gaussian(200, 64, 1))
    assert measure.parts["rank_real"] == 19
    assert len(measure.warnings) == 1
    assert "n_real = 20 is not above d = 64" in measure.warnings[0]


def test_collapse_onto_few_points_shows_in_the_rank():
    points = gaussian(10, 32, 0)
    fake = points[torch.randint(10, (500,))]
    for measure in (
        distance(gaussian(500, 32, 1), fake),
        with_features(gaussian(500, 32, 1), fake),
    ):
        assert measure.parts["rank_fake"] == 9
        assert "rank 9 of 32: dead features, or few distinct samples" in measure.warnings[0]


def test_published_statistics_without_n_serve_as_reals(tmp_path):
    x, y = gaussian(100, 4, 0), gaussian(90, 4, 1)
    np.savez(tmp_path / "a.npz", mu=x.mean(0).numpy(), sigma=x.T.cov().numpy())
    measure = frechet(
        Moments.load(tmp_path / "a.npz"), Moments.of(y), features="test", fake_features=y
    )
    assert measure.value == pytest.approx(slow(x, y), rel=1e-9)
    assert measure.convention["n_real"] is None
    assert any("do not tell their n" in said for said in measure.warnings)


def test_a_covariance_that_is_none_is_said(tmp_path):
    wrong = np.diag([1.0, 1.0, -0.5])
    np.savez(tmp_path / "a.npz", mu=np.zeros(3), sigma=wrong)
    bad = Moments.load(tmp_path / "a.npz", n=100)
    np.savez(tmp_path / "b.npz", mu=np.zeros(3), sigma=np.diag([1.0, 1.0, 0.0]))
    good = Moments.load(tmp_path / "b.npz", n=100)
    measure = frechet(bad, good, features="test")
    assert measure.value == pytest.approx(-0.5)
    assert any("negative eigenvalues" in said for said in measure.warnings)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda x: distance(x, x[:, :2]), "real and fake have 3 and 2 dimensions"),
        (lambda x: distance(x, x[:1]), "saw 1 samples.*at least 2"),
        (lambda x: distance(x, x, covariance="N"), "divisor = 'N'"),
        (lambda x: distance(x, x, fake_features=x[:, :2]), r"fake_features has shape \(30, 2\)"),
        (lambda x: distance(x[:20], x, real_features=x), "real saw n = 20 of d = 3"),
        (lambda x: distance(x, x + 9, real_features=x + 9), "another mean than real.*swapped"),
        (lambda x: distance(x, x, fake_features=x * math.nan), "fake_features: row 0 holds NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(act, said):
    with pytest.raises(ValueError, match=said):
        act(gaussian(30, 3, 0))


def clusters(n, centres, spread, seed):
    centres = torch.tensor(centres).double()
    which = torch.arange(n) % len(centres)
    return centres[which] + torch.tensor(spread).double().sqrt() * gaussian(n, 2, seed)


BLIND = {  # real clusters and variance, fake clusters and variances, distance of the laws
    "tight": (2.0, 0.01, [[2**0.5, 0], [-(2**0.5), 0]], [0.01, 2.01], 0.0),
    "centres kept": (1.0, 0.6, [[1.0, 0], [-1.0, 0]], [0.1, 1.1], 0.0),
    "plain collapse": (2.0, 0.01, [[2.0, 0], [-2.0, 0]], [0.01, 0.01], 2.0784),
}


@pytest.mark.parametrize("case", BLIND)
def test_blind_spots_in_the_plane(case):
    a, variance, centres, spread, truth = BLIND[case]
    cross = [[a, 0], [-a, 0], [0, a], [0, -a]]
    x = clusters(3000, cross, [variance] * 2, 0)
    other = clusters(3000, cross, [variance] * 2, 2)
    measure = with_features(x, clusters(3000, centres, spread, 1))
    if truth:
        assert measure.value == pytest.approx(truth, abs=0.05)
        assert measure.low > 1
    else:  # no further from the reals than a fresh real sample may be
        assert measure.value < 0.02
        assert abs(measure.value - distance(x, other).value) < 0.02


def test_a_collapse_with_the_reals_moments_looks_better_than_a_fresh_sample():
    d, n = 64, 2000
    real, fresh = gaussian(n, d, 0), gaussian(n, d, 1)
    mean, covariance = moments(real)
    points = gaussian(200, d, 2)
    fake = points[torch.arange(n) % 200]
    z = fake - fake.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(z.T.cov()), z.T, upper=False)
    fake = (torch.linalg.cholesky(covariance) @ white).T + mean
    assert abs(distance(real, fake).value) < 1e-9
    assert distance(real, fresh).value > 1
    plain = distance(real, points[torch.arange(n) % 200])
    assert plain.value > 2 * distance(real, fresh).value


@pytest.mark.parametrize("d", [2, 16])
def test_the_bias_of_finite_samples_is_the_known_one(d):
    n, repeats = 500, 60
    values = [distance(gaussian(n, d, r), gaussian(n, d, 999 + r)).value for r in range(repeats)]
    expected = (2 * d + d * (d + 1) / 2) / n
    assert np.mean(values) == pytest.approx(expected, rel=0.2 if d == 2 else 0.06)


class TestInfinity:
    def real(self, d):
        """A state whose moments are exactly those of N(0, I), from very many samples."""
        state = Moments(d)
        eye = torch.eye(d).double()
        state.load_state_dict({"n": 10**9, "mean": torch.zeros(d), "m2": (10**9 - 1) * eye})
        return state

    def test_the_bias_of_the_fakes_goes(self):
        d, n = 16, 2000
        found = [frechet_infinity(self.real(d), gaussian(n, d, r), features="t") for r in range(30)]
        expected = (d + d * (d + 1) / 4) / n  # half of the two-sided bias
        at_n = np.mean([m.parts[f"at_{n}"] for m in found])
        assert at_n == pytest.approx(expected, rel=0.06)
        values = [m.value for m in found]
        assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(30)
        assert abs(np.mean(values)) < 0.1 * at_n
        slopes = np.mean([m.parts["slope"] for m in found])
        assert slopes == pytest.approx(expected * n, rel=0.1)

    @pytest.mark.parametrize(("shift", "scale"), [(0.3, 1.3), (0.0, 1.0)])
    def test_the_error_is_the_spread_and_the_interval_holds_the_truth(self, shift, scale):
        d, repeats = 4, 80
        truth = d * (shift**2 + (1 - scale) ** 2)
        real = self.real(d)
        found = [
            frechet_infinity(real, gaussian(1500, d, r, scale) + shift, features="t")
            for r in range(repeats)
        ]
        ratio = np.mean([m.error for m in found]) / np.std([m.value for m in found], ddof=1)
        assert 0.75 < ratio < 1.5
        assert sum(m.low <= truth <= m.high for m in found) >= 0.87 * repeats

    def test_prefixes_are_distances_of_their_own(self):
        x, y = gaussian(900, 6, 0), gaussian(400, 6, 1, 1.2)
        batches = [y[i : i + 37] for i in range(0, 400, 37)]
        measure = frechet_infinity(Moments.of(x), batches, n=400, features="t", smallest=50)
        sizes = [int(k[3:]) for k in measure.parts if k.startswith("at_")]
        assert (sizes[0], sizes[-1], len(sizes)) == (50, 400, 15)
        values = [measure.parts[f"at_{s}"] for s in sizes]
        assert values == pytest.approx([slow(x, y[:s]) for s in sizes], rel=1e-9)
        slope, intercept = np.polyfit(1 / np.array(sizes), values, 1)
        assert measure.value == pytest.approx(intercept, rel=1e-9)
        assert measure.parts["slope"] == pytest.approx(slope, rel=1e-9)
        assert _by_increments(sizes, values) == measure.parts["by_increments"]

    def test_a_line_is_found_without_error(self):
        sizes = [10, 20, 40, 80]
        intercept, slope, squared = _line(sizes, [3 + 5 / n for n in sizes])
        assert (intercept, slope, squared) == pytest.approx((3, 5, 1))

    def test_batches_in_order_and_seeds(self):
        real, y = self.real(3), gaussian(300, 3, 1)
        one = frechet_infinity(real, y, features="t")
        assert frechet_infinity(real, y, features="t") == one
        other = frechet_infinity(real, y, features="t", seed=1)
        assert other.value != one.value
        assert other.value == pytest.approx(one.value, abs=5 * one.error)
        numpy = frechet_infinity(real, y.numpy(), features="t")
        assert numpy.value == one.value

    def test_the_reals_are_factored_once(self, monkeypatch):
        calls = []
        real_cholesky = torch.linalg.cholesky_ex
        monkeypatch.setattr(
            torch.linalg, "cholesky_ex", lambda s: calls.append(1) or real_cholesky(s)
        )
        frechet_infinity(self.real(3), gaussian(300, 3, 1), features="t")
        assert len(calls) == 1

    def test_reals_fewer_than_features_serve_and_are_said(self):
        x, y = gaussian(20, 30, 0), gaussian(300, 30, 1)
        measure = frechet_infinity(Moments.of(x), y, features="t", smallest=25)
        assert measure.parts["at_300"] == pytest.approx(slow(x, y), rel=1e-8)
        assert "n_real = 20" in measure.warnings[0]
        assert "smallest prefix has 25 fakes for d = 30" in measure.warnings[1]

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"fakes": [torch.zeros(9, 3)]}, "n = None: where fakes come in batches"),
            ({"fakes": [torch.randn(40, 3)], "n": 50}, "ended after 40 samples"),
            ({"fakes": torch.zeros(9, 3), "n": 8}, "fakes holds 9 rows"),
            ({"fakes": torch.zeros(9, 3)}, "smallest = 2 of n = 9"),
            ({"fakes": torch.zeros(90, 3), "sizes": 2}, "sizes = 2"),
            ({"fakes": torch.zeros(90, 3), "smallest": 1}, "smallest = 1"),
            ({"fakes": torch.zeros(90, 4)}, r"must be \(N, 3\)"),
            ({"fakes": torch.full((90, 3), math.nan)}, "holds NaN"),
        ],
    )
    def test_what_cannot_be_is_refused(self, options, said):
        with pytest.raises(ValueError, match=said):
            frechet_infinity(self.real(3), features="t", **options)


def test_factors_are_made_once():
    side = Side(torch.diag(torch.tensor([4.0, 0, 1])).double(), None, 2)
    made = factored(side)
    assert made.factor.shape == (3, 2)
    assert torch.allclose(made.factor @ made.factor.T, side.covariance)
    assert factored(made) is made
