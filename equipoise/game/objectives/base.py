"""What an objective is: a pair of per-sample losses and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from equipoise.game.logits import Logits

LOG2 = 0.6931471805599453


@dataclass(frozen=True)
class Objective:
    """A pair of per-sample losses.

    Attributes:
        name: the field's name.
        discriminator: (real logits, fake logits) -> (N,).
        generator: (fake logits, real logits or None) -> (N,).
        pairs: whether the generator's loss needs real logits (relativistic).
        labelled: (real logits, fake logits, real target, fake target) -> (N,), the discriminator's
            loss with targets between 0 (fake) and 1 (real), numbers or (N,); None where undefined.
        unlabelled: why it has no targets, empty where it has.
        chance: (discriminator, generator) loss when the players cannot be told apart, that is at
            logits `neutral`.
        neutral: the logit of a discriminator that cannot tell.
        couples: whether one sample's loss depends on the others of its batch.
    """

    name: str
    discriminator: Callable[[Logits, Logits], Tensor]
    generator: Callable[[Logits, Logits | None], Tensor]
    pairs: bool = False
    labelled: Callable[..., Tensor] | None = None
    unlabelled: str = ""
    chance: tuple[float, float] = (0.0, 0.0)
    neutral: float = 0.0
    couples: bool = False
