"""Is the generator getting better, is it good, is it diverse? The vetoes that rules share."""

from __future__ import annotations

import math

import numpy as np

from equipoise.clinic.windows import FEWEST, late_evidence, median, window
from equipoise.record import Evidence, Series, Trace, describe

# Diversity ratio of a batch. Late medians of healthy runs: 0.95 and more on ring, grid and digits;
# of digits-sick: below 0.6 (benchmarks/RESULTS.md).
POOR_DIVERSITY = 0.6
# Share of reals that the fakes reach. Healthy late values on digits: coverage above 0.6, recall
# above 0.9 (benchmarks/RESULTS.md); 1 of 5 clusters kept gives 0.19 (closed form).
POOR_REACH = 0.25
EVALUATIONS = 3  # in a row that must agree: a mode lost in one evaluation is often back in the next
REACH_PREFIXES = ("metric/coverage", "metric/recall")
# A mixture of known density. Modes hit by a good sample, of all: healthy runs of 8 and 25 modes end
# at 0.875 and more; one missing mode is the chance of a thin one. Where hardly a sample is good the
# share says nothing of modes. KL of the modes' shares: one of eight modes lost gives
# ln(8/7) = 0.13; healthy runs end below 0.07, constrained ones of every kind below 0.1
# (benchmarks/RESULTS.md).
FEW_MODES, PRECISE = 0.8, 0.05
UNEVEN = 0.13
# Levels that leave room: not sick by themselves, since healthy runs of small networks end there,
# but poor beside a player that has the upper hand. Reals among reals: coverage 0.97; good samples
# of a perfect sampler: 1 - exp(-4.5) = 0.99. Healthy digits end at coverage 0.21 (grown) to 0.58,
# healthy mixtures at 0.1 to 0.4 good samples. FID as in `rules.stagnation`.
LOW = {"metric/coverage": 0.4, "metric/high_quality": 0.2}
HIGH = {"metric/fid": 100.0}
OVER = 0.99  # share of the budget from which a run is over: its level is what it leaves
IMPROVES = 0.15  # relative gain over the second half of the run that counts as improving


def improving(trace: Trace) -> tuple[str, float] | None:
    """The metric that improves most over the last half of the run, and its relative gain.

    Gain is (late - middle) / |middle| in the metric's better direction; None below `IMPROVES`.
    """
    gains = [(name, _gain(name, trace.series(name).finite())) for name in trace.signals]
    named = [(name, gain) for name, gain in gains if not math.isnan(gain) and gain >= IMPROVES]
    return max(named, key=lambda pair: pair[1], default=None)


def _gain(name: str, series: Series) -> float:
    signal = describe(name)
    if signal is None or signal.better is None or len(series) < 3:
        return math.nan
    middle = float(series.values[len(series) // 2])
    if middle == 0 or not math.isfinite(middle):
        return math.nan
    change = (float(series.values[-1]) - middle) / abs(middle)
    return -change if signal.better == "lower" else change


def poor_diversity(trace: Trace) -> Evidence | None:
    """Fakes of a batch far closer together than its reals, late in the run."""
    expected = f"about 1; above {POOR_DIVERSITY} on every healthy run"
    found = late_evidence(trace, "diversity/pairwise", expected)
    enough = len(trace.series("diversity/pairwise").finite()) >= FEWEST
    return found if enough and found.observed < POOR_DIVERSITY else None


def settled(trace: Trace) -> bool:
    """Whether a level can be judged: the budget is spent, or no metric improves any more."""
    return over(trace) or improving(trace) is None


def over(trace: Trace) -> bool:
    """Whether a known budget is spent."""
    budget = trace.header.get("budget_steps")
    return isinstance(budget, (int, float)) and 0 < OVER * budget <= trace.last_step


def poor_reach(trace: Trace) -> Evidence | None:
    """A metric of coverage that says, evaluation after evaluation, that most data is missing.

    On a mixture of known density every mode counts (`lost_modes`).
    """
    for name in sorted(n for n in trace.signals if n.startswith(REACH_PREFIXES)):
        found = level(trace, name, below=POOR_REACH)
        if found is not None:
            return found
    return lost_modes(trace)


def lost_modes(trace: Trace) -> Evidence | None:
    """Modes of a known mixture without samples, or with far fewer than their share."""
    if not settled(trace):
        return None
    uneven = level(trace, "metric/mode_kl", least=UNEVEN)
    good = last_evaluations(trace, "metric/high_quality").values
    if uneven is not None or (len(good) and float(np.median(good)) < PRECISE):
        return uneven
    return level(trace, "metric/mode_coverage", below=FEW_MODES)


def last_evaluations(trace: Trace, name: str) -> Series:
    """The last `EVALUATIONS` finite values of a metric, or fewer."""
    series = trace.series(name).finite()
    return Series(series.steps[-EVALUATIONS:], series.values[-EVALUATIONS:])


def mostly_low(trace: Trace, name: str, limit: float) -> Evidence | None:
    """As `level`, by the median: at the end of a schedule a level may rise at once."""
    tail = last_evaluations(trace, name)
    if len(tail) < EVALUATIONS or not median(tail) < limit:
        return None
    return Evidence(name, median(tail), f"at least {limit:g}", window(tail))


def level(
    trace: Trace, name: str, below: float = math.inf, least: float = -math.inf
) -> Evidence | None:
    """The last evaluations, if all of them lie in [least, below); None otherwise."""
    tail = last_evaluations(trace, name)
    if len(tail) < EVALUATIONS or not bool(((tail.values >= least) & (tail.values < below)).all()):
        return None
    expected = f"at least {below:g}" if math.isfinite(below) else f"below {least:g}"
    return Evidence(name, median(tail), expected, window(tail))


def poor_samples(trace: Trace) -> list[Evidence]:
    """What says, on a scale of its own, that the samples are far from the data at the end.

    Fakes of a batch too alike, data that is not reached, and, where the run is over or nothing
    improves, metrics beyond `LOW` and `HIGH`.
    """
    found = [poor_diversity(trace), poor_reach(trace)]
    for name in sorted(trace.signals) if settled(trace) else ():
        low = next((limit for stem, limit in LOW.items() if name.startswith(stem)), None)
        if low is not None:
            found.append(mostly_low(trace, name, low))
        if name in HIGH:
            found.append(level(trace, name, least=HIGH[name]))
    return list({e.signal: e for e in reversed(found) if e is not None}.values())[::-1]
