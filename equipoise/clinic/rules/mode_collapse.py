"""The generator makes only a few kinds of samples."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.quality import POOR_DIVERSITY, poor_diversity, poor_reach
from equipoise.clinic.windows import late_evidence, late_median, onset, persistent_share
from equipoise.record import Evidence, Finding, Series, Trace

LONG = 0.15
# Nearest-neighbour distance ratio: fakes on a few points have near-duplicates in every batch.
DUPLICATES = 0.35
# Keeping 1 of 5 clusters gives precision 0.96 and recall 0.19 (closed form, k-NN metrics at k = 5).
PRECISE, NARROW = 0.5, 0.25
SURE = 0.99  # at this AUC an undiverse generator is a symptom of dominance, named before collapse


def mode_collapse(trace: Trace) -> Finding | None:
    """Fakes of a batch far closer together than its reals, or most of the data never reached.

    Two signals are asked for: pair distances, nearest-neighbour distances, coverage or recall; lost
    modes of a mixture with known density suffice alone. A small discriminator loss is no sign of
    it, and neither is any loss. Early on every generator is undiverse: it must last to the end.
    """
    diversity, reach = poor_diversity(trace), poor_reach(trace)
    near = _near_duplicates(trace)
    exact = reach is not None and reach.signal == "metric/mode_coverage"
    narrow = _precise_but_narrow(trace)
    evidence = tuple(e for e in (diversity, near, reach, narrow) if e is not None)
    if len(evidence) < 2 and not exact:
        return None
    since = _since(trace, evidence[0])
    if since is None or persistent_share(trace, since) < LONG:
        return None
    confidence = 0.95 if len(evidence) >= 3 or exact else 0.8
    if late_median(trace, "auc/discriminator") >= SURE:
        confidence = min(confidence, 0.7)
    return Finding(
        "mode_collapse", confidence, since, _summary(trace, evidence[0], since), evidence
    )


def _near_duplicates(trace: Trace) -> Evidence | None:
    expected = f"about 1; above {DUPLICATES} on every healthy run"
    found = late_evidence(trace, "diversity/nearest", expected)
    return found if found.observed < DUPLICATES else None


def _precise_but_narrow(trace: Trace) -> Evidence | None:
    """Good samples of few kinds: precision well above a recall that is low."""
    for name in sorted(n for n in trace.signals if n.startswith("metric/recall")):
        recall = trace.series(name).finite()
        precision = trace.series(name.replace("recall", "precision")).finite()
        if len(recall) and recall.last < NARROW <= PRECISE <= precision.last:
            span = (int(recall.steps[-1]), int(recall.steps[-1]))
            expected = f"at least {NARROW:g} where precision is {precision.last:.2f}"
            return Evidence(name, recall.last, expected, span, "last evaluation")
    return None


def _since(trace: Trace, first: Evidence) -> int | None:
    series = trace.series(first.signal).finite()
    limit = {"diversity/pairwise": POOR_DIVERSITY, "diversity/nearest": DUPLICATES}
    if first.signal in limit:
        return onset(series, np.asarray(series.values < limit[first.signal]))
    return _last_worse(series, 1.0 if first.signal == "metric/mode_coverage" else 0.25)


def _last_worse(series: Series, least: float) -> int | None:
    """First evaluation of the unbroken stretch of poor ones at the end."""
    good = np.flatnonzero(series.values >= least)
    first = int(good[-1]) + 1 if len(good) else 0
    return int(series.steps[first]) if first < len(series) else None


def _summary(trace: Trace, first: Evidence, since: int) -> str:
    if first.signal.startswith("metric/"):
        return (
            f"The generator makes only part of the data since step {since}: {first.signal} is"
            f" {first.observed:.2f}."
        )
    return (
        f"The generator makes only a few kinds of samples since step {since}: samples of a batch"
        f" are {first.observed:.0%} as far apart as real ones."
    )
