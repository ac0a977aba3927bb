"""Does a generator copy its training set? Fakes against held-out reals, by nearest neighbours."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from equipoise.metrics.arrays import Array, same_width
from equipoise.metrics.distances import (
    CHUNK,
    Floats,
    Indices,
    Points,
    nearest,
    points,
)
from equipoise.metrics.intervals import share_measure, wilson
from equipoise.metrics.measure import Measure, with_error

LEVEL = 0.01  # share of the held-out that may count as copies
RESAMPLES = 400
CELLS = 3  # as dgm-eval, arXiv 2306.04675
LEAST = 20  # fakes in a cell for it to count; the same source


def memorization(
    *,
    fake: Array,
    train: Array,
    held_out: Array,
    level: float = LEVEL,
    chunk: int = CHUNK,
    features: str = "features",
    seed: int = 0,
) -> dict[str, Measure]:
    """Are fakes (M, d) nearer to the training set (T, d) than held-out reals (H, d) are?

    With d(x) the distance to the nearest training sample:
    ratio = median d(fake) / median d(held-out), 1 if neither is nearer, 0 for copies; its interval
    is a seeded bootstrap's. auc = P(d(fake) < d(held-out)) + P(=) / 2: 1/2 if neither is nearer, 1
    for copies; error after DeLong. copied = share of fakes nearer than the `level` quantile of
    d(held-out): about `level` if nothing is copied; part "expected" says how many held-out are.
    Bad fakes lie far from everything: they lower auc and hide copies; copied still shows those.

    Returns:
        measures "ratio", "auc", "copied", named memorization_NAME_{features}.

    Raises:
        ValueError: level outside (0, 1), different d, empty sets, rows that are not finite.

    Source: arXiv 2004.05675 (the comparison with held-out); DeLong et al. 1988, Biometrics 44(3).
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: must be above 0 and below 1")
    sets = _three(fake, train, held_out)
    far = [np.sqrt(nearest(s, sets.train, 1, chunk)[0][:, 0]) for s in (sets.fake, sets.held)]
    told = _told(features, sets) | {"level": level}
    warnings = _leaks(far[1], level)
    rest: dict[str, Any] = {"convention": told, "warnings": warnings}
    return {
        "ratio": _ratio(far[0], far[1], features, seed, rest),
        "auc": _auc(far[0], far[1], features, rest),
        "copied": _copied(far[0], far[1], level, features, rest),
    }


def authenticity(
    *,
    fake: Array,
    train: Array,
    held_out: Array | None = None,
    chunk: int = CHUNK,
    features: str = "features",
) -> Measure:
    """Share of fakes (M, d) that are authentic: farther from their nearest training sample than
    that one is from its own nearest other training sample (T, d).

    0 for copies. It is below 1 for honest fakes too (about 1/2 where they are of the training
    law): give `held_out`, and part "held_out" is its share. AuthPct of dgm-eval is 100 times this.

    Returns:
        "authenticity_{features}", in [0, 1], with Wilson's interval.

    Raises:
        ValueError: fewer than 2 training samples, different d, rows that are not finite.

    Source: Alaa et al., arXiv 2102.08921.
    """
    x, y = points(train, "train", least=2), points(fake, "fake")
    same_width(x, y, "train and fake")
    own = nearest(x, None, 1, chunk)[0][:, 0]
    parts = {}
    if held_out is not None:
        held = points(held_out, "held_out")
        same_width(x, held, "train and held_out")
        parts["held_out"] = float(_authentic(held, x, own, chunk).mean())
    told = {"features": features, "n_train": len(x), "n_fake": len(y)}
    authentic = int(_authentic(y, x, own, chunk).sum())
    return share_measure(
        f"authenticity_{features}", authentic, len(y), convention=told, parts=parts
    )


def data_copying(
    *,
    fake: Array,
    train: Array,
    held_out: Array,
    cells: int = CELLS,
    least: int = LEAST,
    chunk: int = CHUNK,
    features: str = "features",
    seed: int = 0,
) -> Measure:
    """C_T: in cells of the training set, are fakes nearer to it than held-out reals are?

    k-means parts the training set into cells. In each, with distances to the cell's own nearest
    training sample, Z_U is the z value of the Mann-Whitney U of fakes above held-out (tie
    corrected, no continuity correction; dgm-eval adds half a count). C_T is their mean weighted by
    the share of held-out in the cell. Below 0 fakes are nearer: copying; above 0 they are farther:
    underfitting. Each Z_U is N(0, 1) where neither holds, so C_T has standard deviation
    sqrt(sum w^2); part "z" is C_T by it, and z < -1.645 refutes "no copying" at 5 %.
    dgm-eval first takes 64 principal components; here features are taken as they are.

    Returns:
        "c_t_{features}"; parts: z, cells (counted), z_least and z_most over cells.

    Raises:
        ValueError: cells < 1, no cell can be counted, different d, rows that are not finite.

    A mean over a cell: copies among enough poor fakes cancel (arXiv 2302.13181); look at
    "copied" of `memorization` too.

    Source: Meehan, Chaudhuri and Dasgupta, arXiv 2004.05675, section 3.
    """
    sets = _three(fake, train, held_out)
    if not 1 <= cells <= len(sets.train):
        raise ValueError(f"cells = {cells}: must be 1 to {len(sets.train)} (training samples)")
    labels = _partition(sets, cells, chunk, seed)
    scores, weights, left_out = _cell_scores(sets, labels, cells, least, chunk)
    if not len(scores):
        raise ValueError(
            f"no cell of {cells} has {least} fakes and both training and held-out samples: lower"
            " cells or least, or give more samples"
        )
    weights = weights / weights.sum()
    value, error = float(weights @ scores), float(np.sqrt(np.square(weights).sum()))
    parts = {
        "z": value / error,
        "cells": float(len(scores)),
        "z_least": float(scores.min()),
        "z_most": float(scores.max()),
    }
    said = (
        f"{left_out} of {cells} cells are left out: fewer than {least} fakes, or no training or"
        " held-out samples in them",
    )
    told = _told(features, sets) | {"cells": cells, "least": least, "seed": seed}
    return with_error(
        f"c_t_{features}",
        value,
        error,
        convention=told,
        parts=parts,
        warnings=said if left_out else (),
    )


class _Sets(NamedTuple):
    fake: Points
    train: Points
    held: Points


def _three(fake: Array, train: Array, held_out: Array) -> _Sets:
    sets = _Sets(points(fake, "fake"), points(train, "train"), points(held_out, "held_out"))
    same_width(sets.train, sets.fake, "train and fake")
    same_width(sets.train, sets.held, "train and held_out")
    return sets


def _told(features: str, sets: _Sets) -> dict[str, Any]:
    sizes = {"n_fake": len(sets.fake), "n_train": len(sets.train), "n_held_out": len(sets.held)}
    return {"features": features, **sizes}


def _leaks(held: Floats, level: float) -> tuple[str, ...]:
    said = []
    leaked = int((held == 0).sum())
    if leaked:
        said.append(
            f"{leaked} of {len(held)} held-out samples are in the training set: copies are then"
            " compared with copies; hold out samples that were not trained on"
        )
    if len(held) * level < 1:
        said.append(
            f"{len(held)} held-out samples do not resolve a level of {level}: the threshold is"
            " their nearest one; give more, or raise level"
        )
    return tuple(said)


def _ratio(fake: Floats, held: Floats, features: str, seed: int, rest: dict[str, Any]) -> Measure:
    name, middle = f"memorization_ratio_{features}", float(np.median(held))
    if middle == 0:
        said = (*rest["warnings"], "the held-out's median distance is 0: no ratio can be taken")
        return Measure(name, math.nan, convention=rest["convention"], warnings=said)
    draw = np.random.default_rng(seed)
    values = np.array([_resampled(fake, held, draw) for _ in range(RESAMPLES)])
    low, high = np.quantile(values, [0.025, 0.975])
    told = rest["convention"] | {"seed": seed}
    parts = {"fake": float(np.median(fake)), "held_out": middle}
    value, error = parts["fake"] / middle, float(values.std(ddof=1))
    return Measure(name, value, error, float(low), float(high), told, parts, rest["warnings"])


def _resampled(fake: Floats, held: Floats, draw: np.random.Generator) -> float:
    drawn = [np.median(far[draw.integers(0, len(far), len(far))]) for far in (fake, held)]
    return float(drawn[0] / drawn[1]) if drawn[1] else math.inf


def _auc(fake: Floats, held: Floats, features: str, rest: dict[str, Any]) -> Measure:
    above = _share_above(fake, held)  # for each fake, the share of held-out that lie farther
    below = 1 - _share_above(held, fake)
    value = float(above.mean())
    error = math.sqrt(_variance(above) / len(fake) + _variance(below) / len(held))
    # DeLong's error is 0 where the sets are parted: the interval then is that of min(M, H) trials
    trials = value * (1 - value) / error**2 if error > 0 else min(len(fake), len(held))
    low, high = wilson(value, trials)
    return Measure(f"memorization_auc_{features}", value, error, low, high, **rest)


def _share_above(values: Floats, others: Floats) -> Floats:
    """For each value, P(other > value) + P(other = value) / 2."""
    ordered = np.sort(others)
    left, right = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    result: Floats = 1 - (left + right) / (2 * len(ordered))
    return result


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.25


def _copied(
    fake: Floats, held: Floats, level: float, features: str, rest: dict[str, Any]
) -> Measure:
    threshold = float(np.sort(held)[math.floor(level * len(held))])
    parts = {"threshold": threshold, "expected": float((held < threshold).mean())}
    near = int((fake < threshold).sum())
    return share_measure(f"memorization_copied_{features}", near, len(fake), parts=parts, **rest)


def _authentic(y: Points, x: Points, own: Floats, chunk: int) -> np.ndarray[Any, Any]:
    squared, index = nearest(y, x, 1, chunk)
    result: np.ndarray[Any, Any] = squared[:, 0] > own[index[:, 0]]
    return result


def _partition(sets: _Sets, cells: int, chunk: int, seed: int) -> list[Indices]:
    """The cell of each sample, set by set, by k-means (Lloyd, k-means++) on the training set."""
    draw = np.random.default_rng(seed)
    train = sets.train.astype(np.float64)
    centres = train[[draw.integers(len(train))]]
    while len(centres) < cells:
        far = nearest(train, centres, 1, chunk)[0][:, 0]
        chance = far / far.sum() if far.sum() > 0 else np.full(len(far), 1 / len(far))
        centres = np.concatenate([centres, train[[draw.choice(len(train), p=chance)]]])
    for _ in range(100):
        label = nearest(train, centres, 1, chunk)[1][:, 0]
        moved = centres.copy()
        for cell in np.unique(label):
            moved[cell] = train[label == cell].mean(axis=0)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return [nearest(s.astype(np.float64), centres, 1, chunk)[1][:, 0] for s in sets]


def _cell_scores(
    sets: _Sets, labels: list[Indices], cells: int, least: int, chunk: int
) -> tuple[Floats, Floats, int]:
    scores, weights = [], []
    for cell in range(cells):
        fake, train, held = (s[label == cell] for s, label in zip(sets, labels, strict=True))
        if len(fake) < max(least, 1) or not len(train) or not len(held):
            continue
        far = [nearest(s, train, 1, chunk)[0][:, 0] for s in (fake, held)]
        scores.append(mann_whitney_z(far[0], far[1]))
        weights.append(len(held) / len(sets.held))
    return np.array(scores), np.array(weights), cells - len(scores)


def mann_whitney_z(first: Floats, second: Floats) -> float:
    """z of U = #(first > second) + #(=) / 2 with the tie-corrected variance; 0 if all are equal."""
    m, n = len(first), len(second)
    u = n * float((1 - _share_above(first, second)).sum())
    _, tied = np.unique(np.concatenate([first, second]), return_counts=True)
    total = m + n
    correction = float((tied.astype(float) ** 3 - tied).sum()) / (total * (total - 1))
    variance = m * n / 12 * (total + 1 - correction)
    return (u - m * n / 2) / math.sqrt(variance) if variance > 0 else 0.0
