"""What the loop tells those who watch, and what they may answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from equipoise.game.logits import Logits
from equipoise.training.game import Game


@dataclass(frozen=True)
class Iteration:
    """One finished iteration: all updates of both players. Tensors are detached."""

    step: int
    images: int
    seconds: float
    real: Tensor
    fake: Tensor
    real_logits: Logits | None
    fake_logits: Logits
    losses: Mapping[str, Tensor]
    penalties: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def kimg(self) -> float:
        """Thousands of reals shown."""
        return self.images / 1000


@dataclass(frozen=True)
class Continue:
    """Go on."""


@dataclass(frozen=True)
class Stop:
    """End the run after saving it; `reason` is said to the user."""

    reason: str


@dataclass(frozen=True)
class Rollback:
    """Go back to the newest checkpoint at or before `step` and go on with the recipe edited."""

    step: int
    edits: Mapping[str, Any] = field(default_factory=dict)


Answer = Continue | Stop | Rollback
CONTINUE = Continue()


class Observer(Protocol):
    """Somebody who watches a run and may ask for an end; measuring must not change training."""

    def begin(self, game: Game, step: int) -> None:
        """The run is about to play from `step` (0 unless resumed or rolled back)."""

    def after(self, iteration: Iteration) -> Answer:
        """An iteration is done."""

    def measured(self, step: int, metrics: Mapping[str, float]) -> None:
        """An evaluation is done."""

    def end(self) -> None:
        """No more will be played, for whatever reason."""
