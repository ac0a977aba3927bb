"""A Wasserstein critic's loss is below 0."""

from __future__ import annotations

from equipoise.clinic.objective import objective
from equipoise.clinic.quality import poor_diversity, poor_reach
from equipoise.clinic.rules.divergence import GROWS
from equipoise.clinic.windows import FEWEST, late, late_median
from equipoise.clinic.worsening import worsened
from equipoise.record import Note, Trace


def negative_wasserstein_loss(trace: Trace) -> Note | None:
    """E D(fake) - E D(real) is minus the distance that the critic sees, so it is negative.

    Under a penalty of weight lambda its size at the optimum is a + a^2 / (4 lambda) at a distance
    a; it shrinks as the samples get better (Arjovsky et al. 2017, figure 3). Silent where it grows
    by three over the late part of the run, where it is above 0, and where samples are poor.
    """
    part = late(trace.series("loss/discriminator"))
    if objective(trace) != "wasserstein" or len(part) < FEWEST or not bool((part.values < 0).all()):
        return None
    if float(part.values[-1]) <= GROWS * float(part.values[0]):
        return None
    if poor_diversity(trace) or poor_reach(trace) or worsened(trace, 1.25):
        return None
    value = late_median(trace, "loss/discriminator")
    return Note(
        "negative_wasserstein_loss",
        f"The critic's loss is negative ({value:.3g}).",
        "It is minus the distance between data and samples that the critic sees: no probability, no"
        " cross-entropy. Towards 0 is better; the generator's loss may have any sign and level.",
    )
