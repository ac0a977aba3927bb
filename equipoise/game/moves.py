"""The game: each player's loss as a pure function of modules and tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from equipoise.errors import unknown
from equipoise.game.logits import Logits, listed, mapped, mean_of, per_sample
from equipoise.game.objectives import Objective
from equipoise.game.penalties import PENALTIES, PLAIN, Pair, Setting, scored, single_precision
from equipoise.game.sampling import top_k


@dataclass(frozen=True)
class Move:
    """What a player would descend, and what was seen on the way.

    Attributes:
        loss: scalar, with graph.
        adversarial: scalar without penalties, detached.
        real_logits, fake_logits: detached, as the discriminator gave them (a tensor, or a list
            where there are several); real logits are None where the move needs none.
        penalties: batch mean of each penalty before its weight, detached.
    """

    loss: Tensor
    adversarial: Tensor
    fake_logits: Logits
    real_logits: Logits | None = None
    penalties: Mapping[str, Tensor] = field(default_factory=dict)


def discriminator_loss(
    discriminator: nn.Module,
    objective: Objective,
    real: Tensor,
    fake: Tensor,
    gammas: Mapping[str, float] | None = None,
    joint: bool = True,
    setting: Setting = PLAIN,
) -> Move:
    """mean_i L_D(D(x_i), D(y_i)) + sum_p factor_p gamma_p mean_i p_i.

    Args:
        real, fake: (N, ...) each, of one shape; gradients never reach the generator.
        gammas: weight of each penalty by name, times its factor (1/2 for R1 and R2); 0 leaves it
            out.
        joint: one pass over both halves (faster), or one pass each. They agree where the
            discriminator treats samples apart; with batch normalization only `joint=False` keeps
            real and fake statistics separate.
        setting: what penalties need beside the images.

    Under autocast penalties are computed in float32, which costs one more pass, except for those
    that read the logits alone.

    Raises:
        ValueError: shapes differ, a penalty is unknown, has a negative weight or lacks what it
            needs.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"fake has shape {tuple(fake.shape)}, real {tuple(real.shape)}: they must agree; check"
            " the generator's output size and the batch"
        )
    active = _active(gammas or {})
    sides = {side for name in active for side in PENALTIES[name].differentiates}
    mixed = torch.is_autocast_enabled(real.device.type)
    pair = scored(discriminator, real, fake, () if mixed else sides, joint, setting)
    adversarial = objective.discriminator(pair.real_logits, pair.fake_logits).mean()
    if mixed and active:
        with single_precision(real, fake) as wide:
            alone = _logits_alone(active)
            exact = pair if alone else scored(discriminator, *wide, sides, joint, setting)
            values = _values(exact, active)
    else:
        values = _values(pair, active)
    return _move(adversarial, pair, values, active)


def _values(pair: Pair, active: Mapping[str, float]) -> dict[str, Tensor]:
    return {name: PENALTIES[name].value(pair).mean() for name in active}


def _move(
    adversarial: Tensor, pair: Pair, values: Mapping[str, Tensor], gammas: Mapping[str, float]
) -> Move:
    loss = adversarial
    for name, gamma in gammas.items():
        loss = loss + PENALTIES[name].factor * gamma * values[name]
    return Move(
        loss,
        adversarial.detach(),
        mapped(Tensor.detach, pair.fake_logits),
        mapped(Tensor.detach, pair.real_logits),
        {name: value.detach() for name, value in values.items()},
    )


def _logits_alone(active: Mapping[str, float]) -> bool:
    return all(PENALTIES[name].reads_logits_alone for name in active)


def _active(gammas: Mapping[str, float]) -> dict[str, float]:
    """The penalties that weigh something."""
    for name, gamma in gammas.items():
        if name not in PENALTIES:
            raise ValueError(unknown("penalty", name, PENALTIES))
        if not gamma >= 0:
            raise ValueError(f"gammas[{name!r}] = {gamma!r}: a penalty's weight is at least 0")
    return {name: gamma for name, gamma in gammas.items() if gamma > 0}


def generator_loss(
    discriminator: Callable[[Tensor], Logits],
    objective: Objective,
    fake: Tensor,
    real: Tensor | None = None,
    best: float = 1.0,
) -> Move:
    """mean_i L_G(D(y_i)), with D(x_i) where the objective scores pairs.

    Args:
        discriminator: a module, or a score of several steps ahead (`unrolled`).
        fake: (N, ...) from the generator, with graph.
        real: (N, ...), needed by relativistic objectives only; no gradient passes through it.
        best: share of the judgements, rounded up, that the mean is taken over: those that the
            discriminator finds most real (`top_k`); 1 is all.

    Raises:
        ValueError: the objective scores pairs and `real` is None, or `best` is out of (0, 1].
    """
    fake_logits = discriminator(fake)
    real_logits = None
    if objective.pairs and real is not None:
        with torch.no_grad():
            real_logits = discriminator(real)
    losses = objective.generator(fake_logits, real_logits)
    if best != 1.0:
        losses = _of_the_best(losses, fake_logits, best)
    loss = losses.mean()
    return Move(loss, loss.detach(), mapped(Tensor.detach, fake_logits), real_logits)


def _of_the_best(losses: Tensor, logits: Logits, share: float) -> Tensor:
    if not 0 < share <= 1:
        raise ValueError(f"best = {share!r}: the share of fakes that count lies in (0, 1]")
    scores = mean_of([per_sample(one) for one in listed(logits)])
    return top_k(losses, scores, math.ceil(share * len(losses)))
