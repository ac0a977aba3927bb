"""The discriminator's loss sits at the value of knowing nothing."""

from __future__ import annotations

from equipoise.clinic.notes.chance import SUMS, nearest_chance
from equipoise.clinic.objective import objective
from equipoise.clinic.windows import FEWEST, late_median
from equipoise.record import Note, Trace

NEAR = 0.1  # relative distance from the loss at chance


def loss_at_chance(trace: Trace) -> Note | None:
    """At the optimum the loss is exactly there (Goodfellow et al. 2014, theorem 1)."""
    if len(trace.series("loss/discriminator").finite()) < FEWEST:
        return None
    value = late_median(trace, "loss/discriminator")
    chance = nearest_chance(trace, value)
    if not abs(value - chance) <= NEAR * chance:
        return None
    called = SUMS.get(objective(trace) or "", "")
    also = f" ({called}, or half of it where the loop halves)" if called else ""
    return Note(
        "loss_at_chance",
        f"The discriminator's loss ({value:.3f}) is near chance ({chance:.3f}).",
        f"At the optimum of the game it is exactly there{also}: real and fake cannot be told apart."
        " It is bad news only when samples are poor.",
    )
