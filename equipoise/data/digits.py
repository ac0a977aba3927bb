"""The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from equipoise import errors
from equipoise.data.arrays import ArraySource
from equipoise.data.randomness import generator_for
from equipoise.data.source import Augmentation, refuse


def digits() -> Tensor:
    """All images, float32 (1797, 1, 8, 8), ink 0..16 mapped to [-1, 1]; read once per process.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    return _loaded()[0]


def labels() -> Tensor:
    """The digit 0..9 that each image shows, int64 (1797,)."""
    return _loaded()[1]


def split(seed: int = 0, held_out: float = 0.2) -> tuple[Tensor, Tensor]:
    """Indices (kept, held out) of a split of the digits that `seed` alone decides.

    >>> kept, held = split()
    >>> len(kept), len(held)
    (1438, 359)
    """
    size = len(digits())
    order = torch.randperm(size, generator=generator_for(seed, "split", 0))
    kept = size - round(size * held_out)
    return order[:kept], order[kept:]


def open_digits(
    *,
    path: str | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    augment: Augmentation | None = None,
) -> ArraySource:
    """The digits as a source; `channels` may say 1."""
    reason = "the digits come with scikit-learn, 1 x 8 x 8"
    grey = None if channels == 1 else channels
    refuse("digits", reason, path=path, resolution=resolution, channels=grey)
    return ArraySource(digits(), augment)


@functools.cache
def _loaded() -> tuple[Tensor, Tensor]:
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped,unused-ignore]  # no stubs
    except ImportError as error:
        raise errors.need("scikit-learn", "train") from error
    bunch = load_digits()
    images = torch.as_tensor(bunch.images, dtype=torch.float32)[:, None] / 8 - 1
    return images, torch.as_tensor(bunch.target, dtype=torch.int64)
