"""Precision, recall, density and coverage from balls around k nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array, rows, same_width

CHUNK = 1024  # rows of the distance matrix held at once


class Neighbourhood(NamedTuple):
    """How two sets of features lie among each other; all in [0, 1] but density, which is >= 0."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall_coverage(
    real: Array, fake: Array, k: int = 5, *, real_radii: Tensor | None = None
) -> Neighbourhood:
    """Compare real (N, d) and fake (M, d) by the balls that reach each point's k-th neighbour.

    With B(x) the closed ball around x that reaches the k-th nearest other point of its own set:
    precision = share of fakes in some B(real); recall = share of reals in some B(fake);
    density = mean number of B(real) that hold a fake, / k; coverage = share of B(real) that hold
    a fake. Ties count as inside (<=), so identical sets score 1. Two samples of one law have an
    expected coverage of 1 - prod_j (N - j) / (N + M - j), j = 1..k: .969 for k = 5, not 1.
    Exact: distances from differences, chunk by chunk, O((N + M)^2 d) work, O(1024 (N + M)) memory.
    The slow twin of `prdc`, which gives the same counts in less time, with intervals and warnings.

    `real_radii` (N,) from `radii(real, k)` saves recomputing them.

    Raises:
        ValueError: a set of k points or fewer, a row that is not finite, different d.

    Source: arXiv 1904.06991, section 2 (precision, recall); arXiv 2002.09797 (density, coverage).
    """
    x, y = rows(real, "real"), rows(fake, "fake")
    same_width(x, y, "real and fake")
    reach = radii(x, k, "real") if real_radii is None else real_radii
    fake_reach = radii(y, k, "fake")
    inside = torch.zeros(len(y), dtype=torch.int64)
    recalled = covered = 0
    for start, distances in _distances(x, y):
        held = distances <= reach[start : start + len(distances), None]
        inside += held.sum(dim=0)
        covered += int(held.any(dim=1).sum())
        recalled += int((distances <= fake_reach).any(dim=1).sum())
    return Neighbourhood(
        precision=float((inside > 0).double().mean()),
        recall=recalled / len(x),
        density=float(inside.double().mean()) / k,
        coverage=covered / len(x),
    )


def radii(features: Array, k: int, name: str = "features") -> Tensor:
    """Distance from each row of features (N, d) to its k-th nearest other row: float64 (N,).

    Raises:
        ValueError: k < 1, or N <= k.
    """
    x = rows(features, name)
    if k < 1 or len(x) <= k:
        raise ValueError(
            f"k = {k} with {len(x)} {name} samples: k must be at least 1 and below the number of"
            " samples; give more samples or lower k"
        )
    nearest = [d.topk(k + 1, dim=1, largest=False).values[:, k] for _, d in _distances(x, x)]
    return torch.cat(nearest)  # k + 1: each row finds itself at distance 0


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(x), CHUNK):
        chunk = x[start : start + CHUNK]
        # not through a matrix product: |x|^2 + |y|^2 - 2xy turns exact ties into rounding noise
        yield start, torch.cdist(chunk, y, compute_mode="donot_use_mm_for_euclid_dist")
