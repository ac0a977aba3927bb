"""The statistics of paired seeds: exact test, interval, correction, verdict.

A difference is one seed's improvement of the arm over its baseline, positive where the arm is
better whatever the metric's direction. The same seed gives both runs the same data and noise, so
the differences are what is left of the change itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import need
from equipoise.record import TrialVerdict

MOST_PAIRS = 20  # 2^20 sign patterns: a million sums, 8 MB
LEVEL = 0.95
_POWER = 0.8
_MOST_SEEDS = 200  # beyond this "more seeds" is no advice


@dataclass(frozen=True)
class Decision:
    """What paired differences decide.

    Attributes:
        verdict: "keep", "revert" or "inconclusive".
        improvement: mean difference, NaN where there is none.
        interval: two-sided 95 % t-interval of the mean.
        p_value: exact one-sided sign-flip test of "no improvement" (adjusted, if an adjusted one
            was given).
        reason: why, in one sentence.
    """

    verdict: TrialVerdict
    improvement: float
    interval: tuple[float, float]
    p_value: float
    reason: str


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Exact one-sided p-value of "mean <= 0" against "mean > 0".

    Under the hypothesis each difference is as likely with the other sign, so all 2^n sign patterns
    are equally likely: p = #{patterns with a sum >= the observed one} / 2^n, the observed pattern
    and ties included; hence p >= 2^-n. A flipped subset S lowers the sum by 2 sum(S), so what is
    counted is subsets with sum(S) <= 0.

    Raises:
        ValueError: no difference, one that is not finite, or more than 20.

    Source: Fisher, The Design of Experiments (1935), section 21.

    >>> sign_flip_p_value([0.3, 0.1, 0.2, 0.4, 0.1])
    0.03125
    """
    values = np.sort(_checked(differences))
    if len(values) > MOST_PAIRS:
        raise ValueError(
            f"differences has {len(values)} entries: the exact test covers at most {MOST_PAIRS}"
            f" pairs (2^{MOST_PAIRS} sign patterns); give fewer seeds"
        )
    scaled, _ = _scaled(values)
    sums = np.zeros(1)
    for value in scaled:
        sums = np.concatenate([sums, sums + value])
    rounding = len(values) * np.finfo(np.float64).eps * np.abs(scaled).sum()
    return int(np.count_nonzero(sums <= rounding)) / len(sums)


def t_interval(differences: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """The two-sided t-interval mean -+ t s / sqrt(n) of the mean difference; all of R for n = 1.

    Raises:
        ValueError: no difference, one that is not finite, or a level outside (0, 1).
        MissingExtraError: scipy is not installed.
    """
    values = _checked(differences)
    if not 0 < level < 1:
        raise ValueError(f"level = {level!r} must lie between 0 and 1; 0.95 is usual")
    if len(values) == 1:
        return -math.inf, math.inf
    try:
        from scipy.stats import t
    except ImportError as error:
        raise need("scipy", "train") from error
    quantile = float(t.ppf((1 + level) / 2, len(values) - 1))
    mean, spread = _mean_and_spread(values)
    half = quantile * spread / math.sqrt(len(values))
    return mean - half, mean + half


def fewest_seeds(arms: int = 1, alpha: float = 0.05) -> int:
    """The least number of pairs that can decide: 2^-n <= alpha / arms (Holm's first step).

    Raises:
        ValueError: arms below 1, or alpha outside (0, 1).

    >>> fewest_seeds()
    5
    """
    if arms < 1:
        raise ValueError(f"arms = {arms!r} must be at least 1")
    _check_alpha(alpha)
    return max(1, math.ceil(math.log2(arms / alpha)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the given order: with p_(1) <= ... <= p_(m),
    adjusted p_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)).

    Raises:
        ValueError: one outside [0, 1].

    Source: Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.

    >>> holm([0.04, 0.01])
    [0.04, 0.02]
    """
    for index, p in enumerate(p_values):
        if not 0 <= p <= 1:
            raise ValueError(f"p_values[{index}] = {p!r} must lie in [0, 1]")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def decide(
    improvements: Sequence[float],
    minimal_effect: float = 0.0,
    alpha: float = 0.05,
    adjusted: float | None = None,
) -> Decision:
    """Keep the change, revert it, or say that the pairs do not tell.

    * keep: p <= alpha and the whole interval lies above `minimal_effect`. Two tests must agree,
      the exact one and the one that measures the size, because a change that is kept stays.
    * revert: the mirrored test says worse (p of the negated differences <= alpha), or the whole
      interval lies below `minimal_effect`: even the best plausible effect is not worth keeping.
      Either suffices, because reverting returns to what is known. Differences that are all equal
      have an interval of length 0, which counts from `fewest_seeds(alpha=alpha)` pairs on.
    * inconclusive: neither. Below two pairs always.

    `adjusted` replaces p in the rule for keeping where several arms share one trial (see `holm`).

    Raises:
        ValueError: a difference that is not finite (its index is named), more than 20 pairs, a
            negative `minimal_effect`, or an `alpha` outside (0, 1).
    """
    _check_alpha(alpha)
    if not 0 <= minimal_effect < math.inf:
        raise ValueError(
            f"minimal_effect = {minimal_effect!r} must be finite and at least 0: it is the least"
            " improvement worth keeping, whatever the metric's direction"
        )
    if len(improvements) == 0:
        reason = "no pair of runs ended with a value, so nothing was compared"
        return Decision("inconclusive", math.nan, (-math.inf, math.inf), 1.0, reason)
    p_value = sign_flip_p_value(improvements) if adjusted is None else adjusted
    worse = sign_flip_p_value([-d for d in improvements])
    values = _checked(improvements)
    mean, interval = _mean_and_spread(values)[0], t_interval(improvements)
    verdict, reason = _judged(values, interval, p_value, worse, minimal_effect, alpha)
    return Decision(verdict, mean, interval, p_value, reason)


def _judged(
    values: NDArray[np.float64],
    interval: tuple[float, float],
    p_value: float,
    worse: float,
    least: float,
    alpha: float,
) -> tuple[TrialVerdict, str]:
    n, (low, high) = len(values), interval
    sure = n >= 2 and (low < high or n >= fewest_seeds(alpha=alpha))
    if p_value <= alpha and low > least and n >= 2:
        better = int(np.count_nonzero(values > 0))
        return "keep", (
            f"better on {better} of {n} seeds (p = {p_value:.3g}), and the interval lies above"
            f" {least:g}"
        )
    if worse <= alpha and n >= 2:
        lost = int(np.count_nonzero(values < 0))
        return "revert", f"worse on {lost} of {n} seeds (p of being no worse = {worse:.3g})"
    if high < least and sure:
        return "revert", (
            f"even the upper end of the interval, {high:.4g}, is below the least effect worth"
            f" keeping, {least:g}"
        )
    return "inconclusive", _undecided(values, interval, p_value, least, alpha)


def _undecided(
    values: NDArray[np.float64],
    interval: tuple[float, float],
    p_value: float,
    least: float,
    alpha: float,
) -> str:
    """Why the pairs do not tell, and what would."""
    n, fewest = len(values), fewest_seeds(alpha=alpha)
    if not values.any():
        return (
            f"all {n} pairs are exactly equal: the change had no effect; check that it is in force"
        )
    if n < fewest:
        return (
            f"{n} pair{'s' * (n > 1)} cannot reach p <= {alpha:g} (the least possible is"
            f" {0.5**n:.3g}); give at least {fewest} seeds"
        )
    if p_value > alpha:
        why = f"p = {p_value:.3g} is above {alpha:g}"
    else:
        why = f"the interval [{interval[0]:.4g}, {interval[1]:.4g}] is not above {least:g}"
    return f"{why}; {_more_seeds(values, least)}"


def _more_seeds(values: NDArray[np.float64], least: float) -> str:
    """Normal approximation: n = ((z_.975 + z_.8) s / (mean - least))^2 pairs for power 0.8."""
    mean, spread = _mean_and_spread(values)
    distance = abs(mean - least)
    normal = NormalDist()
    quantiles = normal.inv_cdf((1 + LEVEL) / 2) + normal.inv_cdf(_POWER)
    reach = quantiles * spread / distance if distance > 0 else math.inf
    if reach > math.sqrt(_MOST_SEEDS):
        return "the effect is so near to the least worth keeping that more seeds will hardly decide"
    more = max(1, math.ceil(reach**2) - len(values))
    return f"about {more} more seed{'s' * (more > 1)} would decide, if the effect is what it seems"


def _checked(differences: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(list(differences), np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError("differences must hold at least one number; it is empty")
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise ValueError(
            f"differences[{wrong[0]}] = {values[wrong[0]]} is not finite; leave the pair out and"
            " count its run as failed"
        )
    return values


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha!r} must lie between 0 and 1; 0.05 is usual")


def _scaled(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """`values` / 2^e, the largest below 1, and e: exact, and no sum or square overflows."""
    exponent = math.frexp(float(np.abs(values).max()))[1]
    return np.ldexp(values, -exponent), exponent


def _mean_and_spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and sample standard deviation; both exact where all values are equal."""
    if np.all(values == values[0]):
        return float(values[0]), 0.0
    scaled, exponent = _scaled(values)
    with np.errstate(over="ignore"):
        return (
            float(np.ldexp(scaled.mean(), exponent)),
            float(np.ldexp(scaled.std(ddof=1), exponent)),
        )
