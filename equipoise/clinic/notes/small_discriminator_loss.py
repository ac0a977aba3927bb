"""The discriminator is nearly always right, and the samples get better."""

from __future__ import annotations

from equipoise.clinic.notes.chance import nearest_chance
from equipoise.clinic.quality import improving, poor_diversity, poor_reach
from equipoise.clinic.rules.discriminator_dominance import SURE
from equipoise.clinic.windows import FEWEST, late_median
from equipoise.record import Note, Trace

SMALL = 0.1  # of the loss at chance


def small_discriminator_loss(trace: Trace) -> Note | None:
    """A lead that teaches is healthy: BigGAN's discriminator is right in 98 % and more.

    Seen by AUC, or by a loss below a tenth of that at chance where logits are not at hand. Silent
    without a metric that improves.
    """
    better = improving(trace)
    if better is None or not (_sure(trace) or _small(trace)):
        return None
    if poor_diversity(trace) is not None or poor_reach(trace) is not None:
        return None
    name, gain = better
    return Note(
        "small_discriminator_loss",
        "The discriminator is nearly always right.",
        f"{name} still improved by {gain:.0%} over the last half of the run: a lead that teaches is"
        " healthy.",
    )


def _sure(trace: Trace) -> bool:
    return late_median(trace, "auc/discriminator") >= SURE


def _small(trace: Trace) -> bool:
    enough = len(trace.series("loss/discriminator").finite()) >= FEWEST
    value = late_median(trace, "loss/discriminator")
    return enough and 0 <= value <= SMALL * nearest_chance(trace, value)
