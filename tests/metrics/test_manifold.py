"""Precision, recall, density and coverage: exact counts, known values, blind spots, intervals."""

import contextlib
import io
import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import (
    balls,
    duplicates,
    frechet_distance,
    moments,
    prdc,
    precision_recall_coverage,
    rarity,
    same_law_coverage,
)

NAMES = ("precision", "recall", "density", "coverage")


def gaussian(n, d, seed, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(dtype)


def values(measures):
    return tuple(measures[name].value for name in NAMES)


def score(real, fake, k=5, **rest):
    return values(prdc(real=real, fake=fake, k=k, k_density=k, **rest))


def peer(real, fake, k):
    """dgm-eval's and clovaai's formulas: whole matrices, strict <, the set's own point counted."""

    def distance(a, b):
        return np.sqrt(np.square(a[:, None] - b[None]).sum(axis=-1))

    reach, fake_reach = (np.sort(distance(s, s), axis=1)[:, k] for s in (real, fake))
    between = distance(real, fake)
    held = between < reach[:, None]
    return (
        held.any(axis=0).mean(),
        (between < fake_reach).any(axis=1).mean(),
        held.sum(axis=0).mean() / k,
        (between.min(axis=1) < reach).mean(),
    )


SETS = [(60, 45, 3, 1.0, 5), (150, 150, 16, 0.8, 3), (40, 90, 1, 1.3, 1), (200, 120, 64, 1.0, 7)]


@pytest.mark.parametrize(("n", "m", "d", "scale", "k"), SETS)
def test_it_agrees_with_the_slow_twins(n, m, d, scale, k):
    real, fake = gaussian(n, d, 0), scale * gaussian(m, d, 1)
    assert score(real, fake, k) == pytest.approx(tuple(precision_recall_coverage(real, fake, k)))
    assert score(real, fake, k, ties="lt") == pytest.approx(peer(real, fake, k))


@pytest.mark.parametrize(("n", "m", "d", "scale", "k"), SETS)
def test_it_agrees_with_the_package_prdc(n, m, d, scale, k):
    package = pytest.importorskip("prdc", reason="pip install prdc==0.2")
    real, fake = gaussian(n, d, 2), scale * gaussian(m, d, 3)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = package.compute_prdc(real, fake, k)
    assert score(real, fake, k, ties="lt") == pytest.approx(tuple(theirs[n] for n in NAMES))


@pytest.mark.parametrize("ties", ["le", "lt"])
def test_neither_chunks_nor_float32_change_a_count(ties):
    real, fake = gaussian(130, 24, 0, np.float32), 0.9 * gaussian(110, 24, 1, np.float32)
    fake = fake.astype(np.float32)
    fake[:4] = real[:4]
    whole = score(real.astype(np.float64), fake.astype(np.float64), 3, ties=ties)
    for chunk in (5, 17, 64, 4096):
        assert score(real, fake, 3, ties=ties, chunk=chunk) == whole
    assert score(torch.from_numpy(real), torch.from_numpy(fake), 3, ties=ties) == whole


@given(seed=st.integers(0, 10**6), d=st.integers(1, 6), k=st.integers(1, 4))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_order_place_turn_and_unit_do_not_matter(seed, d, k):
    real, fake = gaussian(40, d, seed), 0.8 * gaussian(35, d, seed + 1)
    plain = score(real, fake, k)
    draw = np.random.default_rng(seed)
    assert score(draw.permutation(real), draw.permutation(fake), k) == plain
    assert score(real + 1000.0, fake + 1000.0, k) == plain
    turn, _ = np.linalg.qr(draw.normal(size=(d, d)))
    assert score(real @ turn, fake @ turn, k) == plain
    assert score(1e-3 * real, 1e-3 * fake, k) == plain


def test_swapping_the_sets_swaps_precision_and_recall():
    real, fake = gaussian(80, 3, 0), 0.3 * gaussian(70, 3, 1)
    there, back = score(real, fake), score(fake, real)
    assert there[:2] == back[1::-1]
    assert there[0] > there[1]


def test_each_metric_has_its_own_k():
    real, fake = gaussian(90, 4, 0), 0.9 * gaussian(80, 4, 1)
    both = prdc(real=real, fake=fake)
    assert values(both)[:2] == score(real, fake, 3)[:2]
    assert values(both)[2:] == score(real, fake, 5)[2:]
    assert [both[n].convention["k"] for n in NAMES] == [3, 3, 5, 5]
    assert both["recall"].name == "recall_features"


@pytest.mark.parametrize("ties", ["le", "lt"])
def test_identical_arrays_score_one_and_say_so(ties):
    x = gaussian(50, 4, 0)
    result = prdc(real=x, fake=x, ties=ties)
    assert (result["precision"].value, result["recall"].value, result["coverage"].value) == (1,) * 3
    # each closed ball holds its centre and its 5 neighbours, an open one loses the fifth
    assert result["density"].value == pytest.approx((6 if ties == "le" else 5) / 5)
    assert "50 of 50 fake samples are exact copies of reals" in result["precision"].warnings[-1]


@pytest.mark.parametrize(("ties", "expected"), [("le", 1), ("lt", 0)])
def test_sets_of_one_repeated_point_do_not_score_in_silence(ties, expected):
    x = np.full((20, 3), 0.1)
    result = prdc(real=x, fake=x, ties=ties)
    assert [result[n].value for n in ("precision", "recall", "coverage")] == [expected] * 3
    said = " ".join(result["coverage"].warnings)
    assert "20 of 20 real samples are repeated so often that their ball has radius 0" in said


def test_disjoint_sets_score_zero():
    assert score(gaussian(60, 2, 0), gaussian(50, 2, 1) + 100) == (0, 0, 0, 0)


def test_all_fakes_on_one_real_point_have_precision_alone():
    real = gaussian(200, 3, 0)
    precision, recall, _, coverage = score(real, real[:1].repeat(200, axis=0))
    assert (precision, recall) == (1, 1 / 200)
    assert coverage < 0.1


def test_one_of_five_far_clusters_has_the_known_scores():
    angle = np.arange(5) * 2 * np.pi / 5
    centres = 100 * np.stack([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], axis=1)
    draws = []
    for seed in range(10):
        real = np.concatenate([c + gaussian(100, 4, 10 * seed + i) for i, c in enumerate(centres)])
        draws.append(score(real, centres[0] + gaussian(100, 4, 10 * seed + 9)))
    precision, recall, _, coverage = np.mean(draws, axis=0)
    assert precision == pytest.approx(0.964, abs=0.01)
    assert recall == pytest.approx(0.189, abs=0.006)
    assert coverage == pytest.approx(same_law_coverage(100, 100) / 5, abs=0.004)  # .195


def clusters(n, centres, deviations, seed):
    centres = np.array(centres)
    return centres[np.arange(n) % len(centres)] + np.array(deviations) * gaussian(n, 2, seed)


CROSS = [[1, 0], [-1, 0], [0, 1], [0, -1]]
BLIND = {  # reals, fakes: equal means and covariances; precision, recall, coverage
    "A, tight": (
        (2.0 * np.array(CROSS), [0.1, 0.1]),
        ([[2**0.5, 0], [-(2**0.5), 0]], [0.1, 2.01**0.5]),
        (0.017, 0.012, 0.002),
    ),
    "B, centres kept": (
        (CROSS, [0.6**0.5, 0.6**0.5]),
        ([[1, 0], [-1, 0]], [0.1**0.5, 1.1**0.5]),
        (0.997, 0.943, 0.735),
    ),
}


@pytest.mark.parametrize("case", BLIND)
def test_the_blind_spots_of_the_frechet_distance_are_seen(case):
    (real_centres, real_sd), (fake_centres, fake_sd), expected = BLIND[case]
    n, draws = 3000, []
    for seed in range(3):
        real = clusters(n, real_centres, real_sd, seed)
        fake = clusters(n, fake_centres, fake_sd, 50 + seed)
        assert frechet_distance(*moments(real), *moments(fake)) < 0.02  # its blind spot
        draws.append(score(real, fake))
    assert np.mean(draws, axis=0)[[0, 1, 3]] == pytest.approx(np.array(expected), abs=0.02)
    fresh = score(real, clusters(n, real_centres, real_sd, 99))
    assert fresh[3] > 0.94


def test_the_control_without_matched_moments_has_the_known_scores():
    real, fake = clusters(3000, 2.0 * np.array(CROSS), 0.1, 0), clusters(3000, CROSS[:2], 0.05, 1)
    precision, recall, _, coverage = score(real, 2 * fake)
    assert frechet_distance(*moments(real), *moments(2 * fake)) == pytest.approx(2.0784, abs=0.05)
    assert precision == pytest.approx(0.997, abs=0.01)
    assert (recall, coverage) == pytest.approx((0.497, 0.495), abs=0.02)


def test_a_collapse_to_the_exact_moments_is_seen():
    n, d, kept = 5000, 64, 200
    draw = np.random.default_rng(0)
    centres = 3 * draw.normal(size=(25, d))
    real, fresh = (centres[draw.integers(0, 25, n)] + draw.normal(size=(n, d)) for _ in range(2))
    fake = matched(fresh[:kept], real)[np.arange(n) % kept]
    distance = [frechet_distance(*moments(real), *moments(s)) for s in (fake, fresh)]
    assert distance[0] < 1e-6 < 0.1 < distance[1]  # better than a fresh sample
    collapsed, honest = prdc(real=real, fake=fake), prdc(real=real, fake=fresh)
    assert collapsed["recall"].value < 0.005
    assert collapsed["coverage"].value < 0.1  # 200 points cover at most a fifth
    assert honest["recall"].value > 0.4
    assert honest["coverage"].value == pytest.approx(same_law_coverage(n, n), abs=0.02)
    assert any("5000 of 5000 fake samples are repeated" in w for w in collapsed["recall"].warnings)
    assert duplicates(fake=fake, real=real).parts["repeats"] == 4800
    assert duplicates(fake=fresh, real=real).value < 0.05


def matched(fake, real):
    """Fakes moved affinely to the reals' exact mean and covariance (with N, so repeats keep it)."""

    def root(features, sign):
        values, vectors = np.linalg.eigh(np.cov(features.T, bias=True))
        return vectors * values ** (sign / 2) @ vectors.T

    return (fake - fake.mean(axis=0)) @ root(fake, -1) @ root(real, 1) + real.mean(axis=0)


def test_coverage_of_one_law_is_the_known_expectation():
    assert same_law_coverage(500, 500) == pytest.approx(0.9692, abs=1e-4)
    assert same_law_coverage(10**7, 10**7) == pytest.approx(1 - 2**-5, abs=1e-6)
    draws = [
        prdc(real=gaussian(400, 4, s), fake=gaussian(200, 4, 99 + s))["coverage"] for s in range(12)
    ]
    expected = draws[0].parts["same_law"]
    assert expected == pytest.approx(same_law_coverage(400, 200))
    assert np.mean([m.value for m in draws]) == pytest.approx(expected, abs=0.015)


def test_given_balls_change_nothing_and_know_their_k():
    real, fake = gaussian(80, 3, 0), gaussian(70, 3, 1)
    kept = balls(real)
    assert prdc(real=kept, fake=fake) == prdc(real=real, fake=fake)
    assert prdc(real=kept, fake=balls(fake, [3])) == prdc(real=real, fake=fake)
    with pytest.raises(ValueError, match=r"balls of real hold k = \[3, 5\] and \[7\] is asked for"):
        prdc(real=kept, fake=fake, k=7)


def test_errors_are_binomial_with_balls_fixed():
    result = prdc(real=gaussian(300, 6, 0), fake=0.8 * gaussian(200, 6, 1))
    for name, n in (("precision", 200), ("recall", 300), ("coverage", 300)):
        measure = result[name]
        share = measure.value
        assert measure.error == pytest.approx(math.sqrt(share * (1 - share) / n))
        assert 0 <= measure.low < share < measure.high <= 1


def test_half_samples_give_the_spread_over_fresh_draws():
    draws, errors = [], []
    for seed in reversed(range(24)):
        real, fake = gaussian(200, 8, 2 * seed), 0.8 * gaussian(200, 8, 2 * seed + 1)
        draws.append(score(real, fake))
        if seed < 4:
            wide = prdc(real=real, fake=fake, k=5, resamples=16, seed=seed)
            errors.append([wide[n].error for n in NAMES])
    ratio = np.mean(errors, axis=0) / np.std(draws, axis=0, ddof=1)
    assert (ratio > 0.75).all()
    assert (ratio < 2).all()
    assert wide["recall"].convention["seed"] == 0
    assert wide["recall"].parts["error_balls_fixed"] > 0
    again = prdc(real=real, fake=fake, k=5, resamples=16, seed=0)
    assert again["density"].error == wide["density"].error


def test_rarity_is_the_least_ball_that_holds_a_fake():
    real, fake = gaussian(60, 2, 0), 1.5 * gaussian(50, 2, 1)
    gap = np.sqrt(np.square(real[:, None] - fake[None]).sum(axis=-1))
    own = np.sqrt(np.square(real[:, None] - real[None]).sum(axis=-1))
    reach = np.sort(own, axis=1)[:, 3]
    expected = np.where(gap <= reach[:, None], reach[:, None], np.inf).min(axis=0)
    found = rarity(real=real, fake=fake)
    assert np.isnan(found).sum() == np.isinf(expected).sum() > 0
    assert found[~np.isnan(found)] == pytest.approx(expected[np.isfinite(expected)])


def test_memory_is_bounded_by_the_chunk_and_not_by_n_squared():
    real, fake = gaussian(3000, 32, 0, np.float32), gaussian(3000, 32, 1, np.float32)
    tracemalloc.start()
    prdc(real=real, fake=fake, chunk=128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000 * 3000  # bytes; one float32 matrix would have four times that


def test_uneven_sets_are_warned_about():
    result = prdc(real=gaussian(100, 2, 0), fake=gaussian(40, 2, 1))
    assert "100 reals against 40 fakes" in result["recall"].warnings[0]


@pytest.mark.parametrize(
    ("real", "fake", "more", "message"),
    [
        (torch.zeros(5, 2), torch.zeros(9, 2), {}, r"k = \[3, 5\] with 5 real samples"),
        (torch.zeros(9, 2), torch.zeros(3, 2), {}, r"k = \[3\] with 3 fake samples"),
        (torch.zeros(9, 2), torch.zeros(9, 2), {"k": 0}, "each k must be at least 1"),
        (torch.zeros(9, 2), torch.zeros(9, 3), {}, "real and fake have 2 and 3 dimensions"),
        (torch.zeros(9, 2), torch.full((9, 2), torch.nan), {}, "fake: row 0 holds NaN"),
        (torch.zeros(9, 2), torch.zeros(9, 2), {"ties": "<"}, "ties = '<': must be 'le'"),
        (torch.zeros(9, 2), torch.zeros(9, 2), {"resamples": 1}, "resamples = 1: must be 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(real, fake, more, message):
    with pytest.raises(ValueError, match=message):
        prdc(real=real, fake=fake, **more)
