"""Core first, outliers later: a source that shows its most typical samples alone.

How typical an array's sample is: its likelihood under a Gaussian fitted to the data, as DeVries,
Drozdzal and Taylor 2020 ("Instance selection for GANs") rank samples; theirs is fitted to features
of a trained network, ours to principal components of the pixels, which need none. Of a mixture it
is the distance from the mode's centre.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from equipoise.data.arrays import ArraySource, epoch_order
from equipoise.data.positions import spans
from equipoise.data.randomness import generator_for
from equipoise.data.source import Source
from equipoise.data.toys import BLOCK, Mixture, MixtureSource
from equipoise.errors import DataError

COMPONENTS = 64  # of the pixels, at most
KEPT = 0.99  # of the variance


def core_first(source: Source) -> CoreFirst:
    """`source` behind a curriculum; its `share` is 1 until it is set.

    Raises:
        DataError: neither an array nor a mixture of points in the plane.
    """
    if isinstance(source, ArraySource):
        return CoreOfArray(source)
    if isinstance(source, MixtureSource) and source.shape == (2,):
        return CoreOfMixture(source)
    raise DataError(
        f"data.curriculum with a {type(source).__name__} of shape {source.shape}: a core is defined"
        " for arrays and for mixtures in the plane; leave data.curriculum out"
    )


class CoreFirst:
    """A source whose batches come from the most typical `share` of the data.

    The sample at a position is a function of (seed, position, share); at share 1 it is the wrapped
    source's own. `reals` are always all of the data: metrics judge against everything.

    Raises:
        DataError: a share out of (0, 1].
    """

    def __init__(self, source: Any) -> None:
        self.source = source
        self._share = 1.0

    @property
    def share(self) -> float:
        """The part of the data that is shown, in (0, 1]."""
        return self._share

    @share.setter
    def share(self, value: float) -> None:
        if not 0 < value <= 1:
            raise DataError(f"share = {value!r}: the part of the data shown lies in (0, 1]")
        self._share = float(value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.source.shape)

    @property
    def size(self) -> int | None:
        """Of the whole data."""
        return self.source.size

    @property
    def mixture(self) -> Mixture | None:
        """The known density of the whole data."""
        return self.source.mixture

    def batch(self, seed: int, images_seen: int, n: int) -> Tensor:
        """Positions [images_seen, images_seen + n) of the stream: (n, *shape)."""
        if self.share == 1.0:
            return self.source.batch(seed, images_seen, n)
        return self._core(seed, images_seen, n)

    def reals(self, n: int, seed: int) -> Tensor:
        """The wrapped source's reference set."""
        return self.source.reals(n, seed)

    def _core(self, seed: int, images_seen: int, n: int) -> Tensor:
        raise NotImplementedError


class CoreOfArray(CoreFirst):
    """The ceil(share N) most likely samples, each epoch in an order of its own.

    An epoch is as many positions as the core has samples, so each is shown once in it; its order is
    that of the wrapped source at the same epoch, the others left out.
    """

    source: ArraySource

    @functools.cached_property
    def difficulty(self) -> Tensor:
        """Squared Mahalanobis distance of each sample from the mean, float64 (N,)."""
        return mahalanobis(self.source.samples.flatten(1).double())

    @functools.cached_property
    def order(self) -> Tensor:
        """Indices of the samples, the most typical first."""
        return self.difficulty.argsort(stable=True)

    @functools.cached_property
    def rank(self) -> Tensor:
        """Of each sample, 0 for the most typical."""
        rank = torch.empty_like(self.order)
        rank[self.order] = torch.arange(len(rank))
        return rank

    def _core(self, seed: int, images_seen: int, n: int) -> Tensor:
        size = math.ceil(self.share * len(self.rank))
        pieces = [
            self._piece(seed, epoch, start, stop, size)
            for epoch, start, stop in spans(images_seen, n, size)
        ]
        return torch.cat(pieces)

    def _piece(self, seed: int, epoch: int, start: int, stop: int, size: int) -> Tensor:
        order = epoch_order(seed, epoch, len(self.rank))
        index = order[self.rank[order] < size][start:stop]
        return self.source.changed(self.source.samples[index], seed, epoch, start, stop)


def mahalanobis(points: Tensor) -> Tensor:
    """(x - m)' C^-1 (x - m) in the leading principal components, (N, d) float64 -> (N,).

    Components are kept until they hold 99 % of the variance, 64 at most. Without any variance all
    are 0.
    """
    centred = points - points.mean(0)
    tall = len(centred) >= centred.shape[1]
    gram = centred.T @ centred if tall else centred @ centred.T
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    if values.sum() == 0:
        return torch.zeros(len(points), dtype=points.dtype)
    held = values.cumsum(0) / values.sum()
    kept = min(int((held < KEPT).sum()) + 1, COMPONENTS)
    variances = values[:kept] / len(points)
    # of the wide form u = X v / sqrt(lambda): scores are sqrt(lambda) u
    scores = centred @ vectors[:, :kept] if tall else vectors[:, :kept] * values[:kept].sqrt()
    return (scores.square() / variances).sum(1)


class CoreOfMixture(CoreFirst):
    """Draws within the central `share` of each mode: r = sigma sqrt(-2 log(1 - share u)).

    u and the direction are uniform; at share 1 the law is the mixture's own, of which the wrapped
    source then gives its usual stream.
    """

    source: MixtureSource

    def _core(self, seed: int, images_seen: int, n: int) -> Tensor:
        pieces = [
            self._block(seed, block)[start:stop]
            for block, start, stop in spans(images_seen, n, BLOCK)
        ]
        return torch.cat(pieces)

    def _block(self, seed: int, block: int) -> Tensor:
        rng = generator_for(seed, "core", block * BLOCK)
        mixture = self.source.mixture
        index = torch.randint(len(mixture.centers), (BLOCK,), generator=rng)
        u, turn = torch.rand(2, BLOCK, generator=rng, dtype=torch.float64)
        radius = mixture.sigma * torch.sqrt(-2 * torch.log1p(-self.share * u))
        angle = 2 * math.pi * turn
        noise = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
        return mixture.centers[index] + noise.float()
