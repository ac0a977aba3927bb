"""The discriminator's loss rises towards chance."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.notes.chance import chances
from equipoise.clinic.quality import poor_diversity, poor_reach
from equipoise.clinic.windows import FEWEST, late_median, slope_per_run
from equipoise.clinic.worsening import worsened
from equipoise.record import Note, Trace

RISES = 0.25  # of the way from where it began to chance
EARLY = 5  # part of the readings, as 1 / EARLY, that tells where it began
ABOVE = 1.1  # times chance: worse than knowing nothing is another matter


def rising_discriminator_loss(trace: Trace) -> Note | None:
    """In a zero-sum game one player's gain is the other's loss: both cannot fall (claim 56).

    For cross-entropy L_D = 2 log 2 - 2 JSD at the best discriminator: it rises as samples get
    better. Silent where samples are known to be poor or to get worse.
    """
    series = trace.series("loss/discriminator").finite()
    if len(series) < 2 * FEWEST or not slope_per_run(series) > 0:
        return None
    begun = float(np.median(series.values[: max(3, len(series) // EARLY)]))
    late = late_median(trace, "loss/discriminator")
    chance = min((c for c in chances(trace) if late <= ABOVE * c), default=float("nan"))
    if not late - begun >= RISES * (chance - begun) > 0:
        return None
    if poor_diversity(trace) or poor_reach(trace) or worsened(trace, 1.25):
        return None
    return Note(
        "rising_discriminator_loss",
        f"The discriminator's loss rises, from {begun:.3f} to {late:.3f}, towards chance"
        f" ({chance:.3f}).",
        "The better the samples, the harder to tell them from real: in this game a loss that rises"
        " so far is the generator's progress, and both losses cannot fall.",
    )
