"""What each metric cannot see, measured on the data at hand.

Surrogates of the reals are scored beside the fakes, all at the same number of samples: a fresh
split of the reals (what a perfect generator would score), a Gaussian of their mean and covariance,
a collapse onto a few points moved to that very mean and covariance, and copies of the reals. Where
a surrogate that is bad scores as a fresh split does, or better, the metric is blind to what is bad
about it on this data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.evaluation.measures import MEASURES, Measures, Options, Sides, few, side_of
from equipoise.metrics.measure import Measure

POINTS = 25  # samples of each point that a collapse is left with
MOST = 4000  # samples a side that surrogates are scored with
FEWEST = 40  # below which no split of the reals says anything
# What a share may lie below that of a fresh split by chance, in standard errors of both.
DEVIATIONS = 4.0
DISTANCES = ("fid", "frechet", "kid", "kernel", "cmmd", "sliced_wasserstein")
SHARES = ("recall", "coverage")
BAD = ("gaussian", "collapsed")


@dataclass(frozen=True)
class BlindSpots:
    """The table, and what follows from it.

    Attributes:
        n: samples a side.
        scores: measure -> value by column: fake, fresh, gaussian, collapsed, copies.
        warnings: which of the asked metrics is blind to what, and whether the fakes sit there.
    """

    n: int
    scores: Mapping[str, Mapping[str, float]]
    warnings: tuple[str, ...]


def blind_spots(sides: Sides, names: tuple[str, ...], options: Options) -> BlindSpots | None:
    """Score surrogates of the reals by the metrics of `names`, and the fakes beside them.

    Precision, recall, density, coverage and duplicates are scored in any case, since they see what
    distances do not. None where there are fewer than `FEWEST` samples of a side.
    """
    count = min(len(sides.real.features) // 2, len(sides.fake.features), MOST)
    if count < FEWEST:
        return None
    draw = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(sides.real.features), generator=draw)
    reals = sides.real.features[order].double()
    held, fresh = reals[:count], reals[count : 2 * count]
    columns = {
        "fake": few(sides, count, options.seed).fake.features.double()[:count],
        "fresh": fresh,
        "gaussian": matched(torch.randn(fresh.shape, generator=draw, dtype=torch.float64), held),
        "collapsed": collapsed(held, draw),
        "copies": held.clone(),
    }
    asked = tuple(dict.fromkeys((*names, "prdc", "duplicates")))
    asked = tuple(name for name in asked if not MEASURES[name].needs_train)
    found = {
        column: _scored(held, features, sides.name, asked, options)
        for column, features in columns.items()
    }
    scores = {
        name: {column: measures[name].value for column, measures in found.items()}
        for name in found["fake"]
    }
    return BlindSpots(count, scores, tuple(_warnings(found, sides.name)))


def matched(features: Tensor, like: Tensor) -> Tensor:
    """`features` moved and stretched to the exact mean and covariance of `like`, both (N, d)."""
    own = features - features.mean(0)
    values, vectors = torch.linalg.eigh(own.T @ own / (len(own) - 1))
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    white = own @ vectors[:, kept] / values[kept].sqrt()
    centred = like - like.mean(0)
    wide, axes = torch.linalg.eigh(centred.T @ centred / (len(like) - 1))
    rank = white.shape[1]  # fewer points than dimensions keep the widest directions alone
    root = axes[:, -rank:] * wide[-rank:].clamp(min=0).sqrt()
    return white @ root.T + like.mean(0)


def collapsed(reals: Tensor, draw: torch.Generator) -> Tensor:
    """As many samples on one in `POINTS` of the reals, at the reals' mean and covariance."""
    points = max(len(reals) // POINTS, 2)
    chosen = torch.randperm(len(reals), generator=draw)[:points]
    return matched(reals[chosen].repeat(-(-len(reals) // points), 1)[: len(reals)], reals)


def _scored(
    reals: Tensor, fakes: Tensor, features: str, names: tuple[str, ...], options: Options
) -> Measures:
    sides = Sides(side_of(reals), side_of(fakes), features)
    found: Measures = {}
    for name in names:
        found |= MEASURES[name].run(sides, options)
    return found


def _warnings(found: Mapping[str, Measures], features: str) -> list[str]:
    fresh, fake = found["fresh"], found["fake"]
    distances = [n for n in fresh if n.startswith(DISTANCES)]
    said = []
    for column in BAD:
        blind = [n for n in distances if found[column][n].value <= fresh[n].value]
        worse = _lacking(found[column], fresh, features)
        if blind and worse:
            said.append(
                f"On this data {', '.join(blind)} cannot tell a {_WORDS[column]} from a fresh"
                f" sample of the reals; {', '.join(worse)} can."
            )
    better = [n for n in distances if fake[n].value <= fresh[n].value]
    lacks = _lacking(fake, fresh, features)
    if better and lacks:
        values = ", ".join(f"{n} {fake[n].value:.3g}, {fresh[n].value:.3g} fresh" for n in lacks)
        said.append(
            f"{', '.join(better)} cannot be trusted here: the fakes score as well as a fresh sample"
            f" of the reals, and are none ({values})."
        )
    return said


_WORDS = {"gaussian": "Gaussian of their mean and covariance", "collapsed": "collapse onto points"}


def _lacking(found: Measures, fresh: Measures, features: str) -> list[str]:
    """Recall, coverage or duplicates that a fresh sample would not have."""
    lacks = []
    for stem in (*SHARES, "duplicates"):
        name = f"{stem}_{features}"
        gap = fresh[name].value - found[name].value
        gap = -gap if stem == "duplicates" else gap
        if gap > DEVIATIONS * _error(found[name], fresh[name]):
            lacks.append(name)
    return lacks


def _error(first: Measure, second: Measure) -> float:
    return max(math.hypot(first.error or 0.0, second.error or 0.0), 1e-12)
