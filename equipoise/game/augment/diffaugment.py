"""DiffAugment: the same few differentiable transforms of every image. Zhao et al. 2020."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from equipoise.game.augment.pixels import check_images, each, grid, parts_of, take, uniform

SHIFT = 1 / 8  # of the image's side
HOLE = 1 / 2  # side of the cutout over that of the image


def color(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Brightness x + U(-.5, .5); saturation about the mean over channels, U(0, 2); contrast about
    the image's mean, U(.5, 1.5); in this order."""
    brightness, saturation, contrast = (uniform(len(images), images, generator) for _ in range(3))
    images = images + each(brightness - 0.5, images)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * each(2 * saturation, images)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * each(contrast + 0.5, images)


def translation(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Whole pixels, uniform in [-s, s] with s = round(side / 8), each way; zeros come in."""
    down, right = (
        _steps(uniform(len(images), images, generator), side) for side in images.shape[2:]
    )
    return shifted(images, down, right)


def _steps(draw: Tensor, side: int) -> Tensor:
    """U(0, 1) -> uniform on the integers of [-s, s]."""
    most = int(side * SHIFT + 0.5)
    return (draw * (2 * most + 1)).long().clamp_max(2 * most) - most


def shifted(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Image n moved by down[n] rows and right[n] columns, (N,) integers; zeros come in."""
    height, width = images.shape[2:]
    rows, columns = grid(images)
    rows, columns = rows - down[:, None, None], columns - right[:, None, None]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    moved = take(images, rows.clamp(0, height - 1), columns.clamp(0, width - 1))
    return moved * inside[:, None]


def cutout(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A hole of zeros, half the side, its centre uniform over the image (clipped at the edges)."""
    inside = None
    for position, side in zip(grid(images), images.shape[2:], strict=True):
        hole = int(side * HOLE + 0.5)
        centres = side + 1 - hole % 2  # an even hole has one place more
        start = (uniform(len(images), images, generator) * centres).long()
        start = start.clamp_max(centres - 1)[:, None, None] - hole // 2
        hit = (position >= start) & (position < start + hole)
        inside = hit if inside is None else inside & hit
    assert inside is not None
    return images * ~inside[:, None]


DIFFAUGMENT_PARTS: dict[str, Callable[[Tensor, torch.Generator | None], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}


def diffaugment(
    images: Tensor,
    generator: torch.Generator | None = None,
    policy: str = "color,translation,cutout",
) -> Tensor:
    """Each part of the policy in turn, every image with its own draw.

    Images (N, C, H, W), best in [-1, 1] where 0 is grey; results are not clamped. An empty policy
    returns the images themselves. Give the same function to reals and fakes, in both players'
    losses: see `alike`, `Augmented`. Zhao et al. 2020, section 3.2.

    Raises:
        ValueError: an unknown part, or images that are not (N, C, H, W).
    """
    check_images(images)
    for part in parts_of(policy, DIFFAUGMENT_PARTS):
        images = DIFFAUGMENT_PARTS[part](images, generator)
    return images
