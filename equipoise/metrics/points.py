"""Sets of point clouds: coverage, minimum matching distance, 1-NN accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.errors import naming_extras, unknown
from equipoise.metrics.averages import standard_error
from equipoise.metrics.images import Images, checked_batch
from equipoise.metrics.measure import Measure, with_error

EMD_POINTS = 2048  # a cloud; the assignment is cubic: half a second for a pair of this size
BLOCK = 2**24  # distances between points held at once: 128 MiB


class CloudScores(NamedTuple):
    """How a set of fake clouds lies to as many real ones."""

    coverage: Measure
    minimum_matching_distance: Measure
    one_nn_accuracy: Measure


def point_cloud_scores(real: Images, fake: Images, *, distance: str = "chamfer") -> CloudScores:
    """Coverage, minimum matching distance and 1-NN accuracy of clouds (N, P, d) against (N, P', d).

    coverage = share of reals that are the nearest real of some fake; higher is better, below 1 even
    for reals against reals. Fakes far from everything cover too: it asks no quality.
    minimum matching distance = mean over reals of the distance to the nearest fake; lower is
    better. Fakes that are nobody's nearest do not enter: bad ones go unseen.
    one_nn_accuracy = share of all 2 N clouds whose nearest other cloud is of their own set; .5 is
    best, 1 tells the sets apart, 0 means that fakes copy the reals. Of tied neighbours each counts
    its share. Only this one sees both quality and diversity.
    errors: over reals for the matching distance; binomial, sqrt(p (1 - p) / n), for the two shares,
    whose terms depend on one another a little, so take them as rough.

    Work is 3 N^2 distances. N and P must agree with what one compares with: both bias all three.

    Raises:
        ValueError: unknown distance, shapes, NaN, sets of different N, fewer than 2 clouds, or for
            "emd" clouds of different P or above 2048 points.
        MissingExtraError: "emd" without scipy.

    Source: Achlioptas et al., arXiv 1707.02392 (coverage, MMD); Yang et al., arXiv 1906.12320 (1-NN
    accuracy and these definitions).
    """
    x, y = _clouds(real, "real", 2), _clouds(fake, "fake", 2)
    if len(x) != len(y):
        raise ValueError(
            f"real has {len(x)} clouds and fake {len(y)}: must agree, or 1-NN accuracy is not .5"
            " for equal laws; cut the larger set by a fixed seed"
        )
    across = cloud_distances(x, y, distance=distance)
    convention: dict[str, object] = {
        "distance": distance, "points_real": x.shape[1], "points_fake": y.shape[1],
        "n_real": len(x), "n_fake": len(y),
    }  # fmt: skip
    among_reals, among_fakes = (cloud_distances(t, t, distance=distance) for t in (x, y))
    covered = len(across.argmin(dim=0).unique()) / len(x)
    matched = across.min(dim=1).values
    return CloudScores(
        _share(f"coverage_{distance}", covered, len(x), convention),
        with_error(
            f"minimum_matching_distance_{distance}",
            float(matched.mean()),
            standard_error(matched),
            convention=convention,
        ),
        _one_nn(f"one_nn_accuracy_{distance}", among_reals, among_fakes, across, convention),
    )


def cloud_distances(real: Images, fake: Images, *, distance: str = "chamfer") -> Tensor:
    """Distances of all pairs of clouds (N, P, d) and (M, P', d): float64 (N, M).

    Raises:
        ValueError: as `point_cloud_scores`.
    """
    if distance not in DISTANCES:
        raise ValueError(unknown("distance of point clouds", distance, DISTANCES))
    x, y = _clouds(real, "real", 1), _clouds(fake, "fake", 1)
    if x.shape[2] != y.shape[2]:
        raise ValueError(
            f"real has points of {x.shape[2]} coordinates and fake of {y.shape[2]}; must agree"
        )
    some = y.split(max(1, BLOCK // (x.shape[1] * y.shape[1])))
    return torch.stack([torch.cat([DISTANCES[distance](one, part) for part in some]) for one in x])


def chamfer_distance(cloud: Tensor, clouds: Tensor) -> Tensor:
    """mean_p min_q |p - q|^2 + mean_q min_p |p - q|^2, of one cloud (P, d) to many (M, P', d).

    Squared, and the sum of both ways, as PointFlow has it; others take halves or no square. Blind
    to density: two clouds that cover the same places differently are near.
    """
    pairs = _between(cloud, clouds).square()  # (M, P, P')
    return pairs.min(dim=2).values.mean(dim=1) + pairs.min(dim=1).values.mean(dim=1)


def earth_movers_distance(cloud: Tensor, clouds: Tensor) -> Tensor:
    """min over bijections f of mean_p |p - f(p)|, of one cloud (P, d) to many (M, P, d); exact.

    Raises:
        ValueError: clouds of different P, or above 2048 points.
        MissingExtraError: no scipy.
    """
    with naming_extras():
        from scipy.optimize import linear_sum_assignment
    size = len(cloud)
    if clouds.shape[1] != size or size > EMD_POINTS:
        raise ValueError(
            f"clouds of {size} and {clouds.shape[1]} points: distance 'emd' needs as many in both,"
            f" and at most {EMD_POINTS}; subsample, or use 'chamfer'"
        )
    values = []
    for costs in _between(cloud, clouds):
        rows, columns = linear_sum_assignment(costs.numpy())
        values.append(costs[rows, columns].mean())
    return torch.stack(values)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "chamfer": chamfer_distance,
    "emd": earth_movers_distance,
}


def _clouds(clouds: Images, name: str, least: int) -> Tensor:
    return checked_batch(clouds, name, "NPD", least=least, item="cloud").cpu().double()


def _between(cloud: Tensor, clouds: Tensor) -> Tensor:
    # from differences: |x|^2 + |y|^2 - 2xy leaves equal clouds at 1e-8, and ties undecided
    return torch.cdist(
        cloud.expand(len(clouds), -1, -1), clouds, compute_mode="donot_use_mm_for_euclid_dist"
    )


def _share(name: str, share: float, n: int, convention: dict[str, object]) -> Measure:
    error = math.sqrt(share * (1 - share) / n)
    return with_error(name, share, error, convention=convention)


def _one_nn(
    name: str, real: Tensor, fake: Tensor, across: Tensor, convention: dict[str, object]
) -> Measure:
    n = len(real)
    every = torch.cat([torch.cat([real, across], dim=1), torch.cat([across.T, fake], dim=1)])
    every.fill_diagonal_(math.inf)
    nearest = every == every.min(dim=1, keepdim=True).values
    own = torch.arange(2 * n) < n
    same = (nearest & (own[:, None] == own)).sum(dim=1) / nearest.sum(dim=1)
    measure = _share(name, float(same.double().mean()), 2 * n, convention)
    ties = int((nearest.sum(dim=1) > 1).sum())
    said = (f"{ties} of {2 * n} clouds have tied nearest neighbours: duplicates",) if ties else ()
    return Measure(
        name, measure.value, measure.error, measure.low, measure.high, convention,
        {"real": float(same[:n].mean()), "fake": float(same[n:].mean())}, said,
    )  # fmt: skip
