"""The generator fools a discriminator that cannot keep up."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.lead import loss_of_chance
from equipoise.clinic.quality import poor_diversity, poor_reach, settled
from equipoise.clinic.windows import (
    late,
    late_evidence,
    late_median,
    median,
    onset,
    persistent_share,
    window,
)
from equipoise.record import Evidence, Finding, Series, Trace

BLIND = 0.52  # AUC at or below which the discriminator does no better than a coin
LONG = 0.25
MOVES = 1e-9  # update ratio above which the discriminator does learn
ABOVE = 1.02  # a discriminator's loss above chance by this factor is worse than knowing nothing


def generator_dominance(trace: Trace) -> Finding | None:
    """AUC at or below chance for long, a discriminator that moves, and fakes that are poor.

    Looks like equilibrium, where AUC is near 0.5 as well and samples are good: without a signal
    that says the samples are poor there is no finding. A discriminator that never moves is stalled.
    """
    series = trace.series("auc/discriminator").finite()
    since = _blind(trace, series)
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


def _blind(trace: Trace, series: Series) -> int | None:
    """Since when AUC is at chance: to the end, or, in a run that is over, in the late median.

    A generator that keeps moving under a slow discriminator passes in front of it now and then.
    """
    since = onset(series, np.asarray(series.values <= BLIND))
    part = late(series)
    if not len(part) or not settled(trace) or not median(part) <= BLIND:
        return since
    start = int(part.steps[0])
    return start if since is None else min(since, start)


def _worse_than_chance(trace: Trace) -> Evidence | None:
    chance = loss_of_chance(trace)
    expected = f"at most {chance:g}, the loss of knowing nothing"
    found = late_evidence(trace, "loss/discriminator", expected)
    return found if found.observed >= ABOVE * chance else None
