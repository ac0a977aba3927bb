"""The discriminator has run away from the generator."""

from __future__ import annotations

from equipoise.clinic.lead import ahead, somewhat_ahead
from equipoise.clinic.quality import (
    REACH_PREFIXES,
    improving,
    poor_diversity,
    poor_reach,
    poor_samples,
    settled,
)
from equipoise.clinic.windows import (
    FEWEST,
    late_evidence,
    late_median,
    median,
    onset,
    persistent_share,
    smoothed,
    window,
)
from equipoise.record import Evidence, Finding, Trace

# AUC of a discriminator that leads and yet teaches: 0.6 to 0.95 late on ring, grid and digits with
# R1 + R2 (benchmarks/RESULTS.md). At 0.99 one pair in a hundred is still confused.
SURE = 0.99
LONG = 0.25  # share of the run that it must last
# Gap over spread: two normal distributions 4 spreads apart overlap in 2 % of the pairs' midpoints.
WIDE_GAP = 4.0


def discriminator_dominance(trace: Trace) -> Finding | None:
    """AUC (or accuracy) at least 0.99 for long, with samples that are poor and do not get better.

    Looks like a healthy lead (large models sit above 98 % accuracy): there quality or diversity
    still improves, which vetoes this rule. Looks like mode collapse, where the discriminator is not
    sure. The second signal is one of: fakes less diverse than reals, coverage that is lacking, or a
    gap of logits that keeps wide while nothing shows that the samples improve. A discriminator
    that is far ahead without being sure (`equipoise.clinic.lead`) is told where the run is over, or
    nothing improves, and the samples are poor by a scale of their own.
    """
    sure = _sure(trace)
    if sure is None or persistent_share(trace, sure.window[0]) < LONG:
        return _leads(trace)
    poor = [e for e in (poor_diversity(trace), poor_reach(trace)) if e is not None]
    if not poor and improving(trace) is not None:
        return None
    gap = _gap(trace, sure.window[0])
    second = [*poor, *([gap] if gap else [])]
    if not second:
        return None
    confidence = 0.95 if poor and gap else 0.85 if poor else 0.6
    since = sure.window[0]
    summary = (
        "The discriminator has run away: since step"
        f" {since} it tells real from fake almost without error ({sure.observed:.1%}), and the"
        " generator no longer gains from it."
    )
    return Finding("discriminator_dominance", confidence, since, summary, (sure, *second))


def _leads(trace: Trace) -> Finding | None:
    """Far ahead without being sure, where the samples are poor by a scale of their own."""
    poor, lead = poor_samples(trace), ahead(trace)
    if not lead and any(e.signal.startswith(REACH_PREFIXES) for e in poor):
        lead = somewhat_ahead(trace)
    if not lead or not poor or not settled(trace):
        return None
    since = lead[0].window[0]
    summary = (
        f"The discriminator is too far ahead: since step {since} at the latest"
        f" {lead[0].signal} stands at {lead[0].observed:.3g}, and the samples stay poor"
        f" ({poor[0].signal} {poor[0].observed:.3g})."
    )
    return Finding("discriminator_dominance", 0.65, since, summary, (*lead, *poor))


def _sure(trace: Trace) -> Evidence | None:
    """The better of AUC and accuracy that holds at `SURE` to the end."""
    for name in ("auc/discriminator", "accuracy/discriminator"):
        series = smoothed(trace.series(name))
        since = onset(series, series.values >= SURE)
        if since is not None and late_median(trace, name) >= SURE:
            held = trace.series(name).finite().since(since)
            return Evidence(
                name, median(held), f"below {SURE} in a game that still teaches", window(held)
            )
    return None


def _gap(trace: Trace, since: int) -> Evidence | None:
    enough = len(trace.series("logits/gap").since(since).finite()) >= FEWEST
    found = late_evidence(trace, "logits/gap", f"below {WIDE_GAP:g} spreads")
    return found if enough and found.observed >= WIDE_GAP else None
