"""A finite set of images or points held in memory."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.data.augment import augmented, draws
from equipoise.data.positions import spans
from equipoise.data.randomness import generator_for
from equipoise.data.source import Augmentation, active
from equipoise.data.toys import Mixture
from equipoise.errors import DataError


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Samples of a tensor, each epoch in an order of its own.

    Position i of the stream is sample permutation(seed, i // N)[i mod N], changed by draws that
    depend on (seed, i) alone.

    Attributes:
        samples: float32 (N, *shape); images in [-1, 1]. Never written to.
        augment: changes of the reals (images only), or None.
        mixture: the density that the samples were drawn from, where it is known.

    Raises:
        DataError: not float32, no sample, a NaN or infinity, or points with `augment`.
    """

    samples: Tensor
    augment: Augmentation | None = None
    mixture: Mixture | None = None

    def __post_init__(self) -> None:
        samples = self.samples
        if samples.dtype != torch.float32 or samples.dim() < 2 or len(samples) == 0:
            raise DataError(
                f"samples is {samples.dtype} of shape {tuple(samples.shape)}: must be torch.float32"
                " (N, *shape) with N >= 1; convert it with .float() and stack samples first"
            )
        if not torch.isfinite(samples).all():
            raise DataError("samples holds NaN or infinity: remove those samples first")
        if active(self.augment) and samples.dim() != 4:
            raise DataError(
                f"data.augment changes images (N, C, H, W), and samples has shape"
                f" {tuple(samples.shape)}; switch it off"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.samples.shape[1:])

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.samples)

    def batch(self, seed: int, images_seen: int, n: int) -> Tensor:
        """Positions [images_seen, images_seen + n) of the order that `seed` names: (n, *shape)."""
        pieces = [
            self._piece(seed, epoch, start, stop)
            for epoch, start, stop in spans(images_seen, n, self.size)
        ]
        return torch.cat(pieces)

    def reals(self, n: int, seed: int) -> Tensor:
        """All samples where n >= size, else n of them in a seeded order; never augmented."""
        if n >= self.size:
            return self.samples.clone()
        order = torch.randperm(self.size, generator=generator_for(seed, "reference", 0))
        return self.samples[order[:n]]

    def _piece(self, seed: int, epoch: int, start: int, stop: int) -> Tensor:
        index = epoch_order(seed, epoch, self.size)[start:stop]
        return self.changed(self.samples[index], seed, epoch, start, stop)

    def changed(self, samples: Tensor, seed: int, epoch: int, start: int, stop: int) -> Tensor:
        """Samples shown at places [start, stop) of an epoch, with the changes drawn for these."""
        if self.augment is None or not active(self.augment):
            return samples
        uniforms = _uniforms(seed, epoch, self.size)[start:stop]
        a = self.augment
        return augmented(samples, uniforms, flip=a.flip, crop=a.crop, color=a.color)


@functools.lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, size: int) -> Tensor:
    """The order in which an epoch shows the samples: a permutation of range(size)."""
    return torch.randperm(size, generator=generator_for(seed, "order", epoch * size))


@functools.lru_cache(maxsize=4)
def _uniforms(seed: int, epoch: int, size: int) -> Tensor:
    return draws(generator_for(seed, "augment", epoch * size), size)
