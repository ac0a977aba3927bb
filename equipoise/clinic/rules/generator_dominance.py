"""The generator fools a discriminator that cannot keep up."""

from __future__ import annotations

import math

import numpy as np

from equipoise.clinic.objective import objective, scale
from equipoise.clinic.quality import poor_diversity, poor_reach
from equipoise.clinic.windows import (
    late_evidence,
    late_median,
    median,
    onset,
    persistent_share,
    window,
)
from equipoise.record import Evidence, Finding, Trace

BLIND = 0.52  # AUC at or below which the discriminator does no better than a coin
LONG = 0.25
MOVES = 1e-9  # update ratio above which the discriminator does learn
# Loss of the discriminator when it cannot tell: the optimum at p = q (Goodfellow et al. 2014,
# theorem 1; the others likewise, closed forms).
CHANCE = {
    "non_saturating": 1.386294,
    "minimax": 1.386294,
    "least_squares": 0.25,
    "wasserstein": 0.0,
    "hinge": 2.0,
    "relativistic": 0.693147,
    "relativistic_hinge": 1.0,
    "relativistic_least_squares": 1.0,
    "relativistic_average": 1.386294,
    "relativistic_average_hinge": 2.0,
    "relativistic_average_least_squares": 2.0,
}
ABOVE = 1.02  # a discriminator's loss above chance by this factor is worse than knowing nothing


def generator_dominance(trace: Trace) -> Finding | None:
    """AUC at or below chance for long, a discriminator that moves, and fakes that are poor.

    Looks like equilibrium, where AUC is near 0.5 as well and samples are good: without a signal
    that says the samples are poor there is no finding. A discriminator that never moves is stalled.
    """
    series = trace.series("auc/discriminator").finite()
    since = onset(series, np.asarray(series.values <= BLIND))
    if since is None or persistent_share(trace, since) < LONG:
        return None
    if late_median(trace, "update_ratio/discriminator") <= MOVES:
        return None
    poor = [e for e in (poor_diversity(trace), poor_reach(trace)) if e is not None]
    if not poor:
        return None
    held = series.since(since)
    auc = Evidence(
        "auc/discriminator", median(held), f"above {BLIND} while fakes are poor", window(held)
    )
    loss = _worse_than_chance(trace)
    summary = (
        f"The generator has the upper hand: since step {since} the discriminator tells real from"
        f" fake no better than a coin ({auc.observed:.2f}), although the samples are poor."
    )
    evidence = (auc, *poor, *([loss] if loss else []))
    return Finding("generator_dominance", 0.9 if loss else 0.75, since, summary, evidence)


def _worse_than_chance(trace: Trace) -> Evidence | None:
    chance = loss_of_chance(trace)
    expected = f"at most {chance:g}, the loss of knowing nothing"
    found = late_evidence(trace, "loss/discriminator", expected)
    return found if found.observed >= ABOVE * chance else None


def loss_of_chance(trace: Trace) -> float:
    """The discriminator's loss when it cannot tell, in the run's own scale; NaN where unknown.

    The trace's header says it; for a foreign log that names its objective the table does.
    """
    known = trace.header.get("chance")
    if isinstance(known, (int, float)):
        return float(known)
    return scale(trace) * CHANCE.get(objective(trace) or "", math.nan)
