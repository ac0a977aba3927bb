"""What one call of `observe` was given, and all that can be read from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from equipoise.monitor.readings import (
    batch_readings,
    contrast_readings,
    divergence_reading,
    diversity_readings,
    flat_logits,
    pair_readings,
    side_readings,
    silent_share,
)

LOSS_NAMES = {"d": "discriminator", "g": "generator"}


@dataclass(frozen=True)
class Observation:
    """One iteration as the loop showed it; everything optional."""

    real: Tensor | None = None
    fake: Tensor | None = None
    real_logits: Any = None
    fake_logits: Any = None
    generator_logits: Any = None
    losses: Mapping[str, Tensor | float] = field(default_factory=dict)
    adaptive_weight: Tensor | float | None = None

    @property
    def discriminator_loss(self) -> Tensor | float | None:
        """The discriminator's loss under either of its names."""
        return self.losses.get("discriminator", self.losses.get("d"))

    def readings(
        self, neutral: float | None, objective: str | None = None
    ) -> dict[str, Tensor | float]:
        """Every reading by signal name; `neutral` is the accuracy's threshold (None: midpoint)."""
        found: dict[str, Tensor | float] = {
            f"loss/{LOSS_NAMES.get(name, name)}": value
            for name, value in self.losses.items()
            if value is not None
        }
        if self.adaptive_weight is not None:
            found["adaptive_weight"] = self.adaptive_weight
        found |= self._logit_readings(neutral, objective or "")
        for side, batch in (("real", self.real), ("fake", self.fake)):
            if batch is not None:
                found |= batch_readings(batch, side)
        if self.real is not None and self.fake is not None:
            found |= diversity_readings(self.real, self.fake)
            found |= contrast_readings(self.real, self.fake)
        return found

    def _logit_readings(self, neutral: float | None, objective: str) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        given = {"real": self.real_logits, "fake": self.fake_logits}
        sides = {s: flat_logits(logits) for s, logits in given.items() if logits is not None}
        for side, logits in sides.items():
            found |= side_readings(logits, side)
        if len(sides) == 2:
            pair = sides["real"], sides["fake"]
            found |= pair_readings(*pair, neutral)
            found |= divergence_reading(objective, *pair) | silent_share(objective, *pair)
        if self.generator_logits is not None:
            found["logits/generator/mean"] = flat_logits(self.generator_logits).mean()
        return found
