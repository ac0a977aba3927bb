"""What looks wrong and is normal, with the reason: one function of the trace per note."""

from __future__ import annotations

from collections.abc import Callable

from equipoise.clinic.notes.common_logit_drift import common_logit_drift
from equipoise.clinic.notes.loss_at_chance import loss_at_chance
from equipoise.clinic.notes.negative_wasserstein_loss import negative_wasserstein_loss
from equipoise.clinic.notes.rising_discriminator_loss import rising_discriminator_loss
from equipoise.clinic.notes.small_discriminator_loss import small_discriminator_loss
from equipoise.record import Note, Trace

NOTES: dict[str, Callable[[Trace], Note | None]] = {
    "loss_at_chance": loss_at_chance,
    "rising_discriminator_loss": rising_discriminator_loss,
    "small_discriminator_loss": small_discriminator_loss,
    "negative_wasserstein_loss": negative_wasserstein_loss,
    "common_logit_drift": common_logit_drift,
}

__all__ = ["NOTES"]
