"""Sums of a kernel over pairs of rows, chunk by chunk: no N x N matrix is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array, rows, same_width

CHUNK = 1024  # rows and columns of a block of kernel values
Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]  # of (X Y^T, |x|^2, |y|^2), overwriting X Y^T


class PairSums(NamedTuple):
    """Row sums of a kernel, float64: what unbiased, biased and jackknife estimates need.

    Attributes:
        xx, yy: sum over j != i of k(x_i, x_j), (N,); likewise (M,).
        xy: sum over j of k(x_i, y_j), (N,); yx: sum over i of it, (M,).
        x_diagonal, y_diagonal: k(x_i, x_i), (N,); (M,).
    """

    xx: Tensor
    yy: Tensor
    xy: Tensor
    yx: Tensor
    x_diagonal: Tensor
    y_diagonal: Tensor


def polynomial(degree: int, gamma: float, coef: float) -> Kernel:
    """(gamma x.y + coef)^degree."""

    def kernel(products: Tensor, x_square: Tensor, y_square: Tensor) -> Tensor:
        return products.mul_(gamma).add_(coef).pow_(degree)

    return kernel


def gaussian_gap(gamma: float) -> Kernel:
    """exp(-gamma |x - y|^2) - 1, which keeps its digits where the exponential is nearly 1."""

    def kernel(products: Tensor, x_square: Tensor, y_square: Tensor) -> Tensor:
        distance = products.mul_(-2).add_(x_square[:, None]).add_(y_square).clamp_(min=0)
        return distance.mul_(-gamma).expm1_()

    return kernel


def pair_sums(x: Tensor, y: Tensor, kernel: Kernel, exact: bool) -> PairSums:
    """All row sums of the kernel over features (N, d) and (M, d).

    Each pair within a set is taken once. `exact` multiplies in float64; else in float32, with
    sums in float64.
    """
    xx, x_diagonal = _within(x, kernel, exact)
    yy, y_diagonal = _within(y, kernel, exact)
    xy, yx = torch.zeros(len(x)).double(), torch.zeros(len(y)).double()
    a, b = _half(x, exact), _half(y, exact)
    for i in range(0, len(x), CHUNK):
        for j in range(0, len(y), CHUNK):
            block = _block(a, i, b, j, kernel)
            xy[i : i + CHUNK] += block.sum(dim=1)
            yx[j : j + CHUNK] += block.sum(dim=0)
    return PairSums(xx, yy, xy, yx, x_diagonal, y_diagonal)


class _Half(NamedTuple):
    """One set in the type that it is multiplied in: rows (N, d) and their squared norms (N,)."""

    rows: Tensor
    square: Tensor


def _half(x: Tensor, exact: bool) -> _Half:
    kind = torch.float64 if exact else torch.float32
    return _Half(x.to(kind), x.square().sum(dim=1).to(kind))


def _within(x: Tensor, kernel: Kernel, exact: bool) -> tuple[Tensor, Tensor]:
    """Row sums without the diagonal, and the diagonal."""
    half = _half(x, exact)
    sums, diagonal = torch.zeros(len(x)).double(), torch.zeros(len(x)).double()
    for i in range(0, len(x), CHUNK):
        for j in range(i, len(x), CHUNK):
            block = _block(half, i, half, j, kernel)
            if i == j:
                diagonal[i : i + CHUNK] = block.diagonal()
                block.fill_diagonal_(0)
            else:
                sums[j : j + CHUNK] += block.sum(dim=0)
            sums[i : i + CHUNK] += block.sum(dim=1)
    return sums, diagonal


def _block(a: _Half, i: int, b: _Half, j: int, kernel: Kernel) -> Tensor:
    over, down = slice(i, i + CHUNK), slice(j, j + CHUNK)
    block = kernel(a.rows[over] @ b.rows[down].T, a.square[over], b.square[down])
    return block.double()  # cheaper before the sums than sum(dtype=float64), which casts one by one


def mean_discrepancy(sums: PairSums, unbiased: bool) -> tuple[float, float]:
    """MMD^2 and its delete-one jackknife standard error.

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y), without the pairs of a sample with
    itself if unbiased (a U-statistic), with them if not. The error is that of both sides' sampling;
    where the laws agree it is up to sqrt 2 times too large, because first-order terms vanish there.
    """
    cross = float(sums.xy.sum())
    n, m = len(sums.xy), len(sums.yx)
    own_x, own_y = (0.0, 0.0) if unbiased else (sums.x_diagonal, sums.y_diagonal)
    value = -2 * cross / (n * m)
    variance = 0.0
    for own, row, between, size, other in (
        (own_x, sums.xx, sums.xy, n, m),
        (own_y, sums.yy, sums.yx, m, n),
    ):
        total = float(row.sum() + torch.as_tensor(own).sum())
        value += total / _pairs(size, unbiased)
        left = (total - 2 * row - own) / max(_pairs(size - 1, unbiased), 1)
        left = left - 2 * (cross - between) / ((size - 1) * other)
        variance += (size - 1) / size * float((left - left.mean()).square().sum())
    return value, math.sqrt(variance) if min(n, m) > 2 else math.nan


def _pairs(n: int, unbiased: bool) -> int:
    return n * (n - 1) if unbiased else n * n


def two_sets(real: Array, fake: Array, least: int = 2) -> tuple[Tensor, Tensor]:
    """Both sets of features as float64 of one width.

    Raises:
        ValueError: fewer than `least` rows, a row that is not finite, different d.
    """
    x, y = rows(real, "real", least=least), rows(fake, "fake", least=least)
    same_width(x, y, "real and fake")
    return x, y
