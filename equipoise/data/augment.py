"""Changes of real images: flip, crop from a reflected border, brightness and contrast."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.errors import DataError

DRAWS = 5  # uniforms per image: flip, vertical offset, horizontal offset, brightness, contrast


def augment(
    images: Tensor,
    generator: torch.Generator,
    *,
    flip: bool = False,
    crop: int = 0,
    color: float = 0.0,
) -> Tensor:
    """Each image changed on its own: `augmented` with uniforms drawn from `generator`."""
    uniforms = draws(generator, len(images))
    return augmented(images, uniforms, flip=flip, crop=crop, color=color)


def draws(generator: torch.Generator, n: int) -> Tensor:
    """The uniforms in [0, 1) that decide the changes of n images: (n, 5).

    All five are drawn whatever is switched on, so that one change does not move another's draws.
    """
    return torch.rand(n, DRAWS, generator=generator)


def augmented(
    images: Tensor, uniforms: Tensor, *, flip: bool = False, crop: int = 0, color: float = 0.0
) -> Tensor:
    """Images (n, C, H, W) in [-1, 1] changed as `uniforms` (n, 5) say; same shape and range.

    flip: mirrored left to right with probability 1/2. crop: a window of H x W out of the image
    with `crop` pixels of reflected border, each offset in 0..2 crop alike. color: with m the
    image's mean, x <- (x - m) (1 + a) + m + b, a and b uniform in [-color, color], clamped.

    Raises:
        DataError: crop is not below the image's side.
    """
    if flip:
        images = torch.where((uniforms[:, 0] < 0.5)[:, None, None, None], images.flip(3), images)
    if crop:
        images = _cropped(images, uniforms[:, 1:3], crop)
    if color:
        images = _colored(images, color * (2 * uniforms[:, 3:5] - 1))
    return images


def _cropped(images: Tensor, uniforms: Tensor, crop: int) -> Tensor:
    n, channels, height, width = images.shape
    if crop >= min(height, width):
        raise DataError(
            f"data.augment.crop = {crop}: must be below the image side of {min(height, width)}"
            " pixels, since the border is a reflection; lower it"
        )
    padded = F.pad(images, (crop, crop, crop, crop), mode="reflect")
    offset = (uniforms * (2 * crop + 1)).long()
    rows = offset[:, 0, None] + torch.arange(height)
    columns = offset[:, 1, None] + torch.arange(width)
    sample = torch.arange(n)[:, None, None, None]
    channel = torch.arange(channels)[None, :, None, None]
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _colored(images: Tensor, shifts: Tensor) -> Tensor:
    brightness, contrast = shifts[:, 0, None, None, None], shifts[:, 1, None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * (1 + contrast) + mean + brightness).clamp(-1, 1)
