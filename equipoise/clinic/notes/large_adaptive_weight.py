"""The adaptive weight is large, and the term pulls as hard as it should."""

from __future__ import annotations

from equipoise.clinic.rules.adaptive_weight_explosion import CLAMPED, EPSILON
from equipoise.clinic.rules.adversarial_term_off import OFF
from equipoise.clinic.windows import late_median
from equipoise.record import Note, Trace

LARGE = 10.0  # 0.1 to 10 is usual under a mean over pixels
RIGHT_SHARE = 2.0  # disc_weight is 0.5 to 1


def large_adaptive_weight(trace: Trace) -> Note | None:
    """Above ten at a share that is right, neither at its clamp nor made by its epsilon."""
    weight, share = (late_median(trace, n) for n in ("adaptive_weight", "adversarial_share"))
    clamped, epsilon = (
        late_median(trace, f"adaptive_weight/{name}") for name in ("at_largest", "epsilon_share")
    )
    if not (weight >= LARGE and OFF <= share <= RIGHT_SHARE):
        return None
    if clamped > CLAMPED or epsilon > EPSILON:
        return None
    return Note(
        "large_adaptive_weight",
        f"The adaptive weight is {weight:.4g}.",
        f"The adversarial share is {share:.2g}, which is right. A reconstruction loss summed over"
        " pixels multiplies the weight by their number and changes nothing else.",
    )
