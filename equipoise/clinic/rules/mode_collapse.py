"""The generator makes only a few kinds of samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise.clinic.lead import somewhat_ahead
from equipoise.clinic.quality import (
    EVALUATIONS,
    FEW_MODES,
    POOR_DIVERSITY,
    POOR_REACH,
    UNEVEN,
    last_evaluations,
    poor_diversity,
    poor_reach,
    settled,
)
from equipoise.clinic.windows import (
    late_evidence,
    late_median,
    median,
    onset,
    persistent_share,
    window,
)
from equipoise.clinic.worsening import Worsening, worsened
from equipoise.record import Evidence, Finding, Series, Trace

LONG = 0.15
# Nearest-neighbour distance ratio: fakes on a few points have near-duplicates in every batch.
DUPLICATES = 0.35
# Keeping 1 of 5 clusters gives precision 0.96 and recall 0.19 (closed form, k-NN metrics at k = 5).
PRECISE, NARROW = 0.5, 0.25
# A distance to the data at this many times its best: of 20 stable public runs the largest lasting
# ratio was 1.16, of 9 collapsed ones the smallest 2.2.
DOUBLED = 2.0
# Fakes all but equal: whoever led there, this is what is left. Undiverse healthy starts read 0.03
# and more.
ONE_POINT = 0.01
SURE = 0.99  # at this AUC an undiverse generator is a symptom of dominance, named before collapse


def mode_collapse(trace: Trace) -> Finding | None:
    """Fakes of a batch far closer together than its reals, or most of the data never reached.

    On a mixture of known density: modes that are missing, or shares of the modes as uneven as if
    one of eight were, once the run is over or nothing improves; low coverage of data counts beside
    a discriminator that is ahead.

    Two signals are asked for: pair distances, nearest-neighbour distances, coverage or recall; lost
    modes of a mixture with known density suffice alone, and so does a distance to the data that has
    doubled for good. A small discriminator loss is no sign of it, and neither is any loss: four of
    nine public collapses left the losses where they were. Early on every generator is undiverse: it
    must last to the end.
    """
    diversity, reach = poor_diversity(trace), poor_reach(trace)
    exact = reach is not None and reach.signal.startswith("metric/mode_")
    near, worse = _near_duplicates(trace), worsened(trace, DOUBLED)
    jump = None if worse is None else worse.evidence()
    proof = _proof(trace, reach)
    found = (diversity, near, reach, *_precise_but_narrow(trace), jump, *proof[:1])
    evidence = tuple({e.signal: e for e in reversed(found) if e is not None}.values())[::-1]
    if len(evidence) < 2 and not exact and jump is None:
        return None
    sure = late_median(trace, "auc/discriminator") >= SURE
    if worse is not None and evidence[0] == jump:
        confidence = 0.55 if sure else 0.85
        return Finding("mode_collapse", confidence, worse.since, _collapsed(worse), evidence)
    since = next((s for e in evidence if (s := _since(trace, e)) is not None), None)
    if since is None or persistent_share(trace, since) < LONG:
        return None
    confidence = 0.95 if len(evidence) >= 3 or exact else 0.8
    if diversity is not None and diversity.observed < ONE_POINT:
        confidence = 0.96
    elif sure:
        confidence = min(confidence, 0.7)
    return Finding(
        "mode_collapse", confidence, since, _summary(trace, evidence[0], since), evidence
    )


def _proof(trace: Trace, reach: Evidence | None) -> list[Evidence]:
    """A discriminator that is ahead: coverage is lost in truth, not by the metric's features."""
    share = reach is not None and reach.signal.startswith("metric/coverage")
    return somewhat_ahead(trace) if share and settled(trace) else []


def _collapsed(worse: Worsening) -> str:
    return (
        f"The samples have collapsed since step {worse.since}: {worse.metric} was"
        f" {worse.best:.4g} at step {worse.best_step} and is {worse.late:.4g} now."
    )


def _near_duplicates(trace: Trace) -> Evidence | None:
    expected = f"about 1; above {DUPLICATES} on every healthy run"
    found = late_evidence(trace, "diversity/nearest", expected)
    return found if found.observed < DUPLICATES else None


def _precise_but_narrow(trace: Trace) -> tuple[Evidence, ...]:
    """Good samples of few kinds, evaluation after evaluation: high precision beside low recall."""
    for name in sorted(n for n in trace.signals if n.startswith("metric/recall")):
        recall = last_evaluations(trace, name)
        precision = last_evaluations(trace, name.replace("recall", "precision"))
        enough = min(len(recall), len(precision)) == EVALUATIONS
        if enough and recall.values.max() < NARROW and precision.values.min() >= PRECISE:
            return (
                Evidence(name, median(recall), f"at least {NARROW:g}", window(recall)),
                Evidence(
                    name.replace("recall", "precision"),
                    median(precision),
                    "not far above recall",
                    window(precision),
                ),
            )
    return ()


def _since(trace: Trace, first: Evidence) -> int | None:
    series = trace.series(first.signal).finite()
    limit = {"diversity/pairwise": POOR_DIVERSITY, "diversity/nearest": DUPLICATES}
    if first.signal in limit:
        return onset(series, np.asarray(series.values < limit[first.signal]))
    if first.signal == "metric/mode_kl":
        return _last_worse(series, series.values < UNEVEN)
    few = FEW_MODES if first.signal == "metric/mode_coverage" else POOR_REACH
    return _last_worse(series, series.values >= few)


def _last_worse(series: Series, well: NDArray[np.bool_]) -> int | None:
    """First evaluation of the unbroken stretch of poor ones at the end."""
    good = np.flatnonzero(well)
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
