"""What looks wrong and is normal, with the reason."""

from __future__ import annotations

from collections.abc import Callable

from equipoise.clinic.objective import objective
from equipoise.clinic.quality import improving, poor_diversity, poor_reach
from equipoise.clinic.rules.discriminator_dominance import SURE
from equipoise.clinic.rules.generator_dominance import loss_of_chance
from equipoise.clinic.windows import late_median, slope_per_run
from equipoise.record import Note, Trace

NEAR_CHANCE = 0.1  # relative distance from the loss at chance
DRIFT = 3.0  # spreads that both logit means move together


def loss_at_chance(trace: Trace) -> Note | None:
    """The discriminator's loss sits at the value of knowing nothing."""
    chance = loss_of_chance(trace)
    value = late_median(trace, "loss/discriminator")
    if not abs(value - chance) <= NEAR_CHANCE * chance:
        return None
    return Note(
        "loss_at_chance",
        f"The discriminator's loss ({value:.3f}) is near chance ({chance:.3f}).",
        "At the optimum of the game it is exactly there: real and fake cannot be told apart. It is"
        " bad news only when samples are poor.",
    )


def sure_but_teaching(trace: Trace) -> Note | None:
    """The discriminator is nearly always right, and the samples get better."""
    better = improving(trace)
    if better is None or not late_median(trace, "auc/discriminator") >= SURE:
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


def common_drift(trace: Trace) -> Note | None:
    """Both logit means move together under an objective that sees only their difference."""
    if not (objective(trace) or "").startswith("relativistic"):
        return None
    real = slope_per_run(trace.series("logits/real/mean"))
    fake = slope_per_run(trace.series("logits/fake/mean"))
    spread = late_median(trace, "logits/real/std")
    if not (real * fake > 0 and min(abs(real), abs(fake)) >= DRIFT * spread):
        return None
    return Note(
        "common_logit_drift",
        f"Real and fake logits drift together (by {real:+.1f} and {fake:+.1f}).",
        "A relativistic objective sees only their difference, so a common shift costs nothing and"
        " means nothing.",
    )


NOTES: tuple[Callable[[Trace], Note | None], ...] = (
    loss_at_chance,
    sure_but_teaching,
    common_drift,
)
