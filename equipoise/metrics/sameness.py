"""MS-SSIM within one set: how alike a generator's samples are among themselves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from equipoise.metrics.averages import mean_measure
from equipoise.metrics.images import CHUNK, Images, Range, from_zero, image_batch
from equipoise.metrics.measure import Measure, with_error
from equipoise.metrics.structural import (
    WEIGHTS,
    WIDTH,
    WINDOW,
    Moments,
    Multiscale,
    ms_ssim_values,
    multiscale,
    multiscale_convention,
    product_over_scales,
    scales,
)

BATCH, BATCHES = 64, 5  # arXiv 1710.08446, section 5.3, as google/compare_gan plays it
NAME = "ms_ssim_diversity"


def ms_ssim_diversity(
    images: Images, *, data_range: Range, protocol: str = "pggan", seed: int = 0
) -> Measure:
    """Mean MS-SSIM of pairs within one set (N, C, H, W): in [0, 1], smaller is more diverse.

    Compare it with that of as many reals; a value alone says little. It sees whether samples look
    alike, not whether they look right: noise scores best.
    protocol "pggan": pairs of neighbours (0, 1), (2, 3), ...; the paper takes 20 000 images.
    "compare_gan": all pairs within up to 5 disjoint batches of 64, drawn by `seed`.
    error: over pairs for "pggan"; for "compare_gan" the jackknife over images within each batch,
    since pairs share images (treating 2016 pairs as independent would say a quarter of it).

    Raises:
        ValueError: one image, an odd number under "pggan", fewer than 64 under "compare_gan";
            else as `ms_ssim`.

    Source: arXiv 1710.10196, section 5; arXiv 1710.08446, section 5.3.
    """
    batch = image_batch(images, "images", data_range, least=2)
    rule = multiscale(protocol, batch)
    convention = multiscale_convention(data_range, protocol)
    narrow = min(batch.shape[2:]) / 2 ** (len(WEIGHTS) - 1) < WINDOW
    warnings = (NARROW,) if narrow else ()
    if protocol == "pggan":
        if len(batch) % 2:
            raise ValueError(
                f"images: {len(batch)} given; protocol 'pggan' pairs neighbours and needs an even"
                " number; drop one"
            )
        values = ms_ssim_values(batch[0::2], batch[1::2], data_range=data_range, protocol=protocol)
        convention = convention | {"pairs": "neighbours"}
        return mean_measure(NAME, values, convention=convention, warnings=warnings)
    return _over_batches(batch, data_range, rule, seed, convention, warnings)


NARROW = (
    "images are below 176 pixels, so the window shrinks at the coarse scales: compare with images"
    " of this size alone"
)


def pairwise_ms_ssim(images: Images, *, data_range: Range, protocol: str = "pggan") -> Tensor:
    """MS-SSIM of all pairs within images (N, C, H, W): float64 (N, N), ones on the diagonal."""
    batch = image_batch(images, "images", data_range, least=2)
    rule = multiscale(protocol, batch)
    return _pairwise(from_zero(batch, data_range, WIDTH), rule)


def jackknife_of_pairs(similarity: Tensor) -> tuple[float, float]:
    """Mean off the diagonal of a symmetric (n, n), and its jackknife error over the n items."""
    n = len(similarity)
    rows = similarity.sum(dim=1) - similarity.diagonal()
    total = rows.sum()
    mean = float(total / (n * (n - 1)))
    if n < 3:
        return mean, math.nan
    without = (total - 2 * rows) / ((n - 1) * (n - 2))
    return mean, float(((n - 1) * without.var(correction=0)).sqrt())


def _over_batches(
    images: Tensor,
    data_range: Range,
    rule: Multiscale,
    seed: int,
    convention: dict[str, object],
    warnings: tuple[str, ...],
) -> Measure:
    count = min(BATCHES, len(images) // BATCH)
    if not count:
        raise ValueError(
            f"images: {len(images)} given; protocol 'compare_gan' takes batches of {BATCH}; give"
            " more, or use 'pggan'"
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    each = [
        jackknife_of_pairs(_pairwise(from_zero(images[chosen], data_range, WIDTH), rule))
        for chosen in order[: count * BATCH].split(BATCH)
    ]
    value = sum(mean for mean, _ in each) / count
    error = math.sqrt(sum(e**2 for _, e in each)) / count
    told = {"pairs": f"all within batches of {BATCH}", "n": count * BATCH, "seed": seed}
    return with_error(
        NAME, value, error, convention=convention | told | {"bias": "none"}, warnings=warnings
    )


def _pairwise(images: Tensor, rule: Multiscale) -> Tensor:
    levels = scales(images, rule)
    similarity = torch.eye(len(images), dtype=torch.float64)
    for i in range(len(images) - 1):
        one = [Moments(*(t[i : i + 1] for t in level)) for level in levels]
        for start in range(i + 1, len(images), CHUNK):
            many = [Moments(*(t[start : start + CHUNK] for t in level)) for level in levels]
            row = product_over_scales(one, many, rule)
            similarity[i, start : start + CHUNK] = similarity[start : start + CHUNK, i] = row
    return similarity
