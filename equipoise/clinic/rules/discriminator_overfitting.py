"""The discriminator has learned the training images by heart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from equipoise.clinic.windows import (
    FEWEST,
    late,
    late_evidence,
    median,
    onset,
    persistent_share,
    smoothed,
    window,
)
from equipoise.clinic.worsening import worsened
from equipoise.record import Evidence, Finding, Series, Trace

# P(D(train) > D(held out)) on 64 against 64 has a standard deviation of sqrt(129 / (12 64^2)) =
# 0.051 where both have one law: three of them above 0.5, and six.
KNOWN, BY_HEART = 0.65, 0.8
# r_v: from 0 (held-out reals are judged as training reals) to 1 (as fakes). Half way they lie as
# near to the fakes. Where reals and fakes are half a spread apart, chance alone makes it deviate by
# 0.35 on 64 against 64: a healthy run on the digits read up to 0.83. So ranks decide.
HALF = 0.5
APART = 1.0  # spreads between reals and fakes below which the means' r_v is not looked at
GREW = 0.1  # of AUC, 0.25 of r_v: a split that differs by design is apart from the start
LONG = 0.2
RATIO_GREW = 0.25
FEW = 3  # readings that suffice where growth is not asked for: each is six deviations from chance
START = 0.1  # share of the readings that tells how it began


def discriminator_overfitting(trace: Trace) -> Finding | None:
    """Training reals score above held-out reals, by more than chance, and did not at first.

    Looks like: overfitting/auc and r_v = (E D(train) - E D(held out)) / (E D(train) - E D(fake))
    rise from about 0.5 and 0 (Karras et al. 2020, ADA, eq. 1); without the probes the means of the
    logits tell r_v. A distance to the data that turns up makes it surer. Confused with dominance,
    where held-out reals score as training reals do: without held-out data nothing is said. Confused
    with a held-out set from elsewhere, which is apart from the first reading: growth is asked for,
    unless we divided the data ourselves, so a run of one's own that is watched only after it has
    overfitted is not found. Confused with chance on
    small batches, hence three standard deviations.
    """
    found = _by_rank(trace) or _by_mean(trace)
    if found is None:
        return None
    evidence, since = found
    if persistent_share(trace, since) < LONG:
        return None
    worse = worsened(trace, 1.25)
    more = [e for e in (_ratio(trace, evidence[0].signal), worse and worse.evidence()) if e]
    by_heart = evidence[0].signal == "overfitting/auc" and evidence[0].observed >= BY_HEART
    confidence = min(0.95, (0.75 if by_heart else 0.6) + 0.15 * len(more))
    summary = (
        f"The discriminator knows its training images since step {since}: {_said(evidence[0])}."
    )
    return Finding("discriminator_overfitting", confidence, since, summary, (*evidence, *more))


def _said(first: Evidence) -> str:
    if first.signal == "overfitting/auc":
        return f"it ranks {first.observed:.0%} of them above reals that it never saw"
    if first.signal == "overfitting/ratio":
        return f"held-out reals lie {first.observed:.0%} of the way to the fakes"
    return f"held-out reals score {first.observed:.3g}, well on the way to the fakes"


def _by_rank(trace: Trace) -> tuple[tuple[Evidence, ...], int] | None:
    series = trace.series("overfitting/auc").finite()
    since = _grown(series, KNOWN, GREW) or _of_one_law(trace, series)
    if since is None:
        return None
    first = late_evidence(trace, "overfitting/auc", f"about 0.5; below {KNOWN}")
    return (first,), since


def _of_one_law(trace: Trace, series: Series) -> int | None:
    """Since when it lies beyond chance, where we divided the data: no split differs by design."""
    recipe = trace.header.get("recipe")
    data = recipe.get("data") if isinstance(recipe, Mapping) else None
    if not data or not data.get("held_out"):
        return None
    below = np.flatnonzero(series.values < BY_HEART)
    known = series.steps[int(below[-1]) + 1 if len(below) else 0 :]
    return int(known[0]) if len(known) >= FEW else None


def _by_mean(trace: Trace) -> tuple[tuple[Evidence, ...], int] | None:
    """r_v by the probe, else of the means that the monitor reads at its tick."""
    if len(trace.series("overfitting/auc").finite()) >= FEWEST:
        return None  # ranks are at hand and say no
    probed = trace.series("overfitting/ratio").finite()
    series = probed if len(probed) else ratio(trace)
    since = _grown(series, HALF, RATIO_GREW)
    if since is None:
        return None
    if len(probed):
        return (late_evidence(trace, "overfitting/ratio", f"about 0; below {HALF}"),), since
    names = ("logits/held_out/mean", "logits/real/mean", "logits/fake/mean")
    expected = ("about that of training reals", "about that of held-out reals", "far below both")
    return tuple(late_evidence(trace, n, e) for n, e in zip(names, expected, strict=True)), since


def ratio(trace: Trace) -> Series:
    """r_v from means of logits, where reals and fakes are `APART`."""
    names = ("logits/real/mean", "logits/held_out/mean", "logits/fake/mean", "logits/real/std")
    columns = [trace.series(name).finite() for name in names]
    steps = columns[0].steps
    for column in columns[1:]:
        steps = np.intersect1d(steps, column.steps)
    real, held, fake, spread = (c.values[np.isin(c.steps, steps)] for c in columns)
    gap = real - fake
    apart = np.abs(gap) > APART * spread
    return Series(steps[apart], (real[apart] - held[apart]) / gap[apart])


def _grown(series: Series, level: float, by: float) -> int | None:
    """Since when it lies at `level`, if it began `by` below its late median."""
    if len(series) < 2 * FEWEST:
        return None
    part = smoothed(series)
    first = Series(series.steps[: max(3, int(START * len(series)))], series.values)
    begun = float(np.median(series.values[: len(first.steps)]))
    if not median(late(series)) >= max(level, begun + by):
        return None
    return onset(part, np.asarray(part.values >= level))


def _ratio(trace: Trace, first: str) -> Evidence | None:
    part = late(trace.series("overfitting/ratio"))
    if first == "overfitting/ratio" or len(part) < 3 or not median(part) >= HALF:
        return None
    return Evidence("overfitting/ratio", median(part), f"about 0; below {HALF}", window(part))
