"""Gaussian mixtures in the plane with known density: the ring of 8 and the grid of 25.

Protocol of PacGAN (arXiv 1712.04086, section 4.1), then scaled to unit standard deviation per
coordinate; centers and sigma scale alike, so modes and Mahalanobis distances are unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.data.positions import spans
from equipoise.data.randomness import generator_for
from equipoise.data.source import Augmentation, refuse

BLOCK = 256  # positions drawn at once: batches of any size cut the same stream


@dataclass(frozen=True, eq=False)
class Mixture:
    """Equal shares of K isotropic Gaussians: p(x) = 1/K sum_k N(x; c_k, sigma^2 I).

    Attributes:
        centers: float32 (K, d), after scaling.
        sigma: standard deviation of each mode, after scaling.
        scale: factor that took the textbook coordinates to these.
    """

    centers: Tensor
    sigma: float
    scale: float = 1.0

    def sample(self, generator: torch.Generator, n: int) -> Tensor:
        """n draws, float32 (n, d); modes and noise come from the same generator."""
        modes, dimensions = self.centers.shape
        index = torch.randint(modes, (n,), generator=generator)
        return self.centers[index] + self.sigma * torch.randn(n, dimensions, generator=generator)

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) in nats for x (n, d), float64 (n,)."""
        centers = self.centers.double()
        modes, dimensions = centers.shape
        square = (x.double()[:, None, :] - centers).square().sum(dim=2)
        normalizer = 0.5 * dimensions * math.log(2 * math.pi * self.sigma**2) + math.log(modes)
        return torch.logsumexp(-0.5 * square / self.sigma**2, dim=1) - normalizer


def ring(modes: int = 8, radius: float = 1.0, sigma: float = 0.01) -> Mixture:
    """`modes` Gaussians at equal angles on a circle, scaled to unit standard deviation.

    Variance per coordinate before scaling: radius^2 / 2 + sigma^2 (exact from 3 modes on).

    Raises:
        ValueError: fewer than 3 modes.
    """
    if modes < 3:
        raise ValueError(f"ring modes = {modes}: needs at least 3 to be a ring")
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    centers = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return _unit(centers, sigma, variance=radius**2 / 2 + sigma**2)


def grid(side: int = 5, step: float = 2.0, sigma: float = 0.05) -> Mixture:
    """side x side Gaussians `step` apart, centred at 0, scaled to unit standard deviation.

    Variance per coordinate before scaling: step^2 (side^2 - 1) / 12 + sigma^2.

    Raises:
        ValueError: side below 2.
    """
    if side < 2:
        raise ValueError(f"grid side = {side}: needs at least 2 to be a grid")
    line = step * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    centers = torch.cartesian_prod(line, line)
    return _unit(centers, sigma, variance=step**2 * (side**2 - 1) / 12 + sigma**2)


def _unit(centers: Tensor, sigma: float, variance: float) -> Mixture:
    scale = 1 / math.sqrt(variance)
    return Mixture((centers * scale).float(), sigma * scale, scale)


@dataclass(frozen=True, eq=False)
class MixtureSource:
    """An endless source of draws from a mixture."""

    mixture: Mixture

    @property
    def size(self) -> None:
        """Endless."""
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.mixture.centers.shape[1],)

    def batch(self, seed: int, images_seen: int, n: int) -> Tensor:
        """Positions [images_seen, images_seen + n) of the stream that `seed` names: (n, d)."""
        pieces = [
            self.mixture.sample(generator_for(seed, "data", block * BLOCK), BLOCK)[start:stop]
            for block, start, stop in spans(images_seen, n, BLOCK)
        ]
        return torch.cat(pieces)

    def reals(self, n: int, seed: int) -> Tensor:
        """n fresh draws under the purpose "reference": (n, d)."""
        return self.mixture.sample(generator_for(seed, "reference", 0), n)


def open_ring(
    *,
    path: str | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    augment: Augmentation | None = None,
) -> MixtureSource:
    """The ring of 8; it reads no setting."""
    _refuse_all("ring", path, resolution, channels, augment)
    return MixtureSource(ring())


def open_grid(
    *,
    path: str | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    augment: Augmentation | None = None,
) -> MixtureSource:
    """The grid of 25; it reads no setting."""
    _refuse_all("grid", path, resolution, channels, augment)
    return MixtureSource(grid())


def _refuse_all(
    kind: str,
    path: str | None,
    resolution: int | None,
    channels: int | None,
    augment: Augmentation | None,
) -> None:
    reason = "its samples are points in the plane"
    refuse(kind, reason, path=path, resolution=resolution, channels=channels, augment=augment)
