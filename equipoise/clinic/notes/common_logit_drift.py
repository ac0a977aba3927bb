"""Both logit means move together under an objective that sees only their difference."""

from __future__ import annotations

from equipoise.clinic.objective import objective
from equipoise.clinic.windows import late_median, slope_per_run
from equipoise.record import Note, Trace

DRIFT = 3.0  # spreads that both logit means move together


def common_logit_drift(trace: Trace) -> Note | None:
    """Both logits move by three spreads the same way, and the objective is relativistic."""
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
