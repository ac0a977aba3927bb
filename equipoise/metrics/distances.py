"""Exact nearest neighbours and balls of large sets, from float32 matrix products.

|x - y|^2 = |x|^2 + |y|^2 - 2 x.y costs one matrix product, and rounds. Each product here carries a
proven bound of its rounding (Higham, Accuracy and Stability of Numerical Algorithms, eq. 3.5), so
most comparisons are certain; the few that are not are taken again in float64 from differences, as
a loop over pairs would. No answer depends on float32, and no N x N array exists: the work goes
block by block over pairs of `chunk` rows, in O(chunk^2 + chunk d) memory beside the features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise.metrics.arrays import Array

CHUNK = 1024
SLACK = 4  # candidates kept beyond k, so that rounding seldom hides the k-th neighbour
BATCH = 1 << 17  # float64 numbers gathered at once for differences: they stay in the cache
CROWD = 64  # above 1/64 of a block in doubt, a float64 product is cheaper than differences
SAMPLE = 512  # rows of each set by which the centre is chosen
FLOOR = 2.0**-100  # squared norms below it count as this: float32 products underflow

Points = NDArray[Any]  # (N, d), float32 or float64
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Ties = Literal["le", "lt"]


def points(array: Array, name: str, least: int = 1) -> Points:
    """`array` as (N, d) on the CPU, in float32 where that holds its values, else float64; no copy.

    Raises:
        ValueError: not (N, d) with N >= `least`, or a row that is not finite (it is named).
    """
    x = torch.as_tensor(array).detach().cpu()
    if x.dim() != 2 or len(x) < least or x.shape[1] < 1:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}: must be (N, d) with N >= {least} and d >= 1;"
            " flatten images, or give more samples"
        )
    if x.dtype not in (torch.float32, torch.float64):
        narrow = x.dtype in (torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.bool)
        x = x.float() if narrow else x.double()
    result = np.ascontiguousarray(x.numpy())
    for start in range(0, len(result), CHUNK):
        broken = np.flatnonzero(~np.isfinite(result[start : start + CHUNK]).all(axis=1))
        if len(broken):
            raise ValueError(
                f"{name}: row {start + broken[0]} holds NaN or infinity; remove such rows, or find"
                " what made them"
            )
    return result


def squared(x: Points, i: Indices, y: Points, j: Indices) -> Floats:
    """|x_i - y_j|^2 in float64 from differences, pair by pair: i, j (P,) -> (P,)."""
    result = np.empty(len(i))
    step = max(1, BATCH // x.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        gap = x[i[part]].astype(np.float64)
        gap -= y[j[part]]
        result[part] = np.square(gap, out=gap).sum(axis=1)  # each row alone: no batch changes it
    return result


@dataclass
class Pairs:
    """All pairs of rows of x (N, d) and y (M, d), block by block; of x with itself if y is x.

    Points are shifted by a common centre and scaled by a power of two to norms of at most 1:
    neither changes which of two distances is the larger, and both keep the products' errors small.
    """

    x: Points
    y: Points
    chunk: int = CHUNK
    centre: Floats = field(init=False)
    scale: float = field(init=False)
    norms: tuple[Floats, Floats] = field(init=False)  # squared, of the placed rows

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise ValueError(f"chunk = {self.chunk}: must be at least 1 row")
        # any centre gives the same answers; a mean would be dragged off by one far outlier, and the
        # others' products would then drown in rounding
        some = [a[:: max(1, len(a) // SAMPLE)].astype(np.float64) for a in (self.x, self.y)]
        middle = np.median(np.concatenate(some), axis=0)
        with np.errstate(over="ignore"):
            near = middle.astype(np.float32).astype(np.float64)
        self.centre = near if np.isfinite(near).all() else middle
        self.scale = 1.0
        raw = self._norms(self.x), self._norms(self.y)
        largest = max(raw[0].max(), raw[1].max())
        if not np.isfinite(largest):
            raise ValueError(
                "the features' squared norms are above 1e308: divide the features by a constant"
            )
        if largest > 0:
            self.scale = 2.0 ** -np.ceil(np.log2(largest) / 2)
        self.norms = raw[0] * self.scale**2, raw[1] * self.scale**2

    @property
    def within(self) -> bool:
        """Whether the pairs are those within one set: none of a row with itself."""
        return self.x is self.y

    def _norms(self, x: Points) -> Floats:
        result = np.empty(len(x))
        with np.errstate(over="ignore"):
            for part in slices(len(x), min(self.chunk, max(1, BATCH // x.shape[1]))):
                moved = x[part].astype(np.float64)
                moved -= self.centre
                result[part] = np.square(moved, out=moved).sum(axis=1)
        return result

    def _place(self, rows: Points, factor: float, out: Points) -> None:
        """out = (rows - centre) * factor, rounded once more than exactly, if at all."""
        # in float32 where nothing can overflow: a centre that float32 holds, a moderate scale; the
        # subtraction then errs by half a unit, as the cast would
        direct = rows.dtype == out.dtype == np.float32 and 2.0**-60 < self.scale < 2.0**60
        if direct and np.abs(self.centre).max() < 2.0**60:
            np.subtract(rows, self.centre.astype(np.float32), out=out)
            out *= np.float32(factor)
        else:
            moved = rows.astype(np.float64)
            moved -= self.centre
            np.multiply(moved, factor, out=out, casting="same_kind")

    def error(self, kind: type[np.floating[Any]]) -> float:
        """w: a lower bound of `kind` is within [S - 2 w (|x|^2 + |y|^2), S] of the true S."""
        d = self.x.shape[1]
        unit = float(np.finfo(kind).eps) / 2
        return (2 * d + 24) * unit / (1 - (d + 2) * unit) + 2 * (d + 20) * 2.0**-53

    def side(
        self, which: int, rows: slice | Indices, kind: type[np.floating[Any]], left: bool
    ) -> Points:
        """Rows as one factor of the product that gives lower bounds: (b, d + 2)."""
        source = self.y if which else self.x
        norms = self.norms[which][rows]
        result = np.empty((len(norms), source.shape[1] + 2), dtype=kind)
        self._place(source[rows], self.scale * (-2 if left else 1), result[:, :-2])
        result[:, -1 if left else -2] = norms - self.error(kind) * np.maximum(norms, FLOOR)
        result[:, -2 if left else -1] = 1
        return result

    def blocks(self) -> Iterator[tuple[slice, slice, Points]]:
        """Rows, columns and float32 lower bounds (b, c) of their scaled squared distances.

        Within one set each unordered pair comes once, and a row with itself as infinity.
        """
        buffer = np.empty(min(self.chunk, len(self.x)) * min(self.chunk, len(self.y)), np.float32)
        for rows in slices(len(self.x), self.chunk):
            left = self.side(0, rows, np.float32, left=True)
            for columns in slices(len(self.y), self.chunk, rows.start if self.within else 0):
                right = self.side(1, columns, np.float32, left=False)
                lower = buffer[: len(left) * len(right)].reshape(len(left), len(right))
                np.matmul(left, right.T, out=lower)  # numpy's: torch may be told to use bfloat16
                if self.within and rows == columns:
                    np.fill_diagonal(lower, np.inf)
                yield rows, columns, lower


def slices(n: int, chunk: int, start: int = 0) -> Iterator[slice]:
    """0..n (from `start`) in runs of `chunk`."""
    for first in range(start, n, chunk):
        yield slice(first, min(first + chunk, n))


@dataclass(frozen=True)
class Limits:
    """Squared distances up to which a pair is a hit, one number for each row (axis 0) or column."""

    axis: Literal[0, 1]
    values: tuple[Floats, ...]


def hits(
    pairs: Pairs, limits: Sequence[Limits], ties: Ties = "le"
) -> Iterator[tuple[int, Indices, Indices, list[NDArray[np.bool_]]]]:
    """Pairs not beyond their limits: (which of `limits`, i (P,), j (P,), a mask for each value).

    A mask says exactly which of these pairs have |x_i - y_j|^2 <= the limit ("lt": <).
    """
    for rows, columns, lower in pairs.blocks():
        for which, group in enumerate(limits):
            part = rows if group.axis == 0 else columns
            scaled = [v[part] * pairs.scale**2 for v in group.values]
            most = np.maximum.reduce(scaled).astype(np.float32)
            flat = np.flatnonzero(lower <= (most[:, None] if group.axis == 0 else most))
            if not len(flat):
                continue
            i, j = np.divmod(flat, lower.shape[1])
            own = i if group.axis == 0 else j
            i, j = i + rows.start, j + columns.start
            bound = lower.ravel()[flat].astype(np.float64)
            value = _settle(pairs, rows, columns, i, j, bound, [s[own] for s in scaled])
            yield which, i, j, [_inside(value, v[part][own], ties) for v in group.values]


def _inside(value: Floats, limit: Floats, ties: Ties) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = value <= limit if ties == "le" else value < limit
    return result


def _settle(
    pairs: Pairs,
    rows: slice,
    columns: slice,
    i: Indices,
    j: Indices,
    lower: Floats,
    limits: list[Floats],
) -> Floats:
    """Squared distances that compare with each limit as the exact ones do (exact where close)."""
    upper, doubt = _doubt(pairs, np.float32, i, j, lower, limits)
    if doubt.sum() * CROWD > (rows.stop - rows.start) * (columns.stop - columns.start):
        left = pairs.side(0, rows, np.float64, left=True)
        fine = left @ pairs.side(1, columns, np.float64, left=False).T
        lower = fine[i - rows.start, j - columns.start]
        upper, doubt = _doubt(pairs, np.float64, i, j, lower, limits)
    value = upper / pairs.scale**2
    value[doubt] = squared(pairs.x, i[doubt], pairs.y, j[doubt])
    return value


def _doubt(
    pairs: Pairs,
    kind: type[np.floating[Any]],
    i: Indices,
    j: Indices,
    lower: Floats,
    limits: list[Floats],
) -> tuple[Floats, NDArray[np.bool_]]:
    norms = np.maximum(pairs.norms[0][i], FLOOR) + np.maximum(pairs.norms[1][j], FLOOR)
    upper = lower + 2 * pairs.error(kind) * norms
    doubt = np.zeros(len(i), dtype=bool)
    for limit in limits:
        slip = 2 * float(np.finfo(kind).eps) * limit  # of the limit's own cast
        doubt |= (lower <= limit + slip) & (upper >= limit - slip)
    return upper, doubt


def nearest(
    x: Points, y: Points | None = None, k: int = 1, chunk: int = CHUNK
) -> tuple[Floats, Indices]:
    """The k nearest rows of y for each row of x: squared distances (N, k), ascending, and indices.

    Without y: the nearest *other* rows of x. The distances are exact, those in float64 from
    differences; of equally near rows any may be named.

    Raises:
        ValueError: k < 1, or fewer than k rows to choose from.
    """
    pairs = Pairs(x, x if y is None else y, chunk)
    choice = len(pairs.y) - pairs.within
    if k < 1 or choice < k:
        raise ValueError(f"k = {k} with {choice} neighbours to choose from: must be 1 to {choice}")
    keep = min(k + SLACK, choice)
    bounds = torch.full((len(x), keep), torch.inf)
    index = torch.zeros((len(x), keep), dtype=torch.int64)
    for rows, columns, lower in pairs.blocks():
        block = torch.from_numpy(lower)
        _merge(bounds[rows], index[rows], block, columns.start)
        if pairs.within and rows != columns:
            _merge(bounds[columns], index[columns], block.T.contiguous(), rows.start)
    return _certify(pairs, k, bounds[:, -1].double().numpy(), index.numpy(), choice == keep)


def _merge(bounds: torch.Tensor, index: torch.Tensor, block: torch.Tensor, start: int) -> None:
    """Keep in (b, keep) the smallest bounds of old and block, and where they stand."""
    keep = bounds.shape[1]
    low, where = block.topk(min(keep, block.shape[1]), dim=1, largest=False, sorted=False)
    both = torch.cat([bounds, low], dim=1)
    # sorted, for the last is then what every row left out is at least as far as
    best, order = both.topk(keep, dim=1, largest=False, sorted=True)
    index.copy_(torch.cat([index, where + start], dim=1).gather(1, order))
    bounds.copy_(best)


def _certify(
    pairs: Pairs, k: int, beyond: Floats, index: Indices, everything: bool
) -> tuple[Floats, Indices]:
    """Exact distances of the candidates; rows where one left out may be nearer are done again."""
    n, keep = index.shape
    exact = squared(pairs.x, np.repeat(np.arange(n), keep), pairs.y, index.ravel())
    exact = exact.reshape(n, keep)
    order = np.argsort(exact, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(exact, order, axis=1)
    chosen = np.take_along_axis(index, order, axis=1)
    if not everything:
        unsure = np.flatnonzero(best[:, -1] * pairs.scale**2 > np.maximum(beyond, 0))
        for part in slices(len(unsure), pairs.chunk):
            _again(pairs, unsure[part], best, chosen)
    return best, chosen


def _again(pairs: Pairs, rows: Indices, best: Floats, chosen: Indices) -> None:
    """Find the neighbours of a few rows anew, from float64 products; writes best and chosen."""
    limit = best[rows, -1].copy()
    reach = limit * pairs.scale**2 * (1 + 1e-15)
    left = pairs.side(0, rows, np.float64, left=True)
    k = best.shape[1]
    found = np.full((len(rows), k), np.inf)
    names = np.zeros((len(rows), k), dtype=np.int64)
    for columns in slices(len(pairs.y), pairs.chunk):
        lower = left @ pairs.side(1, columns, np.float64, left=False).T
        i, j = np.nonzero(lower <= reach[:, None])
        j = j + columns.start
        if pairs.within:
            other = rows[i] != j
            i, j = i[other], j[other]
        value = squared(pairs.x, rows[i], pairs.y, j)
        _smallest(found, names, i, j, value)
    best[rows], chosen[rows] = found, names


def _smallest(found: Floats, names: Indices, i: Indices, j: Indices, value: Floats) -> None:
    """Merge values of rows i into each row's ascending smallest, in place."""
    n, k = found.shape
    row = np.concatenate([np.repeat(np.arange(n), k), i])
    values = np.concatenate([found.ravel(), value])
    name = np.concatenate([names.ravel(), j])
    order = np.lexsort((name, values, row))
    row = row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    kept = order[rank < k]  # every row has at least the k of before
    found[:] = values[kept].reshape(n, k)
    names[:] = name[kept].reshape(n, k)


def repeats(x: Points, chunk: int = CHUNK) -> Indices:
    """For each row the number of the first row that equals it, exactly: (N,); 0.0 equals -0.0."""
    result = np.arange(len(x))
    _, which, count = np.unique(_sums(x, chunk), return_inverse=True, return_counts=True)
    first: dict[bytes, int] = {}
    for n in np.flatnonzero(count[which] > 1):  # rows of one sum may still differ
        result[n] = first.setdefault(_bytes(x[n]), int(n))
    return result


def copies(x: Points, of: Points, chunk: int = CHUNK) -> NDArray[np.bool_]:
    """Which rows of x (N, d) equal some row of `of` (M, d) exactly: (N,)."""
    sums, others = _sums(x, chunk), _sums(of, chunk)
    result = np.isin(sums, others)
    known = {_bytes(of[n]) for n in np.flatnonzero(np.isin(others, sums[result]))}
    for n in np.flatnonzero(result):
        result[n] = _bytes(x[n]) in known
    return result


def _sums(x: Points, chunk: int) -> NDArray[np.uint64]:
    """A number for each row, the same for equal rows: a weighted sum of its bits modulo 2^64."""
    odd = np.random.default_rng(0).integers(0, 2**63, x.shape[1], dtype=np.uint64) * 2 + 1
    result = np.empty(len(x), dtype=np.uint64)
    for part in slices(len(x), min(chunk, max(1, BATCH // x.shape[1]))):
        bits = (x[part].astype(np.float64) + 0.0).view(np.uint64)
        bits ^= bits >> np.uint64(32)  # else an even number of flipped signs would cancel
        result[part] = (bits * odd).sum(axis=1)
    return result


def _bytes(row: Points) -> bytes:
    return hashlib.blake2b((row.astype(np.float64) + 0.0).tobytes(), digest_size=16).digest()
