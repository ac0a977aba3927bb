"""How many different things a generator makes: near twins, and support size by birthdays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from equipoise.metrics.arrays import Array, same_width
from equipoise.metrics.distances import (
    CHUNK,
    Floats,
    Limits,
    Pairs,
    Points,
    hits,
    nearest,
    points,
    repeats,
)
from equipoise.metrics.intervals import poisson_interval, share_measure
from equipoise.metrics.measure import Measure

NEAR = 0.01  # quantile of the reals' own nearest-neighbour distances that counts as near
FEW = 10  # collisions below which a support size is no more than an order of magnitude


def near_threshold(real: Array, quantile: float = NEAR, *, chunk: int = CHUNK) -> float:
    """The distance within which only a share `quantile` of the reals (N, d) has another real.

    It shrinks as N grows, as N^(-1/d) for a density in d dimensions: take as many reals as fakes.

    Raises:
        ValueError: quantile outside [0, 1], fewer than 2 reals, a row that is not finite.
    """
    own, _ = nearest(points(real, "real", least=2), None, 1, chunk)
    return _quantile(own[:, 0], quantile)


def duplicates(
    *,
    fake: Array,
    real: Array | None = None,
    quantile: float = NEAR,
    threshold: float | None = None,
    chunk: int = CHUNK,
    features: str = "features",
) -> Measure:
    """Share of fakes (M, d) that have a twin: another fake within `threshold` of them.

    The threshold is a distance; without one it is `near_threshold(real, quantile)`, so that of
    fakes of the reals' law, and as many, about `quantile` have a twin; without reals it is 0 and
    only exact repeats count. A moment-matched collapse, which no Frechet or kernel distance sees,
    is seen here. The interval is Wilson's; it takes fakes as independent, and twins come in pairs.

    Returns:
        "duplicates_{features}"; parts: repeats (rows that repeat an earlier one exactly), distinct
        (rows that do not), threshold, expected (the share of reals within the threshold).

    Raises:
        ValueError: fewer than 2 fakes, a threshold below 0, different d, rows that are not finite.
    """
    y = points(fake, "fake", least=2)
    x = None if real is None else points(real, "real", least=2)
    limit, expected, warnings = _calibrated(x, y, quantile, threshold, chunk)
    distinct = len(np.unique(repeats(y)))
    parts = {
        "repeats": float(len(y) - distinct),
        "distinct": float(distinct),
        "threshold": limit,
        "expected": expected,
    }
    twins = int((_degrees(y, limit, chunk) > 0).sum())
    convention = _told(features, x, y, quantile, threshold)
    name = f"duplicates_{features}"
    return share_measure(name, twins, len(y), convention=convention, parts=parts, warnings=warnings)


def support_size(
    *,
    fake: Array,
    real: Array | None = None,
    quantile: float = NEAR,
    threshold: float | None = None,
    chunk: int = CHUNK,
    features: str = "features",
) -> Measure:
    """Support size of a generator, from how often two of its M samples (M, d) are the same.

    Over all M (M - 1) / 2 pairs, C of which collide, S = M (M - 1) / (2 C), which estimates
    1 / sum_i p_i^2: the number of outcomes if they are equally likely, less if some are favoured.
    So it bounds the support from below. It uses every pair where the test of Arora and Zhang draws
    batches until half of them hold a collision, at 1.177 sqrt(S) samples (`birthday_batch`).
    What collides is set as in `duplicates`: within `threshold`, that of the reals, or only exact
    repeats. With reals, part "real" is their own size by the same threshold; where the fakes' is
    not below it, the number tells of the threshold and not of a support.

    The interval is Garwood's for C, widened where collisions clump by the U-statistic's variance
    4 / M Var(h_1). Without a collision the value is infinite, and `low` is all that is known.

    Returns:
        "support_size_{features}"; parts: collisions, pairs, threshold, batch_of_half, real.

    Raises:
        ValueError: fewer than 2 fakes, a threshold below 0, different d, rows that are not finite.

    Source: Arora and Zhang, arXiv 1706.08224, section 2.
    """
    y = points(fake, "fake", least=2)
    x = None if real is None else points(real, "real", least=2)
    limit, _, warnings = _calibrated(x, y, quantile, threshold, chunk)
    size = _birthdays(_degrees(y, limit, chunk))
    parts = {
        "collisions": size["collisions"],
        "pairs": len(y) * (len(y) - 1) / 2,
        "threshold": limit,
        "batch_of_half": birthday_batch(size["value"]),
    }
    if x is not None:
        parts["real"] = _birthdays(_degrees(x, limit, chunk))["value"]
        if size["high"] >= parts["real"]:
            warnings += (
                "the reals collide as often within this threshold: no small support is seen, and"
                " the value tells how fine the threshold is",
            )
    if size["collisions"] < FEW:
        warnings += (
            f"{size['collisions']:.0f} collisions among {len(y)} samples: the size is known only to"
            " be above `low`; give more samples",
        )
    return Measure(
        f"support_size_{features}",
        size["value"],
        size["error"] if math.isfinite(size["error"]) else None,
        size["low"],
        size["high"],
        _told(features, x, y, quantile, threshold),
        parts,
        warnings,
    )


def birthday_batch(support: float) -> float:
    """Samples among which two are the same with probability 1/2, of `support` equal outcomes.

    1/2 + sqrt(1/4 + 2 S ln 2), about 1.177 sqrt(S): 50 for 1,797, 289 for 60,000.
    """
    return 0.5 + math.sqrt(0.25 + 2 * math.log(2) * support)


def _birthdays(degrees: Floats) -> dict[str, float]:
    """Support size from how many others each sample collides with (M,)."""
    m = len(degrees)
    pairs, collisions = m * (m - 1) / 2, float(degrees.sum()) / 2
    share = collisions / pairs
    clumped = 4 / m * float(np.var(degrees / (m - 1)))  # Hoeffding's first term
    # independent pairs alone make degrees vary too, so that much is taken off
    clumped = max(0.0, clumped - 4 * share * (1 - share) / (m * (m - 1)))
    variance = share * (1 - share) / pairs + clumped
    wider = max(1.0, variance * pairs / share) if share else 1.0
    low, high = (wider * bound for bound in poisson_interval(collisions / wider))
    value = pairs / collisions if collisions else math.inf
    return {
        "value": value,
        "error": value * math.sqrt(variance) / share if share else math.inf,
        "low": max(1.0, pairs / high),
        "high": pairs / low if low else math.inf,
        "collisions": collisions,
    }


def _degrees(y: Points, threshold: float, chunk: int) -> Floats:
    """How many other rows lie within a distance of each row: (N,)."""
    limit = Limits(0, (np.full(len(y), threshold**2),))
    result = np.zeros(len(y))
    for _, i, j, (near,) in hits(Pairs(y, y, chunk), [limit]):
        first, second = i[near], j[near]
        first, second = first[first < second], second[first < second]  # each pair once
        result += np.bincount(first, minlength=len(y)) + np.bincount(second, minlength=len(y))
    return result


def _calibrated(
    x: Points | None, y: Points, quantile: float, threshold: float | None, chunk: int
) -> tuple[float, float, tuple[str, ...]]:
    """The threshold, the share of reals within it, and what to say about it."""
    if threshold is not None and not threshold >= 0:
        raise ValueError(f"threshold = {threshold}: must be a distance, 0 or more")
    if x is None:
        return threshold or 0.0, 0.0, ()
    same_width(x, y, "real and fake")
    own = nearest(x, None, 1, chunk)[0][:, 0]
    limit = _quantile(own, quantile) if threshold is None else threshold
    uneven = len(y) > 1.5 * len(x)
    said = (
        f"{len(y)} fakes against {len(x)} reals: more samples lie closer together, so more twins"
        " are expected than the reals show; give as many reals",
    )
    return limit, float((own <= limit**2).mean()), said if uneven else ()


def _quantile(squared: Floats, quantile: float) -> float:
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile = {quantile}: must be within [0, 1]")
    return math.sqrt(float(np.quantile(squared, quantile, method="lower")))


def _told(
    features: str, x: Points | None, y: Points, quantile: float, threshold: float | None
) -> dict[str, Any]:
    by_reals = x is not None and threshold is None
    return {
        "features": features,
        "near": f"reals' quantile {quantile}" if by_reals else f"within {threshold or 0.0}",
        "n_real": 0 if x is None else len(x),
        "n_fake": len(y),
    }
