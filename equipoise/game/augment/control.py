"""How strongly to augment: by how much the discriminator overfits."""

from __future__ import annotations

import torch
from torch import Tensor

TARGET = 0.6  # of r_t; Karras et al. 2020, section 3.1
SPEED = 500_000  # images in which p may go from 0 to 1; ADA's released code


def overfitting_sign(real_logits: Tensor) -> Tensor:
    """r_t = E[sign D(x)] over training reals, in [-1, 1]: 0 none, 1 complete overfitting.

    Logits of any shape; returns a scalar. Logits ~ N(m, s^2) give 2 Phi(m / s) - 1, so the target
    0.6 is m / s = 0.84. Its meaning needs logits whose 0 is indifference: not those of WGAN or of
    relativistic objectives. Karras et al. 2020 (ADA), eq. 1.
    """
    return real_logits.detach().float().sign().mean()


def adapted(p: float, r_t: float, images: int, target: float = TARGET, speed: int = SPEED) -> float:
    """p + sign(r_t - target) images / speed, held inside [0, 1].

    `images` were shown since the last change: batch times interval; 64 x 4 moves p by 5.12e-4.
    r_t should be averaged over them. Karras et al. 2020 (ADA), section 3.1.

    Raises:
        ValueError: p or r_t not a number, or p out of [0, 1], or images or speed not positive.
    """
    if not 0 <= p <= 1 or not -1 <= r_t <= 1:
        raise ValueError(
            f"p = {p!r}, r_t = {r_t!r}: p lies in [0, 1] and r_t in [-1, 1]; check the logits for"
            " values that are not finite"
        )
    if images <= 0 or speed <= 0:
        raise ValueError(f"images = {images!r}, speed = {speed!r}: both count images, above 0")
    direction = (r_t > target) - (r_t < target)
    return min(max(p + direction * images / speed, 0.0), 1.0)


def pseudo_real(
    real: Tensor, fake: Tensor, p: float, generator: torch.Generator | None = None
) -> Tensor:
    """Each real replaced with probability p by the fake of its row (APA).

    Shapes agree, (N, ...); fakes are detached. Give the result to the discriminator as reals, and
    set p by `adapted`. p = 0 returns `real` itself. Jiang et al. 2021, eq. 3 and 5.

    Raises:
        ValueError: shapes differ, or p is out of [0, 1].
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"fake has shape {tuple(fake.shape)}, real {tuple(real.shape)}: they must agree"
        )
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p!r}: the probability of a pseudo-real lies in [0, 1]")
    if p == 0:
        return real
    device = generator.device if generator else real.device
    struck = torch.rand(len(real), generator=generator, device=device).to(real.device) < p
    return torch.where(struck.view(-1, *(1,) * (real.dim() - 1)), fake.detach(), real)
