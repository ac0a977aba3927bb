"""Penalties on the slope's length, at images between or around the data, sample by sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import relu

from equipoise.game.noise import uniform
from equipoise.game.penalties.pair import (
    PLAIN,
    Discriminator,
    Pair,
    Setting,
    by_pixels,
    input_gradients,
    norm,
    over_gradients,
    squared_norm,
)


def slope_penalty(
    discriminator: Discriminator,
    images: Tensor,
    target: float = 1.0,
    one_sided: bool = False,
    setting: Setting = PLAIN,
) -> Tensor:
    """(||dD/dx||_i - target)^2 at any images, of each sample: (N, ...) -> (N,).

    One-sided, only slopes above the target count: max(0, ||dD/dx|| - target)^2. The norm is each
    sample's own, over all its dimensions; that of the whole batch, a common slip, would be
    sqrt(N) for N unit slopes. Float32 under autocast. A soft penalty binds nothing: the best
    linear critic of a gap a has slope 1 + a / (2 lambda) (Gulrajani et al. 2017, eq. 3).

    Raises:
        ValueError: target < 0.
    """
    if not target >= 0:
        raise ValueError(f"target = {target!r}: a slope's length is at least 0; 1 or 0 is usual")
    found = input_gradients(discriminator, images, setting)
    if target == 0:
        return by_pixels(over_gradients(squared_norm, found), images, setting)
    many = math.prod(images.shape[2:]) if setting.per_pixel else 1

    def excess(gradient: Tensor) -> Tensor:
        above = norm(gradient) * math.sqrt(many) - target
        return (relu(above) if one_sided else above).square()

    return over_gradients(excess, found)


def blend(real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """alpha_i x_i + (1 - alpha_i) y_i, one alpha (N,) for each sample, whatever the images' shape.

    Alpha's shape beside the images is derived here: (N, 1, 1, 1) written by hand broadcasts with
    flat (N, d) images to (N, 1, N, d) and mixes every sample with every other.

    Raises:
        ValueError: real and fake differ in shape, or alpha is not (N,).
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"fake has shape {tuple(fake.shape)}, real {tuple(real.shape)}: a blend needs pairs;"
            " cut the larger batch"
        )
    if alpha.shape != real.shape[:1]:
        raise ValueError(
            f"alpha has shape {tuple(alpha.shape)}: one number for each of {len(real)} samples;"
            f" draw torch.rand({len(real)})"
        )
    alpha = alpha.reshape(-1, *[1] * (real.dim() - 1)).to(real.dtype)
    return alpha * real + (1 - alpha) * fake


def between(real: Tensor, fake: Tensor, noise: torch.Generator | None = None) -> Tensor:
    """Images on lines from fake to real, alpha ~ U(0, 1). Gulrajani et al. 2017, algorithm 1."""
    real, fake = real.detach(), fake.detach()
    return blend(real, fake, uniform((len(real),), real, noise))


def around(real: Tensor, noise: torch.Generator | None = None, scale: float = 0.5) -> Tensor:
    """x_i + alpha_i scale std(x) u_i with alpha ~ U(0, 1), u ~ U(0, 1)^d: images around the reals.

    The noise of DRAGAN's public code, std over the whole batch; its text draws N(0, c I)
    (Kodali et al. 2017, algorithm 1). It points upwards only, so the images get brighter.
    """
    real = real.detach()
    spread = scale * real.std(correction=0)
    moved = real + spread * uniform(tuple(real.shape), real, noise)
    return blend(moved, real, uniform((len(real),), real, noise))


def wgan_gp(pair: Pair) -> Tensor:
    """(||dD/dx|| - 1)^2 between real and fake; weight lambda = 10. Gulrajani et al. 2017, eq. 3."""
    return slope_penalty(pair.discriminator, _between(pair), setting=pair.setting)


def wgan_gp_one_sided(pair: Pair) -> Tensor:
    """max(0, ||dD/dx|| - 1)^2 between real and fake (WGAN-LP). Petzka et al. 2018."""
    return slope_penalty(pair.discriminator, _between(pair), one_sided=True, setting=pair.setting)


def zero_gp(pair: Pair) -> Tensor:
    """||dD/dx||^2 between real and fake (0-GP). Thanh-Tung et al. 2019."""
    return slope_penalty(pair.discriminator, _between(pair), target=0.0, setting=pair.setting)


def dragan(pair: Pair) -> Tensor:
    """(||dD/dx|| - 1)^2 around the reals; weight lambda = 10. Kodali et al. 2017, algorithm 1."""
    images = around(pair.real, pair.setting.noise)
    return slope_penalty(pair.discriminator, images, setting=pair.setting)


def _between(pair: Pair) -> Tensor:
    return between(pair.real, pair.fake, pair.setting.noise)
