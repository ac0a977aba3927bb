"""Zero-centred penalties: a discriminator flat at the data, exactly or by differences."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.game.logits import listed, mean_of
from equipoise.game.noise import normal
from equipoise.game.penalties.pair import (
    PLAIN,
    Discriminator,
    Pair,
    Setting,
    by_pixels,
    input_gradients,
    over_gradients,
    score,
    single_precision,
    squared_norm,
)

STEP = 0.01  # of images in [-1, 1], as in APT (Lin et al. 2025, arXiv 2501.08316)


def r1(pair: Pair) -> Tensor:
    """||dD/dx||^2 at the reals. Mescheder, Geiger and Nowozin 2018, eq. 9."""
    return _squared_slopes(pair, "real")


def r2(pair: Pair) -> Tensor:
    """||dD/dx||^2 at the fakes. Mescheder, Geiger and Nowozin 2018, eq. 10."""
    return _squared_slopes(pair, "fake")


def _squared_slopes(pair: Pair, side: str) -> Tensor:
    found = [pair.gradient(side, which) for which in range(pair.discriminators)]
    squares = over_gradients(squared_norm, found)
    return by_pixels(squares, getattr(pair, side), pair.setting)


def zero_centred(discriminator: Discriminator, images: Tensor, setting: Setting = PLAIN) -> Tensor:
    """||dD/dx||^2 at any images (N, ...) -> (N,): R1 at reals, R2 at fakes, with one pass more.

    Logits^2 per squared unit of the images; float32 under autocast. Weight gamma / 2.

    >>> import torch
    >>> zero_centred(lambda x: 3 * x[:, 0], torch.zeros(2, 4)).tolist()
    [9.0, 9.0]
    """
    found = input_gradients(discriminator, images, setting)
    return by_pixels(over_gradients(squared_norm, found), images, setting)


def directional(
    discriminator: Discriminator,
    images: Tensor,
    directions: Tensor,
    step: float = STEP,
    central: bool = True,
    setting: Setting = PLAIN,
) -> Tensor:
    """The squared slope along u, by differences: (N,).

    Central: ((D(x + s u) - D(x - s u)) / 2 s)^2; else ((D(x + s u) - D(x)) / s)^2.

    Raises:
        ValueError: step <= 0, or directions of another shape than the images.
    """
    if not step > 0:
        raise ValueError(f"step = {step!r}: differences need a step above 0; {STEP} is usual")
    if directions.shape != images.shape:
        raise ValueError(
            f"directions have shape {tuple(directions.shape)}, images {tuple(images.shape)}: one"
            " direction for each sample; draw them like the images"
        )
    with single_precision(images) as (wide,):
        x, u = wide.detach(), step * directions.to(wide.dtype)
        found = discriminator(torch.cat([x + u, x - u if central else x]))
        width = 2 * step if central else step
        return mean_of([_squared_rise(logits, width, setting) for logits in listed(found)])


def _squared_rise(logits: Tensor, width: float, setting: Setting) -> Tensor:
    ahead, behind = score(logits, setting.per_patch).chunk(2)
    return ((ahead - behind) / width).square()


def finite_difference_r1(
    discriminator: Discriminator,
    images: Tensor,
    setting: Setting = PLAIN,
    step: float = STEP,
    central: bool = True,
) -> Tensor:
    """R1 without second derivatives: the squared slope along u ~ N(0, I), (N, ...) -> (N,).

    E_u (g'u)^2 = ||g||^2, so on D = x'Ax / 2 + b'x the central difference is unbiased at any step;
    the one-sided one, which is what approximated R1 takes, is too large by
    s^2 / 4 (tr(A)^2 + 2 ||A||_F^2). One direction has variance 2 ||g||^4, which the batch averages.
    Costs one pass over 2 N images and its backward instead of a double backward, and works where
    second derivatives do not exist. Weight gamma / 2 as R1; APT's own
    lambda ||D(x) - D(x + s u)||^2 is lambda s^2 times the one-sided form (Lin et al. 2025).

    Args:
        step: s, in units of the images; too small a step drowns in rounding (1e-7 |D| / s).
    """
    directions = normal(tuple(images.shape), images, setting.noise)
    rises = directional(discriminator, images, directions, step, central, setting)
    return by_pixels(rises, images, setting)


def r1_finite_difference(pair: Pair) -> Tensor:
    """R1 at the reals by central differences along one random direction for each sample."""
    return finite_difference_r1(pair.discriminator, pair.real, pair.setting)
