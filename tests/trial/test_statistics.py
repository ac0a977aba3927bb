"""Golden values, properties and error rates of the statistics that a verdict rests on."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from equipoise.trial.statistics import decide, fewest_seeds, holm, sign_flip_p_value, t_interval

DIFFERENCES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=9)
WHOLE = st.lists(st.integers(-5, 5), min_size=1, max_size=9)


def slow_p_value(differences):
    """The definition: every pattern of signs, its sum held against the observed one."""
    observed = sum(differences)
    patterns = list(itertools.product((1, -1), repeat=len(differences)))
    sums = [sum(s * d for s, d in zip(p, differences, strict=True)) for p in patterns]
    return sum(total >= observed for total in sums) / len(patterns)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5], 1 / 32),
        ([-1, -2, -3, -4, -5], 1.0),
        ([1], 0.5),
        ([0, 0, 0], 1.0),
        ([1, 2, 3, 4, -1], 3 / 32),  # flip nothing, the loss, or the loss and the 1 (a tie)
        ([0.1, 0.2, -0.3], 0.625),  # 0.1 + 0.2 - 0.3 is a tie although its float is not 0
        ([1e308, 1e308, 1e308], 1 / 8),
        ([1.0] * 20, 2.0**-20),
    ],
)
def test_sign_flip_golden_values(differences, p):
    assert sign_flip_p_value(differences) == p


@given(WHOLE)
def test_sign_flip_equals_its_slow_twin(differences):
    assert sign_flip_p_value(differences) == slow_p_value(differences)


@given(DIFFERENCES)
def test_sign_flip_is_never_below_one_pattern_and_never_above_all(differences):
    assert 2.0 ** -len(differences) <= sign_flip_p_value(differences) <= 1


@given(DIFFERENCES)
def test_both_sides_together_cover_everything(differences):
    assert sign_flip_p_value(differences) + sign_flip_p_value([-d for d in differences]) >= 1


@given(DIFFERENCES, st.randoms(use_true_random=False), st.integers(-30, 30))
def test_sign_flip_knows_no_order_and_no_unit(differences, random, power):
    p = sign_flip_p_value(differences)
    shuffled = random.sample(differences, len(differences))
    assert sign_flip_p_value(shuffled) == p
    assert sign_flip_p_value([d * 2.0**power for d in differences]) == p


@given(WHOLE, st.integers(1, 1000))
def test_sign_flip_knows_no_unit_that_is_no_power_of_two_either(differences, scale):
    assert sign_flip_p_value([d * scale / 7 for d in differences]) == sign_flip_p_value(differences)


@pytest.mark.parametrize(
    ("differences", "words"),
    [([], "empty"), ([1.0] * 21, "at most 20"), ([1.0, math.nan], r"differences\[1\] = nan")],
)
def test_what_cannot_be_tested_is_refused(differences, words):
    with pytest.raises(ValueError, match=words):
        sign_flip_p_value(differences)


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.7062), (5, 2.7764), (10, 2.2622)])
def test_t_interval_uses_the_tables_quantile(n, quantile):
    values = np.arange(n, dtype=float)
    low, high = t_interval(values)
    half = quantile * values.std(ddof=1) / math.sqrt(n)
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(half, rel=1e-4)


def test_t_interval_of_one_says_nothing_and_of_equals_is_exact():
    assert t_interval([0.3]) == (-math.inf, math.inf)
    assert t_interval([0.1] * 7) == (0.1, 0.1)
    assert all(math.isfinite(end) for end in t_interval([1e200, 2e200, 3e200]))
    with pytest.raises(ValueError, match="level"):
        t_interval([1, 2], level=95)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9))
def test_t_interval_equals_scipys(values):
    if np.std(values) < 1e-6:
        return
    low, high = t_interval(values)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("arms", "alpha", "n"), [(1, 0.05, 5), (2, 0.05, 6), (16, 0.05, 9), (1, 1 / 32, 5), (1, 0.9, 1)]
)
def test_fewest_seeds(arms, alpha, n):
    assert fewest_seeds(arms, alpha) == n
    assert arms * 2.0**-n <= alpha
    if n > 1:
        assert arms * 2.0 ** (1 - n) > alpha


@pytest.mark.parametrize(("arms", "alpha"), [(0, 0.05), (1, 0), (1, 1), (1, math.nan)])
def test_fewest_seeds_refuses(arms, alpha):
    with pytest.raises(ValueError, match="must"):
        fewest_seeds(arms, alpha)


def test_holm_golden_values():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    with pytest.raises(ValueError, match=r"p_values\[1\]"):
        holm([0.5, math.nan])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    for raw, value in zip(p_values, adjusted, strict=True):
        assert raw <= value <= min(1, len(p_values) * raw) or value == pytest.approx(raw)
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


VERDICTS = [
    ("better on all", [0.1, 0.2, 0.1, 0.3, 0.2], 0.0, "keep", "5 of 5"),
    ("all equal and better", [0.1] * 5, 0.0, "keep", "5 of 5"),
    ("better, but by too little", [0.010, 0.011, 0.012, 0.010, 0.011], 0.5, "revert", "upper end"),
    ("worse on all", [-1, -2, -3, -1, -2], 0.0, "revert", "worse on 5 of 5"),
    ("worse, three seeds", [-10.0, -10.1, -9.9], 0.0, "revert", "upper end"),
    ("no effect, worth 1", [0.0] * 5, 1.0, "revert", "upper end"),
    ("no effect", [0.0] * 5, 0.0, "inconclusive", "exactly equal"),
    ("equal pairs, too few", [-1.0, -1.0], 0.0, "inconclusive", "at least 5 seeds"),
    ("too few", [0.1, 0.2, 0.1, 0.2], 0.0, "inconclusive", "4 pairs cannot reach"),
    ("one pair", [5.0], 0.0, "inconclusive", "1 pair cannot reach"),
    ("none", [], 0.0, "inconclusive", "nothing was compared"),
    ("mixed", [0.1, 0.2, 0.1, -0.1, 0.2], 0.0, "inconclusive", "more seeds would decide"),
    ("better, size unsure", [0.1, 0.2, 0.15, 0.12, 0.11, 0.9], 0.2, "inconclusive", "interval"),
    ("a hair", [1.0, -1.0, 1.0, -1.0, 0.001], 0.0, "inconclusive", "hardly decide"),
]


@pytest.mark.parametrize(
    ("differences", "least", "verdict", "words"),
    [v[1:] for v in VERDICTS],
    ids=[v[0] for v in VERDICTS],
)
def test_verdicts(differences, least, verdict, words):
    decision = decide(differences, least)
    assert decision.verdict == verdict
    assert words in decision.reason
    assert "\n" not in decision.reason


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0, math.nan, 2.0],), r"differences\[1\]"),
        (([1.0, 2.0], -1.0), "minimal_effect"),
        (([1.0, 2.0], math.nan), "minimal_effect"),
        (([1.0, 2.0], 0.0, 5.0), "alpha"),
    ],
)
def test_decide_refuses_what_means_nothing(arguments, words):
    with pytest.raises(ValueError, match=words):
        decide(*arguments)


def test_an_adjusted_p_value_takes_the_place_of_the_raw_one():
    differences = [0.1, 0.2, 0.1, 0.3, 0.2]
    assert decide(differences).verdict == "keep"
    assert decide(differences, adjusted=0.0625).verdict == "inconclusive"
    assert decide(differences, adjusted=0.0625).p_value == 0.0625


@given(DIFFERENCES, st.floats(0, 10))
def test_a_change_and_its_mirror_are_never_both_kept(differences, least):
    forward, backward = decide(differences, least), decide([-d for d in differences], least)
    assert {forward.verdict, backward.verdict} != {"keep"}
    assert forward.improvement == pytest.approx(-backward.improvement)
    low, high = forward.interval
    assert low <= forward.improvement <= high
    if forward.verdict == "keep":
        assert forward.p_value <= 0.05
        assert low > least


@pytest.mark.parametrize("n", [5, 8])
def test_of_changes_that_do_nothing_few_are_kept(n):
    """2,000 A/A trials per case: at most 5 % may be kept; 3 standard errors are 1.5 %."""
    random = np.random.default_rng(n)
    for noise in (random.normal, random.standard_cauchy, random.laplace):
        trials = noise(size=(2000, n))
        kept = np.mean([decide(trial).verdict == "keep" for trial in trials])
        rejected = np.mean([sign_flip_p_value(trial) <= 0.05 for trial in trials])
        assert kept <= rejected <= 0.05 + 0.015


def test_of_changes_that_help_most_are_kept():
    random = np.random.default_rng(0)
    trials = random.normal(2.0, 1.0, size=(300, 8))
    assert np.mean([decide(trial).verdict == "keep" for trial in trials]) > 0.9
