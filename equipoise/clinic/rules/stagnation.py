"""Training goes on and nothing gets better, far from good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from equipoise.clinic.adversarial import other_loss
from equipoise.clinic.quality import improving, last_evaluations, mostly_low, over, poor_samples
from equipoise.clinic.windows import FEWEST, late_evidence, median, onset, window
from equipoise.clinic.worsening import distances, worsened
from equipoise.record import Evidence, Finding, Series, Trace

# Gain over the second half of the run below which a metric counts as flat. Stable runs of a public
# benchmark that were far from their floor gained 13 % and more there.
FLAT = 0.1
# Far from the data, on the metric's own scale. FID: the worst of 20 stable public runs ended at 63,
# a run that never learned at 164.
FAR = {"metric/fid": 100.0}
# Where the budget is spent. Healthy runs end at coverage 0.21 and more, and with 0.09 and more good
# samples of a mixture (median of the last three evaluations).
NOTHING = {"metric/coverage": 0.15, "metric/high_quality": 0.05}
# Share of the first weights in the average: 0.02 in the presets, whose half-life is a sixth of the
# run. Norm of the weights over that of the start: healthy generators grow, by 1 to 1.5.
KEPT, SHRUNK = 0.1, 0.8
UNLEARNED = 0.5  # without a scale: still above this share of the first evaluation


def stagnation(trace: Trace) -> Finding | None:
    """A distance to the data that is flat over half of the run, far from its floor.

    Looks like convergence, where the metric is flat at its floor: the level decides. A metric with
    a scale of its own (FID) is judged by it, another by how little of its start it has lost. Runs
    whose quality was better once diverge or collapse instead. Beside a reconstruction a distance
    may stand still while the held-out error falls, which is learning. Where the budget is spent,
    it is also told of an average that still holds the weights of the start, of weights that shrink,
    and, below every other finding, of next to nothing learned (`NOTHING`).
    """
    slow = _lags(trace) or _shrinks(trace)
    if slow is not None:
        return slow
    if worsened(trace, 1.25) is not None:
        return None
    if other_loss(trace) is not None and improving(trace) is not None:
        return None
    for name, series in distances(trace):
        half = series.since(int(series.steps[len(series) // 2]))
        if len(half) >= 3 and _flat(half) and _far(name, series, half):
            level = float(np.median(half.values))
            limit = FAR.get(name, UNLEARNED * float(series.values[0]))
            evidence = Evidence(name, level, f"below {limit:.4g}, or falling", window(half))
            since = min(_since(series, level), int(half.steps[0]))
            summary = (
                f"Training has stopped paying: {name} has stood at about {level:.4g} since step"
                f" {since}, far from good."
            )
            return Finding("stagnation", 0.7, since, summary, (evidence,))
    return _spent(trace)


def _lags(trace: Trace) -> Finding | None:
    """Poor samples of an average that still holds much of the weights of the start."""
    kept = _kept(trace)
    poor = (poor_samples(trace) or _unlearned(trace)) if over(trace) else []
    if not kept >= KEPT or not poor:
        return None
    since = poor[0].window[0]
    summary = (
        f"The samples stand still since step {since}: they come from an average of the weights"
        f" that at the end still holds {kept:.0%} of the start."
    )
    return Finding("stagnation", 0.97, since, summary, tuple(poor))


def _kept(trace: Trace) -> float:
    """2^-(kimg / half-life), the share of the first weights after the recipe's budget."""
    recipe = trace.header.get("recipe")
    known: Mapping[str, Any] = recipe if isinstance(recipe, Mapping) else {}
    ema = known.get("ema")
    half_life, rampup = (ema.get("half_life_kimg"), ema.get("rampup")) if ema else (None, None)
    budget = known.get("kimg")
    return 0.5 ** (budget / half_life) if budget and half_life and not rampup else 0.0


def _unlearned(trace: Trace) -> list[Evidence]:
    """Distances that have kept most of their first value."""
    named = (
        (n, last_evaluations(trace, n), UNLEARNED * float(s.values[0])) for n, s in distances(trace)
    )
    return [
        Evidence(n, median(tail), f"below {limit:.4g}", window(tail))
        for n, tail, limit in named
        if median(tail) > limit
    ]


def _shrinks(trace: Trace) -> Finding | None:
    """A generator whose weights are pulled to nothing faster than it learns."""
    name = "parameter_norm/generator"
    series = trace.series(name).finite()
    poor = poor_samples(trace)
    if len(series) < FEWEST or not poor or not over(trace):
        return None
    first = float(series.values[0])
    found = late_evidence(trace, name, f"above {SHRUNK:g} of its first {first:.4g}")
    since = onset(series, series.values < SHRUNK * first)
    if found.observed >= SHRUNK * first or since is None:
        return None
    summary = (
        f"The generator does not get anywhere since step {since}: its weights have shrunk to"
        f" {found.observed / first:.0%} of their size, and the samples are poor."
    )
    return Finding("stagnation", 0.97, since, summary, (found, *poor))


def _spent(trace: Trace) -> Finding | None:
    """A budget that is spent, and next to nothing learned on a scale of its own."""
    if not over(trace):
        return None
    for name in sorted(trace.signals):
        limit = next((least for stem, least in NOTHING.items() if name.startswith(stem)), None)
        evidence = None if limit is None else mostly_low(trace, name, limit)
        if evidence is None:
            continue
        since = evidence.window[0]
        summary = (
            f"The run is over and has learned next to nothing: {name} is {evidence.observed:.3g}"
            f" since step {since}."
        )
        return Finding("stagnation", 0.55, since, summary, (evidence,))
    return None


def _since(series: Series, level: float) -> int:
    """First evaluation from which all are within `FLAT` of the level; the last may be alone."""
    away = np.flatnonzero(np.abs(series.values / level - 1) > FLAT)
    first = int(away[-1]) + 1 if len(away) else 0
    return int(series.steps[min(first, len(series) - 1)])


def _flat(half: Series) -> bool:
    third = max(len(half) // 3, 1)
    before, after = np.median(half.values[:third]), np.median(half.values[-third:])
    return bool(after > (1 - FLAT) * before)


def _far(name: str, series: Series, half: Series) -> bool:
    level = float(np.median(half.values))
    return level > FAR.get(name, UNLEARNED * float(series.values[0]))
