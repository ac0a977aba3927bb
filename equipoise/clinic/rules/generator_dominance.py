"""The generator fools a discriminator that cannot keep up."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.lead import AHEAD, loss_of_chance
from equipoise.clinic.quality import (
    REACH_PREFIXES,
    poor_diversity,
    poor_reach,
    poor_samples,
    settled,
)
from equipoise.clinic.windows import (
    FEWEST,
    late,
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
# A loss at chance: healthy runs end at 0.65 to 0.992 of it, digits under DiffAugment at 0.9985; a
# discriminator of two or four channels, or 50 times too slow, at 0.9998 to 1.05.
AT_CHANCE = 0.9995
# Relative size of the players' updates, generator over discriminator, late: 0.5 to 1.5 on healthy
# runs, 11 to 17 on ring with a rate ten to a hundred times the discriminator's.
OUTRUNS = 8.0
ABOVE = 1.02  # a discriminator's loss above chance by this factor is worse than knowing nothing


def generator_dominance(trace: Trace) -> Finding | None:
    """A discriminator at chance for long that moves, and fakes that are poor.

    At chance: AUC at or below it, or, in a run that is over, a loss at or above that of knowing
    nothing. A generator that moves many times as fast as the discriminator is told too, whatever
    the AUC: the lead is over where the fakes have been. Looks like equilibrium, where AUC is near
    0.5 as well and samples are good: without a signal that says the samples are poor there is no
    finding. A discriminator that never moves is stalled.
    """
    if late_median(trace, "update_ratio/discriminator") <= MOVES:
        return None
    blind = _blind(trace) or _at_chance(trace)
    if blind is None:
        return _outruns(trace)
    poor = _poor(trace)
    if not poor or persistent_share(trace, blind.window[0]) < LONG:
        return None
    loss = _worse_than_chance(trace)
    since = blind.window[0]
    summary = (
        f"The generator has the upper hand: since step {since} the discriminator tells real from"
        f" fake no better than a coin ({blind.signal} {blind.observed:.2f}), although the samples"
        " are poor."
    )
    found = (blind, *poor, *([loss] if loss and loss.signal != blind.signal else []))
    return Finding("generator_dominance", 0.9 if loss else 0.75, since, summary, found)


def _poor(trace: Trace) -> list[Evidence]:
    """Poor samples; by the milder limits only where the discriminator's loss says chance too."""
    found = [e for e in (poor_diversity(trace), poor_reach(trace)) if e is not None]
    if found or _at_chance(trace) is None:
        return found
    return [e for e in poor_samples(trace) if e.signal.startswith(REACH_PREFIXES)]


def _outruns(trace: Trace) -> Finding | None:
    """A generator that is somewhere else before the discriminator has seen where it was."""
    mine, other = (late_median(trace, f"update_ratio/{p}") for p in ("generator", "discriminator"))
    poor = poor_samples(trace)
    if not mine >= OUTRUNS * other or not poor or not settled(trace):
        return None
    expected = f"below {OUTRUNS:g} times the discriminator's {other:.3g}"
    pace = late_evidence(trace, "update_ratio/generator", expected)
    since = pace.window[0]
    summary = (
        f"The generator outruns the discriminator: since step {since} at the latest each update"
        f" moves it {mine / other:.3g} times as far, and the samples are poor."
    )
    return Finding("generator_dominance", 0.75, since, summary, (pace, *poor))


def _at_chance(trace: Trace) -> Evidence | None:
    """The loss of a discriminator that has learned nothing, in a run that is over."""
    chance = loss_of_chance(trace)
    expected = f"below {AT_CHANCE:g} of {chance:g}, the loss of knowing nothing"
    found = late_evidence(trace, "loss/discriminator", expected)
    confused = not late_median(trace, "auc/discriminator") >= AHEAD  # wrong by far, not ignorant
    over = chance > 0 and confused and settled(trace)
    return found if over and found.observed >= AT_CHANCE * chance else None


def _blind(trace: Trace) -> Evidence | None:
    """AUC at chance: to the end, or, in a run that is over, in the late median.

    A generator that keeps moving under a slow discriminator passes in front of it now and then.
    """
    series = trace.series("auc/discriminator").finite()
    since = onset(series, np.asarray(series.values <= BLIND))
    part = late(series)
    if len(part) >= FEWEST and settled(trace) and median(part) <= BLIND:
        since = min(int(part.steps[0]), since or int(part.steps[0]))
    if since is None:
        return None
    held = series.since(since)
    expected = f"above {BLIND} while fakes are poor"
    return Evidence("auc/discriminator", median(held), expected, window(held))


def _worse_than_chance(trace: Trace) -> Evidence | None:
    chance = loss_of_chance(trace)
    expected = f"at most {chance:g}, the loss of knowing nothing"
    found = late_evidence(trace, "loss/discriminator", expected)
    return found if found.observed >= ABOVE * chance else None
