"""What looks wrong and is normal, with the reason."""

from __future__ import annotations

from collections.abc import Callable

from equipoise.clinic.adversarial import at_start
from equipoise.clinic.objective import objective
from equipoise.clinic.quality import improving, poor_diversity, poor_reach
from equipoise.clinic.rules.adaptive_weight_explosion import CLAMPED, EPSILON
from equipoise.clinic.rules.adversarial_cliff import BREAKS
from equipoise.clinic.rules.adversarial_term_off import OFF
from equipoise.clinic.rules.discriminator_dominance import SURE
from equipoise.clinic.rules.generator_dominance import loss_of_chance
from equipoise.clinic.windows import late_median, slope_per_run
from equipoise.record import Note, Trace

NEAR_CHANCE = 0.1  # relative distance from the loss at chance
DRIFT = 3.0  # spreads that both logit means move together
DIP = 1.2  # times its level before the start: what one sees and fears
LARGE_WEIGHT = 10.0  # 0.1 to 10 is usual under a mean over pixels
RIGHT_SHARE = 2.0  # disc_weight is 0.5 to 1


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


def dip_at_start(trace: Trace) -> Note | None:
    """The reconstruction gets worse where the adversarial term comes in, and recovers."""
    seen = at_start(trace)
    if seen is None or seen.ruined or not seen.peak >= DIP * seen.before > 0:
        return None
    if not (seen.recovering or seen.end < DIP * seen.before) or seen.end >= BREAKS * seen.before:
        return None
    return Note(
        "reconstruction_dip_at_start",
        f"{seen.signal} rose from {seen.before:.4g} to {seen.peak:.4g} at the adversarial start"
        f" (step {seen.start}) and is {seen.end:.4g} now.",
        "The discriminator is untrained when its term comes in; once it has learned, the"
        " reconstruction comes back. A price of 1 to 2 dB for sharper samples stays.",
    )


def large_adaptive_weight(trace: Trace) -> Note | None:
    """The adaptive weight is large, and the term pulls as hard as it should."""
    weight, share = (late_median(trace, n) for n in ("adaptive_weight", "adversarial_share"))
    clamped, epsilon = (
        late_median(trace, f"adaptive_weight/{name}") for name in ("at_largest", "epsilon_share")
    )
    if not (weight >= LARGE_WEIGHT and OFF <= share <= RIGHT_SHARE):
        return None
    if clamped > CLAMPED or epsilon > EPSILON:
        return None
    return Note(
        "large_adaptive_weight",
        f"The adaptive weight is {weight:.4g}.",
        f"The adversarial share is {share:.2g}, which is right. A reconstruction loss summed over"
        " pixels multiplies the weight by their number and changes nothing else.",
    )


NOTES: tuple[Callable[[Trace], Note | None], ...] = (
    loss_at_chance,
    sure_but_teaching,
    common_drift,
    dip_at_start,
    large_adaptive_weight,
)
