"""Labels softened or turned: smoothing and flipping, where an objective has labels at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from equipoise.game.logits import Logits, listed
from equipoise.game.objectives.base import Objective


def relabelled(
    objective: Objective,
    label_smoothing: float = 0.0,
    fake_smoothing: float = 0.0,
    label_flip: float = 0.0,
    noise: torch.Generator | None = None,
) -> Objective:
    """`objective`, its discriminator's targets moved; the generator's loss stays as it is.

    The real target moves from 1 to 1 - s_r (one-sided: s_f = 0), the fake target from 0 to s_f. A
    flip gives a sample the other side's target, with probability e for each sample and each call.
    In expectation flipping at rate e is two-sided smoothing (1 - e, e): exactly for cross-entropy,
    up to a constant e (1 - e) (b - a)^2 for least squares, whose gradients agree.
    Salimans et al. 2016, section 3.4.

    Args:
        label_smoothing, fake_smoothing: s_r, s_f in [0, 0.5).
        label_flip: e in [0, 0.5).
        noise: where flips are drawn from; needed by a flip, reseed it for exact resumes.

    Raises:
        ValueError: a share out of range, a flip without `noise`, or an objective without labels.
    """
    shares = {
        "label_smoothing": label_smoothing,
        "fake_smoothing": fake_smoothing,
        "label_flip": label_flip,
    }
    for name, share in shares.items():
        _allowed(objective, name, share)
    if not any(shares.values()):
        return objective
    if label_flip and noise is None:
        raise ValueError(
            f"label_flip = {label_flip:g}, noise = None: flips are drawn from a generator of your"
            " own; pass noise=torch.Generator()"
        )
    targets = 1 - label_smoothing, fake_smoothing
    loss = _with_targets(objective.labelled, *targets, label_flip, noise)
    neutral = torch.tensor([objective.neutral], dtype=torch.float64)
    chance = objective.labelled(neutral, neutral, *targets).item()
    return replace(objective, discriminator=loss, chance=(chance, objective.chance[1]))


RULES = {
    "label_smoothing": "the real target moves from 1 to 1 - s, with s in [0, 0.5); 0.1 is usual",
    "fake_smoothing": "the fake target moves from 0 to s, with s in [0, 0.5); 0 is usual",
    "label_flip": "a label is turned with probability e in [0, 0.5); 0.05 is usual",
}


def _allowed(objective: Objective, name: str, share: float) -> None:
    if share == 0:
        return
    if not 0 < share < 0.5:
        raise ValueError(f"{name} = {share!r}: {RULES[name]}")
    if objective.labelled is None:
        raise ValueError(
            f"{name} = {share:g} is undefined for objective {objective.name!r}, which has no label"
            f" targets ({objective.unlabelled}); set it to 0"
        )


def _with_targets(
    labelled: Callable[..., Tensor],
    real_target: float,
    fake_target: float,
    flip: float,
    noise: torch.Generator | None,
) -> Callable[[Logits, Logits], Tensor]:
    def smoothed(real: Logits, fake: Logits) -> Tensor:
        return labelled(real, fake, real_target, fake_target)

    def flipped(real: Logits, fake: Logits) -> Tensor:
        like = listed(real)[0]
        turned = flips(2 * len(like), flip, noise).to(like.device, like.dtype)
        on_real, on_fake = (real_target - fake_target) * turned.reshape(2, -1)
        return labelled(real, fake, real_target - on_real, fake_target + on_fake)

    chosen = flipped if flip else smoothed
    chosen.__doc__ = labelled.__doc__
    return chosen


def flips(count: int, rate: float, noise: torch.Generator) -> Tensor:
    """Which of `count` labels are turned: (count,) of bool, each with probability `rate`."""
    return torch.rand(count, generator=noise, device=noise.device) < rate
