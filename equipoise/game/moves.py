"""The game: each player's loss as a pure function of modules and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from equipoise.errors import unknown
from equipoise.game.objectives import Objective
from equipoise.game.penalties import PENALTIES, Pair


@dataclass(frozen=True)
class Move:
    """What a player would descend, and what was seen on the way.

    Attributes:
        loss: scalar, with graph.
        adversarial: scalar without penalties, detached.
        real_logits, fake_logits: detached; real logits are None where the move needs none.
        penalties: batch mean of each penalty before gamma / 2, detached.
    """

    loss: Tensor
    adversarial: Tensor
    fake_logits: Tensor
    real_logits: Tensor | None = None
    penalties: Mapping[str, Tensor] = field(default_factory=dict)


def discriminator_loss(
    discriminator: nn.Module,
    objective: Objective,
    real: Tensor,
    fake: Tensor,
    gammas: Mapping[str, float] | None = None,
    joint: bool = True,
) -> Move:
    """mean_i L_D(D(x_i), D(y_i)) + sum_p gamma_p / 2 mean_i p_i.

    Args:
        real, fake: (N, ...) each, of one shape; gradients never reach the generator.
        gammas: weight of each penalty by name; 0 leaves it out.
        joint: one pass over both halves (faster), or one pass each. They agree where the
            discriminator treats samples apart; with batch normalization only `joint=False` keeps
            real and fake statistics separate.

    Raises:
        ValueError: shapes differ, or a penalty is unknown or has a negative weight.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"fake has shape {tuple(fake.shape)}, real {tuple(real.shape)}: they must agree; check"
            " the generator's output size and the batch"
        )
    active = _active(gammas or {})
    pair = _scored(discriminator, real, fake, active, joint)
    adversarial = objective.discriminator(pair.real_logits, pair.fake_logits).mean()
    values = {name: PENALTIES[name].value(pair).mean() for name in active}
    loss = adversarial
    for name, gamma in active.items():
        loss = loss + gamma / 2 * values[name]
    return Move(
        loss,
        adversarial.detach(),
        pair.fake_logits.detach(),
        pair.real_logits.detach(),
        {name: value.detach() for name, value in values.items()},
    )


def _active(gammas: Mapping[str, float]) -> dict[str, float]:
    """The penalties that weigh something."""
    for name, gamma in gammas.items():
        if name not in PENALTIES:
            raise ValueError(unknown("penalty", name, PENALTIES))
        if not gamma >= 0:
            raise ValueError(f"gammas[{name!r}] = {gamma!r}: a penalty's weight is at least 0")
    return {name: gamma for name, gamma in gammas.items() if gamma > 0}


def _scored(
    discriminator: nn.Module, real: Tensor, fake: Tensor, active: Mapping[str, float], joint: bool
) -> Pair:
    sides = {side for name in active for side in PENALTIES[name].differentiates}
    real = real.detach().requires_grad_("real" in sides)
    fake = fake.detach().requires_grad_("fake" in sides)
    if joint:
        real_logits, fake_logits = discriminator(torch.cat([real, fake])).chunk(2)
    else:
        real_logits, fake_logits = discriminator(real), discriminator(fake)
    return Pair(discriminator, real, fake, real_logits, fake_logits)


def generator_loss(
    discriminator: nn.Module, objective: Objective, fake: Tensor, real: Tensor | None = None
) -> Move:
    """mean_i L_G(D(y_i)), with D(x_i) where the objective scores pairs.

    Args:
        fake: (N, ...) from the generator, with graph.
        real: (N, ...), needed by relativistic objectives only; no gradient passes through it.

    Raises:
        ValueError: the objective scores pairs and `real` is None.
    """
    fake_logits = discriminator(fake)
    real_logits = None
    if objective.pairs and real is not None:
        with torch.no_grad():
            real_logits = discriminator(real)
    loss = objective.generator(fake_logits, real_logits).mean()
    return Move(loss, loss.detach(), fake_logits.detach(), real_logits)
