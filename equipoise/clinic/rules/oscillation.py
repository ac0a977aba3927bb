"""The players chase each other in a circle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from equipoise.clinic.cycles import Cycle, began, cycle, evidence
from equipoise.clinic.quality import improving
from equipoise.clinic.windows import late, late_evidence, late_median, median
from equipoise.clinic.worsening import distances
from equipoise.record import Evidence, Finding, Trace

# Swings that matter, half the way from low to high. On a balanced game of two normal laws a gap of
# 0.5 spreads is an AUC of 0.64 (Phi(0.5 / sqrt 2)): one player's lead, up and down. Healthy late
# swings on ring and digits: AUC under 0.05.
AUC = 0.1
GAP = 0.5  # spreads
LOSS = 0.2  # of its median size
SAMPLES = 0.1  # spreads of the reals: that far the mean of all samples wanders
DIVERSITY = 0.1
DISTANCE = 0.15  # of its median
# rho of the Jacobian: 1 in the bilinear game and the Dirac-GAN without a penalty, where no step
# size converges (Mescheder et al. 2018). Healthy digits read 0.41 to 0.72 with R1 and R2 and with
# a Wasserstein critic, ring 0.35 to 0.59. `spectrum/angle` is no evidence: healthy digits read
# 0.98 to 1 throughout, since one pair of many that turns is enough; it is told beside rho.
TURNS = 0.9
OPPOSED = -0.5  # correlation of the players' losses over the cycle
JUDGED = ("logits/gap", "auc/discriminator", "accuracy/discriminator")
LOGITS = ("logits/real/mean", "logits/fake/mean")
LOSSES = ("loss/discriminator", "loss/generator")
DRIVERS = ("learning_rate/", "batch/real/", "control/")


def oscillation(trace: Trace) -> Finding | None:
    """The discriminator's lead swings to and fro, and so do the samples, or the field turns.

    Looks like: a periodic swing of AUC, gap, logits or losses that neither decays nor grows, far
    above the noise (`equipoise.clinic.cycles`); beside it, with the same period, the samples' mean,
    spread, diversity or distance to the data, or a Jacobian that turns rather than descends
    (`rotation`; `spectrum/angle` is shown with it). Losses alone, however regular, are not enough
    for a verdict: they are told below 0.5, and only where the two are opposed. Confused with noise
    (no peak above its spectrum), with a decaying cycle, which converges, with a growing one
    (divergence), with what the loop itself repeats (cyclic learning rates, data in a fixed order:
    the reals' own statistics swing along) and with small waves around a good game: amplitude
    decides, and a quality that improves. Limits: a cycle of less than 4 readings or of more than a
    eighth of the run is not seen.
    """
    if improving(trace) is not None:
        return None
    lead = next(_cycles(trace, _judged(trace)), None)
    if lead is None or _driven(trace, lead):
        return None
    second = [*_samples(trace, lead), *(turning := _turning(trace))]
    angle = _angle(trace) if turning else []
    if not second and not _opposed(trace, lead):
        return None
    since = began(trace, lead)
    first = evidence(trace, lead, "settling, or swings within the noise")
    summary = (
        f"The players chase each other since step {since}: {lead.signal} swings by"
        f" +-{lead.amplitude:.2g} with a period of {lead.period:.3g} steps and does not settle."
    )
    confidence = (0.45, 0.75, 0.9)[min(len(second), 2)]
    return Finding("oscillation", confidence, since, summary, (first, *second, *angle))


def _judged(trace: Trace) -> dict[str, float]:
    spread = late_median(trace, "logits/real/std")
    limits = dict(zip(JUDGED, (GAP, AUC, AUC), strict=True))
    limits |= dict.fromkeys(LOGITS, GAP * spread)
    return limits | {name: LOSS * _size(trace, name) for name in LOSSES}


def _size(trace: Trace, name: str) -> float:
    values = np.abs(late(trace.series(name)).values)
    return float(np.median(values)) if len(values) else np.nan


def _cycles(trace: Trace, limits: dict[str, float]) -> Iterator[Cycle]:
    for name, limit in limits.items():
        found = cycle(trace, name) if limit > 0 else None
        if found is not None and found.amplitude >= limit:
            yield found


def _samples(trace: Trace, lead: Cycle) -> list[Evidence]:
    """The first of the samples' statistics that swings along."""
    spread = late_median(trace, "batch/real/std")
    limits = {f"batch/fake/{what}": SAMPLES * spread for what in ("mean", "std")}
    limits |= {f"diversity/{what}": DIVERSITY for what in ("pairwise", "nearest")}
    limits |= {name: DISTANCE * median(series) for name, series in distances(trace)}
    along = (found for found in _cycles(trace, limits) if found.near(lead))
    return [evidence(trace, found, "settling") for found in along][:1]


def _turning(trace: Trace) -> list[Evidence]:
    found = late_evidence(trace, "rotation", f"below {TURNS}: more descent than rotation")
    enough = len(late(trace.series("rotation"))) >= 3
    return [found] if enough and found.observed >= TURNS else []


def _angle(trace: Trace) -> list[Evidence]:
    known = len(late(trace.series("spectrum/angle"))) >= 3
    expected = "anything: near 1 asks for a small step"
    return [late_evidence(trace, "spectrum/angle", expected)] if known else []


def _driven(trace: Trace, lead: Cycle) -> bool:
    """Whether the loop itself repeats something with that period."""
    driving = (cycle(trace, name) for name in trace.signals if name.startswith(DRIVERS))
    return any(found is not None and found.near(lead) for found in driving)


def _opposed(trace: Trace, lead: Cycle) -> bool:
    """Whether both losses swing with that period, one up as the other goes down."""
    found = list(_cycles(trace, {n: LOSS * _size(trace, n) for n in LOSSES}))
    if len(found) < 2 or not all(f.near(lead) for f in found):
        return False
    mine, other = (trace.series(n).finite().since(lead.window[0]) for n in LOSSES)
    steps = np.intersect1d(mine.steps, other.steps)
    a, b = (s.values[np.isin(s.steps, steps)] for s in (mine, other))
    return len(steps) >= 2 and float(np.corrcoef(a, b)[0, 1]) <= OPPOSED
