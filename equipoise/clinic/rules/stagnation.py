"""Training goes on and nothing gets better, far from good."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.adversarial import other_loss
from equipoise.clinic.quality import improving
from equipoise.clinic.windows import window
from equipoise.clinic.worsening import distances, worsened
from equipoise.record import Evidence, Finding, Series, Trace

# Gain over the second half of the run below which a metric counts as flat. Stable runs of a public
# benchmark that were far from their floor gained 13 % and more there.
FLAT = 0.1
# Far from the data, on the metric's own scale. FID: the worst of 20 stable public runs ended at 63,
# a run that never learned at 164.
FAR = {"metric/fid": 100.0}
UNLEARNED = 0.5  # without a scale: still above this share of the first evaluation


def stagnation(trace: Trace) -> Finding | None:
    """A distance to the data that is flat over half of the run, far from its floor.

    Looks like convergence, where the metric is flat at its floor: the level decides. A metric with
    a scale of its own (FID) is judged by it, another by how little of its start it has lost. Runs
    whose quality was better once diverge or collapse instead. Beside a reconstruction a distance
    may stand still while the held-out error falls, which is learning.
    """
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
            since = _since(series, level)
            summary = (
                f"Training has stopped paying: {name} has stood at about {level:.4g} since step"
                f" {since}, far from good."
            )
            return Finding("stagnation", 0.7, since, summary, (evidence,))
    return None


def _since(series: Series, level: float) -> int:
    """First evaluation from which all are within `FLAT` of the level."""
    away = np.flatnonzero(np.abs(series.values / level - 1) > FLAT)
    return int(series.steps[int(away[-1]) + 1 if len(away) else 0])


def _flat(half: Series) -> bool:
    third = max(len(half) // 3, 1)
    before, after = np.median(half.values[:third]), np.median(half.values[-third:])
    return bool(after > (1 - FLAT) * before)


def _far(name: str, series: Series, half: Series) -> bool:
    level = float(np.median(half.values))
    return level > FAR.get(name, UNLEARNED * float(series.values[0]))
