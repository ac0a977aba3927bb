"""The reconstruction gets worse where the adversarial term comes in, and recovers."""

from __future__ import annotations

from equipoise.clinic.adversarial import at_start
from equipoise.clinic.rules.adversarial_cliff import BREAKS
from equipoise.record import Note, Trace

DIP = 1.2  # times its level before the start: what one sees and fears


def reconstruction_dip_at_start(trace: Trace) -> Note | None:
    """It rose by a fifth at the start, and comes back or is back."""
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
