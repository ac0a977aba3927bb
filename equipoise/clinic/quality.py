"""Is the generator getting better, is it good, is it diverse? The vetoes that rules share."""

from __future__ import annotations

import math

from equipoise.clinic.windows import FEWEST, late_evidence, median, window
from equipoise.record import Evidence, Series, Trace, describe

# Diversity ratio of a batch. Late medians of healthy runs: 0.95 and more on ring, grid and digits;
# of digits-sick: below 0.6 (benchmarks/RESULTS.md).
POOR_DIVERSITY = 0.6
# Share of reals that the fakes reach. Healthy late values on digits: coverage above 0.6, recall
# above 0.9 (benchmarks/RESULTS.md); 1 of 5 clusters kept gives 0.19 (closed form).
POOR_REACH = 0.25
EVALUATIONS = 3  # in a row that must agree: a mode lost in one evaluation is often back in the next
REACH_PREFIXES = ("metric/coverage_", "metric/recall", "metric/mode_coverage", "metric/coverage")
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


def poor_reach(trace: Trace) -> Evidence | None:
    """A metric of coverage that says, evaluation after evaluation, that most data is missing.

    On a mixture of known density every mode counts: there it is anything below all modes, unless
    modes are still being found.
    """
    for name in sorted(trace.signals):
        if not name.startswith(REACH_PREFIXES):
            continue
        series = trace.series(name).finite()
        exact = name == "metric/mode_coverage"
        least = 1.0 if exact else POOR_REACH
        tail = Series(series.steps[-EVALUATIONS:], series.values[-EVALUATIONS:])
        if len(tail) < EVALUATIONS or (exact and tail.values[-1] > tail.values[0]):
            continue
        if bool((tail.values < least).all()):
            return Evidence(name, median(tail), f"at least {least:g}", window(tail))
    return None
