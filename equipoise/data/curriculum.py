"""Core first, outliers later: a source that shows its most typical samples alone.

How typical an array's sample is: its likelihood under a Gaussian fitted to the data, as DeVries,
Drozdzal and Taylor 2020 ("Instance selection for GANs", arXiv 2007.15255) rank samples; theirs is
fitted to features of a trained network, ours to principal components of the pixels, which need
none. Of a mixture it is the distance from the mode's centre.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from typing import final

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
EXACT = 4096  # the side of the largest matrix whose eigenvectors are all found
SPARE, ROUNDS = 16, 8  # of subspace iteration: columns beyond COMPONENTS, and passes


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


class CoreFirst(ABC):
    """A source whose batches come from the most typical `share` of the data.

    The sample at a position is a function of (seed, position, share); at share 1 it is the wrapped
    source's own. `reals` are always all of the data: metrics judge against everything.

    Raises:
        DataError: a share out of (0, 1].
    """

    def __init__(self, source: Source) -> None:
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

    @abstractmethod
    def _core(self, seed: int, images_seen: int, n: int) -> Tensor: ...


@final
class CoreOfArray(CoreFirst):
    """The K = max(1, round(share N)) most likely samples, each as often as the next.

    A position whose usual sample is in the core shows it, the others show a stand-in from the core:
    in an epoch of N positions each core sample comes floor(N / K) or ceil(N / K) times. Epochs keep
    the wrapped source's length on purpose: were they K long, a share that moves would shift the
    place within the epoch and show the same samples again and again.
    """

    source: ArraySource

    @functools.cached_property
    def difficulty(self) -> Tensor:
        """Squared Mahalanobis distance of each sample from the mean, float64 (N,)."""
        return mahalanobis(self.source.samples.flatten(1))

    @functools.cached_property
    def order(self) -> Tensor:
        """Indices of the samples, the most typical first: int64 (N,)."""
        return self.difficulty.argsort(stable=True)

    @functools.cached_property
    def rank(self) -> Tensor:
        """Of each sample, 0 for the most typical: int64 (N,)."""
        return self.order.argsort()

    def _core(self, seed: int, images_seen: int, n: int) -> Tensor:
        pieces = [
            self._piece(seed, epoch, start, stop)
            for epoch, start, stop in spans(images_seen, n, self.source.size)
        ]
        return torch.cat(pieces)

    def _piece(self, seed: int, epoch: int, start: int, stop: int) -> Tensor:
        whole = self.source.size
        core = max(1, round(self.share * whole))
        usual = epoch_order(seed, epoch, whole)[start:stop]
        rank = self.rank[usual]
        stand_in = self.order[_stand_ins(seed, epoch * whole, core)[rank % core]]
        index = torch.where(rank < core, usual, stand_in)
        return self.source.changed(self.source.samples[index], seed, epoch, start, stop)


@functools.lru_cache(maxsize=4)
def _stand_ins(seed: int, images_seen: int, core: int) -> Tensor:
    return torch.randperm(core, generator=generator_for(seed, "core", images_seen))


def mahalanobis(points: Tensor) -> Tensor:
    """(x - m)' C^-1 (x - m) in the leading principal components, (N, d) -> float64 (N,).

    Components are kept until they hold 99 % of the variance, 64 at most; C is their variances,
    `shrunk`. Without any variance all are 0.
    """
    centred = points - points.mean(0, dtype=torch.float64)  # float64, and no second copy of points
    total = torch.linalg.vector_norm(centred).square() / len(points)
    if total == 0:
        return torch.zeros(len(points), dtype=torch.float64)
    scores = principal_scores(centred)
    variances = scores.square().mean(0)
    kept = int((variances.cumsum(0) < KEPT * total).sum()) + 1
    scores, variances = scores[:, :kept], variances[:kept]
    return (scores.square() / shrunk(variances, len(points))).sum(1)


def principal_scores(centred: Tensor) -> Tensor:
    """Coordinates along the k <= 64 leading principal axes: float64 (N, d) -> (N, k).

    The smaller of the matrices X'X (d, d) and XX' (N, N) gives them exactly; where both are larger
    than 4096, whose cube would take many minutes, subspace iteration from a fixed start does.
    """
    samples, dimensions = centred.shape
    if min(samples, dimensions) > EXACT:
        return _iterated_scores(centred)
    tall = samples >= dimensions
    found = torch.linalg.eigh(centred.T @ centred if tall else centred @ centred.T)
    values: Tensor = found.eigenvalues.flip(0)[:COMPONENTS]
    vectors: Tensor = found.eigenvectors.flip(1)[:, :COMPONENTS]
    # of XX' the eigenvectors are the scores themselves, at unit length
    return centred @ vectors if tall else vectors * values.clamp(min=0).sqrt()


def _iterated_scores(centred: Tensor) -> Tensor:
    """`principal_scores` by Halko, Martinsson and Tropp 2011 (arXiv 0909.4061), algorithm 4.4.

    Its random start has a seed of its own: the scores depend on the data alone.
    """
    width = min(COMPONENTS + SPARE, *centred.shape)
    rng = generator_for(0, "principal", 0)
    axes: Tensor = torch.randn(centred.shape[1], width, generator=rng, dtype=torch.float64)
    for _ in range(ROUNDS):
        axes = torch.linalg.qr(centred.T @ (centred @ axes)).Q
    scores = centred @ axes
    turn: Tensor = torch.linalg.eigh(scores.T @ scores).eigenvectors
    return scores @ turn.flip(1)[:, :COMPONENTS]


def shrunk(variances: Tensor, samples: int) -> Tensor:
    """Variances (p,) of uncorrelated components drawn towards their mean: (1 - r) v + r mean(v).

    r = (tr S^2 + (tr S)^2) / ((N + 1) (tr S^2 - (tr S)^2 / p)), at most 1, S = diag(v): the oracle
    approximating shrinkage of Chen, Wiesel, Eldar and Hero 2010 (arXiv 0907.4698), equation 23
    without its terms in 2 / p. Without it N <= p + 1 samples would all lie equally far from their
    mean.
    """
    squares, square = variances.square().sum(), variances.sum().square()
    spread = (samples + 1) * (squares - square / len(variances))
    r = min(1.0, float((squares + square) / spread)) if spread > 0 else 1.0
    return (1 - r) * variances + r * variances.mean()


@final
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
