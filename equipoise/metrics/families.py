"""Metric families: each prepares its side of the reals once, then scores fakes again and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.errors import DataError
from equipoise.features import digit_features
from equipoise.metrics.frechet import frechet_distance, moments
from equipoise.metrics.mixture import ModeCount, mode_count
from equipoise.metrics.neighbours import precision_recall_coverage, radii

NEIGHBOURS = 5
SIDE = 8  # pixels to which images are averaged for the "pixels" family

Scores = dict[str, float]
Score = Callable[[Tensor], Scores]


class KnownModes(Protocol):
    """A mixture of K equal isotropic Gaussians: centers (K, d) and sigma."""

    @property
    def centers(self) -> Tensor: ...

    @property
    def sigma(self) -> float: ...


def prepare_mixture(reals: Tensor, mixture: KnownModes | None) -> Score:
    """Scores of points (n, d) against the known modes; `reals` is not read.

    Raises:
        DataError: the data has no known modes.
    """
    if mixture is None:
        raise DataError(
            "evaluation.metrics names 'mixture', and this data has no known modes;"
            " it is for data.kind 'ring' or 'grid' - use 'digits_cnn' or 'pixels' for images"
        )

    def score(fakes: Tensor) -> Scores:
        if not torch.isfinite(fakes).all():
            return dict.fromkeys(ModeCount._fields, math.nan)
        return mode_count(fakes, mixture.centers, mixture.sigma)._asdict()

    return score


def prepare_digits_cnn(reals: Tensor, mixture: KnownModes | None) -> Score:
    """Scores of digits (N, 1, 8, 8) in the digit classifier's 32 features.

    Raises:
        DataError: the reals are not of that shape, or 5 or fewer.
    """
    if reals.dim() != 4 or tuple(reals.shape[1:]) != (1, 8, 8):
        raise DataError(
            f"evaluation.metrics names 'digits_cnn', and the reals have shape {tuple(reals.shape)};"
            " it reads digits (N, 1, 8, 8) - use 'pixels' for other images"
        )
    return _in_features("digits_cnn", digit_features, reals)


def prepare_pixels(reals: Tensor, mixture: KnownModes | None) -> Score:
    """Scores of images (N, C, H, W) averaged by area to at most 8 x 8 pixels and flattened.

    Raises:
        DataError: the reals are no images, or 5 or fewer.
    """
    if reals.dim() != 4:
        raise DataError(
            f"evaluation.metrics names 'pixels', and the reals have shape {tuple(reals.shape)};"
            " it reads images (N, C, H, W) - use 'mixture' for points"
        )
    return _in_features("pixels", averaged_pixels, reals)


def averaged_pixels(images: Tensor) -> Tensor:
    """Images (N, C, H, W) averaged by area to 8 x 8, flattened to (N, d); sides below 8 stay."""
    side = (min(SIDE, images.shape[2]), min(SIDE, images.shape[3]))
    return F.adaptive_avg_pool2d(images.detach().float().cpu(), side).flatten(1)


def _in_features(family: str, extract: Callable[[Tensor], Tensor], reals: Tensor) -> Score:
    if len(reals) <= NEIGHBOURS:
        raise DataError(
            f"metric family {family!r} has {len(reals)} reals and needs more than {NEIGHBOURS}"
            " (each one's fifth neighbour); give more images"
        )
    real = extract(reals).double()
    mean, covariance = moments(real)
    reach = radii(real, NEIGHBOURS)
    names = [f"{stem}_{family}" for stem in ("frechet", "precision", "recall", "coverage")]

    def score(fakes: Tensor) -> Scores:
        if not torch.isfinite(fakes).all():
            return dict.fromkeys(names, math.nan)
        fake = extract(fakes).double()
        if not torch.isfinite(fake).all():  # finite pixels may still overflow the network
            return dict.fromkeys(names, math.nan)
        distance = frechet_distance(mean, covariance, *moments(fake))
        near = precision_recall_coverage(real, fake, NEIGHBOURS, real_radii=reach)
        values = (distance, near.precision, near.recall, near.coverage)
        return dict(zip(names, values, strict=True))

    return score
