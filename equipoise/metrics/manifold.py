"""Precision, recall, density and coverage at scale, as measures with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from equipoise.metrics.arrays import Array, same_width
from equipoise.metrics.distances import (
    CHUNK,
    Floats,
    Limits,
    Pairs,
    Points,
    Ties,
    copies,
    hits,
    nearest,
    points,
    repeats,
)
from equipoise.metrics.intervals import share_measure
from equipoise.metrics.measure import Measure, with_error

K_PRECISION_RECALL = 3  # arXiv 1904.06991, section 3
K_DENSITY_COVERAGE = 5  # arXiv 2002.09797, section 4
UNEVEN = 2.0  # set sizes that differ by more than this factor are warned about


@dataclass(frozen=True)
class Balls:
    """A set and the ball around each point that reaches its k-th nearest other point.

    Attributes:
        points: (N, d), shared with the caller, not copied.
        squared: k -> squared radii (N,) in float64, exact.
        repeated: how many rows repeat an earlier row exactly.
    """

    points: Points
    squared: Mapping[int, Floats]
    repeated: int


def balls(
    features: Array,
    ks: Iterable[int] = (K_PRECISION_RECALL, K_DENSITY_COVERAGE),
    *,
    chunk: int = CHUNK,
    name: str = "features",
) -> Balls:
    """The balls of features (N, d) for every k of `ks`; give them to `prdc` again and again.

    Raises:
        ValueError: k < 1 or N <= k, wrong shape, a row that is not finite.
    """
    x = points(features, name)
    wanted = sorted(set(ks))
    if not wanted or wanted[0] < 1 or len(x) <= wanted[-1]:
        raise ValueError(
            f"k = {wanted} with {len(x)} {name} samples: each k must be at least 1 and below the"
            " number of samples; give more samples or lower k"
        )
    squared, _ = nearest(x, None, wanted[-1], chunk)
    radii = {k: squared[:, k - 1].copy() for k in wanted}
    return Balls(x, radii, len(x) - len(np.unique(repeats(x))))


def prdc(
    *,
    real: Array | Balls,
    fake: Array | Balls,
    k: int = K_PRECISION_RECALL,
    k_density: int = K_DENSITY_COVERAGE,
    ties: Ties = "le",
    chunk: int = CHUNK,
    features: str = "features",
    resamples: int = 0,
    seed: int = 0,
) -> dict[str, Measure]:
    """Precision, recall, density and coverage of fake (M, d) among real (N, d).

    With B_k(x) the ball around x that reaches the k-th nearest other point of its own set:
    precision = share of fakes in some B_k(real); recall = share of reals in some B_k(fake);
    density = mean number of B_k'(real) that hold a fake, / k'; coverage = share of B_k'(real) that
    hold a fake; k' is `k_density`. Improved precision and recall take k = 3 and closed balls
    (ties "le"); package `prdc` takes one k, by its example 5, for all four and open balls ("lt"):
    equal numbers for float64; for float32 it rounds distances, and near ties differ by a count.
    Counts are exact at any `chunk` and for float32 as for float64; work O((N + M)^2 d), memory
    O(chunk^2 + chunk d) beside the features.

    `error` is binomial over the side that is counted (density: the spread over fakes), and the
    interval Wilson's: both hold the balls fixed. Balls are drawn too: over fresh draws of both sets
    the spread is 1.1 to 2 times that. `resamples` = B > 0 takes it in: B times a random half of
    each set (drawn without replacement: a bootstrap's repeated rows would have radius 0) is scored,
    and the spread of the halves' values, an estimate of the full sets' standard error (1.1 to 1.4
    times too large on Gaussians), is given with a normal interval, for B / 4 of the work again.

    Returns:
        measures "precision", "recall", "density", "coverage", named NAME_{features}. Coverage has
        in parts what two samples of one law expect (`same_law_coverage`); 1 is not the ceiling.

    Raises:
        ValueError: sets of k points or fewer, wrong shapes, a row that is not finite, balls
            without this k, unknown ties.

    Source: arXiv 1904.06991, section 2; arXiv 2002.09797, section 3.
    """
    if ties not in ("le", "lt"):
        raise ValueError(f"ties = {ties!r}: must be 'le' (closed balls) or 'lt' (open balls)")
    reals = _balls(real, {k, k_density}, chunk, "real")
    fakes = _balls(fake, {k}, chunk, "fake")
    same_width(reals.points, fakes.points, "real and fake")
    told = {
        "features": features,
        "ties": ties,
        "n_real": len(reals.points),
        "n_fake": len(fakes.points),
    }
    found = _count(reals, fakes, k, k_density, ties, chunk)
    result = _measures(found, told, k, k_density, _warnings(reals, fakes, k, k_density, ties))
    if resamples:
        errors = _half_sampled(reals, fakes, k, k_density, ties, chunk, resamples, seed)
        result = {n: _widened(m, errors[n], resamples, seed) for n, m in result.items()}
    return result


def same_law_coverage(n_real: int, n_fake: int, k: int = K_DENSITY_COVERAGE) -> float:
    """Expected coverage where both sets are samples of one continuous law, in any dimension.

    1 - prod_{j=1..k} (N - j) / (N + M - j): no fake is among the k nearest of the other N - 1 reals
    and M fakes. .9692 for N = M = 500, k = 5; 1 - 2^-k for large N = M.
    """
    steps = range(1, k + 1)
    return 1 - math.prod((n_real - j) / (n_real + n_fake - j) for j in steps)


def rarity(*, real: Array | Balls, fake: Array, k: int = 3, chunk: int = CHUNK) -> Floats:
    """How rare each fake (M, d) is: the least radius of the reals' balls that hold it; NaN outside.

    Radii are distances in the features' own unit; compare with the reals' median radius.

    Source: Han et al., Rarity Score, arXiv 2206.08549, eq. 2.
    """
    reals, y = _balls(real, {k}, chunk, "real"), points(fake, "fake")
    same_width(reals.points, y, "real and fake")
    radius = reals.squared[k]
    least = np.full(len(y), np.inf)
    for _, i, j, (held,) in hits(Pairs(reals.points, y, chunk), [Limits(0, (radius,))]):
        np.minimum.at(least, j[held], radius[i[held]])
    return np.where(np.isfinite(least), np.sqrt(least), np.nan)


def _balls(given: Array | Balls, ks: set[int], chunk: int, name: str) -> Balls:
    if not isinstance(given, Balls):
        return balls(given, ks, chunk=chunk, name=name)
    missing = sorted(ks - given.squared.keys())
    if missing:
        raise ValueError(
            f"the balls of {name} hold k = {sorted(given.squared)} and {missing} is asked for;"
            " make them by balls(features, ks=...)"
        )
    return given


@dataclass(frozen=True)
class _Counts:
    precise: int
    recalled: int
    inside: Floats  # balls of k_density around each fake (M,)
    covered: int
    n_real: int

    def values(self, k: int) -> dict[str, float]:
        n_fake = len(self.inside)
        return {
            "precision": self.precise / n_fake,
            "recall": self.recalled / self.n_real,
            "density": float(self.inside.mean()) / k,
            "coverage": self.covered / self.n_real,
        }


def _count(reals: Balls, fakes: Balls, k: int, k_density: int, ties: Ties, chunk: int) -> _Counts:
    n, m = len(reals.points), len(fakes.points)
    precise, recalled, covered = np.zeros(m, bool), np.zeros(n, bool), np.zeros(n, bool)
    inside = np.zeros(m)
    limits = [
        Limits(0, (reals.squared[k], reals.squared[k_density])),
        Limits(1, (fakes.squared[k],)),
    ]
    for which, i, j, held in hits(Pairs(reals.points, fakes.points, chunk), limits, ties):
        if which:
            recalled[i[held[0]]] = True
            continue
        precise[j[held[0]]] = True
        covered[i[held[1]]] = True
        inside += np.bincount(j[held[1]], minlength=m)
    return _Counts(int(precise.sum()), int(recalled.sum()), inside, int(covered.sum()), n)


def _measures(
    found: _Counts, told: dict[str, Any], k: int, k_density: int, warnings: tuple[str, ...]
) -> dict[str, Measure]:
    n, m = found.n_real, len(found.inside)
    near = {"convention": told | {"k": k}, "warnings": warnings}
    wide: dict[str, Any] = {"convention": told | {"k": k_density}, "warnings": warnings}
    spread = float(found.inside.std(ddof=1)) / k_density / math.sqrt(m) if m > 1 else math.nan
    density = found.values(k_density)["density"]
    expected = {"same_law": same_law_coverage(n, m, k_density)}
    name = told["features"]
    return {
        "precision": share_measure(f"precision_{name}", found.precise, m, **near),
        "recall": share_measure(f"recall_{name}", found.recalled, n, **near),
        "density": with_error(f"density_{name}", density, spread, **wide),
        "coverage": share_measure(f"coverage_{name}", found.covered, n, parts=expected, **wide),
    }


def _warnings(reals: Balls, fakes: Balls, k: int, k_density: int, ties: Ties) -> tuple[str, ...]:
    said = []
    sets = (("real", reals, max(k, k_density)), ("fake", fakes, k))
    for name, side, reach in sets:
        n, empty = len(side.points), int((side.squared[reach] == 0).sum())
        if empty:
            then = "nothing is inside them" if ties == "lt" else "only exact copies are inside them"
            said.append(
                f"{empty} of {n} {name} samples are repeated so often that their ball has radius 0:"
                f" {then} (ties = {ties!r})"
            )
        elif side.repeated:
            said.append(f"{side.repeated} of {n} {name} samples repeat another: their balls shrink")
    copied = int(copies(fakes.points, reals.points).sum())
    if copied:
        said.append(
            f"{copied} of {len(fakes.points)} fake samples are exact copies of reals: these metrics"
            " reward copies; look at memorization"
        )
    sizes = len(reals.points), len(fakes.points)
    if max(sizes) > UNEVEN * min(sizes):
        said.append(
            f"{sizes[0]} reals against {sizes[1]} fakes: the smaller set has the larger balls, so"
            " precision and recall are not on one scale; give sets of about one size"
        )
    return tuple(said)


def _half_sampled(
    reals: Balls,
    fakes: Balls,
    k: int,
    k_density: int,
    ties: Ties,
    chunk: int,
    resamples: int,
    seed: int,
) -> dict[str, float]:
    if resamples < 2:
        raise ValueError(f"resamples = {resamples}: must be 0, or at least 2 to show a spread")
    draw = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        halves = []
        for name, side, ks in (("real", reals, {k, k_density}), ("fake", fakes, {k})):
            n = len(side.points)
            rows = np.sort(draw.choice(n, n // 2, replace=False))
            halves.append(balls(side.points[rows], ks, chunk=chunk, name=f"halved {name}"))
        values.append(_count(halves[0], halves[1], k, k_density, ties, chunk).values(k_density))
    return {name: float(np.std([v[name] for v in values], ddof=1)) for name in values[0]}


def _widened(measure: Measure, error: float, resamples: int, seed: int) -> Measure:
    convention = dict(measure.convention) | {"seed": seed}
    parts = dict(measure.parts) | {"resamples": float(resamples)}
    if measure.error is not None:
        parts["error_balls_fixed"] = measure.error
    wide = with_error(measure.name, measure.value, error)
    return replace(
        measure, error=error, low=wide.low, high=wide.high, convention=convention, parts=parts
    )
