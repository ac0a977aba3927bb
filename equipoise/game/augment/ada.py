"""ADA's transforms, compact: each strikes an image with probability p. Karras et al. 2020 (ADA)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from equipoise.game.augment.pixels import (
    bilinear,
    check_images,
    each,
    grid,
    normal,
    parts_of,
    reflected,
    take,
    uniform,
)

Part = Callable[[Tensor, float, torch.Generator | None], Tensor]
SHIFT = 0.125  # of the image's side


def _struck(images: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    """(N, 1, 1, 1), True with probability p."""
    return (uniform(len(images), images, generator) < p)[:, None, None, None]


def flip(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """A mirror image, left for right, in half of the cases."""
    half = _struck(images, 0.5, generator)
    return torch.where(_struck(images, p, generator) & half, images.flip(3), images)


def rotate90(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """0, 90, 180 or 270 degrees alike; of images that are not square, 0 or 180."""
    square = images.shape[2] == images.shape[3]
    turns = (uniform(len(images), images, generator) * 4).long().clamp_max(3)
    turns = turns if square else 2 * (turns % 2)
    turns = torch.where(_struck(images, p, generator), turns[:, None, None, None], 0)
    for k in (1, 2, 3) if square else (2,):
        images = torch.where(turns == k, torch.rot90(images, k, (2, 3)), images)
    return images


def translation(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Whole pixels, round(side U(-1/8, 1/8)) each way; mirrored at the edges."""
    struck = _struck(images, p, generator)[:, 0]
    moved = []
    for position, side in zip(grid(images), images.shape[2:], strict=True):
        draw = uniform(len(images), images, generator) * 2 - 1
        steps = (draw * SHIFT * side).round().long()[:, None, None]
        moved.append(reflected(position - torch.where(struck, steps, 0), side))
    return take(images, *moved)


def scale(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Isotropic, by 2^N(0, .2^2), about the centre."""
    factor = torch.exp2(0.2 * normal(len(images), images, generator))
    warped = _warped(images, 1 / factor, torch.zeros_like(factor))
    return torch.where(_struck(images, p, generator), warped, images)


def rotation(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """By U(-pi, pi) about the centre."""
    angle = (uniform(len(images), images, generator) * 2 - 1) * math.pi
    warped = _warped(images, torch.ones_like(angle), angle)
    return torch.where(_struck(images, p, generator), warped, images)


def _warped(images: Tensor, factor: Tensor, angle: Tensor) -> Tensor:
    """out(c) = images(factor R(angle) c), c from the image's centre; bilinear, mirrored."""
    middle = [(side - 1) / 2 for side in images.shape[2:]]
    rows, columns = (part - centre for part, centre in zip(grid(images), middle, strict=True))
    cos, sin = (factor * f(angle) for f in (torch.cos, torch.sin))
    cos, sin = cos[:, None, None], sin[:, None, None]
    return bilinear(
        images, cos * rows - sin * columns + middle[0], sin * rows + cos * columns + middle[1]
    )


def brightness(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """x + N(0, .2^2)."""
    changed = images + each(0.2 * normal(len(images), images, generator), images)
    return torch.where(_struck(images, p, generator), changed, images)


def contrast(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """x 2^N(0, .5^2), about 0."""
    changed = images * each(torch.exp2(0.5 * normal(len(images), images, generator)), images)
    return torch.where(_struck(images, p, generator), changed, images)


def luma(images: Tensor) -> Tensor:
    """Each pixel's projection on the grey axis v: its mean over channels, (N, 1, H, W)."""
    return images.mean(1, keepdim=True)


def luma_flip(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """x - 2 v v'x in half of the cases: dark for light, colours kept; -x of one channel."""
    half = _struck(images, 0.5, generator)
    flipped = images - 2 * luma(images)
    return torch.where(_struck(images, p, generator) & half, flipped, images)


def saturation(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Distance from the grey axis times 2^N(0, 1); nothing happens to one channel."""
    factor = torch.exp2(normal(len(images), images, generator))
    grey = luma(images)
    struck = _struck(images, p, generator)
    changed = grey + (images - grey) * each(factor, images)
    return torch.where(struck, changed, images) if images.shape[1] > 1 else images


def hue(images: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """A turn by U(-pi, pi) about the grey axis; nothing happens unless there are 3 channels."""
    angle = each((uniform(len(images), images, generator) * 2 - 1) * math.pi, images)
    struck = _struck(images, p, generator)
    if images.shape[1] != 3:
        return images
    grey = luma(images)
    # Rodrigues: v x x = (x_b - x_g, x_r - x_b, x_g - x_r) / sqrt 3 for v = (1, 1, 1) / sqrt 3
    cross = (images.roll(1, 1) - images.roll(-1, 1)) / math.sqrt(3)
    turned = grey + (images - grey) * torch.cos(angle) + cross * torch.sin(angle)
    return torch.where(struck, turned, images)


ADA_PARTS: dict[str, Part] = {
    "flip": flip,
    "rotate90": rotate90,
    "translation": translation,
    "scale": scale,
    "rotation": rotation,
    "brightness": brightness,
    "contrast": contrast,
    "luma_flip": luma_flip,
    "hue": hue,
    "saturation": saturation,
}


def ada(
    images: Tensor,
    p: float,
    generator: torch.Generator | None = None,
    policy: str = ",".join(ADA_PARTS),
) -> Tensor:
    """Each part of the policy in turn, striking each image independently with probability p.

    Images (N, C, H, W), 0 in the middle of their range; p in [0, 1]. An image that no part strikes
    comes out bitwise as it was, so p = 0 is the identity (and draws nothing). The order and widths
    are the paper's; left out are anisotropic scale and fractional translation, and resampling is
    bilinear with mirrored edges instead of by wavelets. Set p by `adapted`. Below p of about 0.8
    no part can leak into the samples. Karras et al. 2020, appendix B.

    Raises:
        ValueError: p out of [0, 1], an unknown part, or images that are not (N, C, H, W).
    """
    check_images(images)
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p!r}: the probability of each transform lies in [0, 1]")
    for part in parts_of(policy, ADA_PARTS) if p else ():
        images = ADA_PARTS[part](images, p, generator)
    return images
