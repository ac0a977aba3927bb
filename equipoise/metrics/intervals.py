"""Intervals for counts: Wilson's for a share, Garwood's for a number of rare events."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from equipoise.metrics.measure import NORMAL_95, Measure


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a probability seen as `share` of n trials; never outside [0, 1].

    Source: Wilson 1927, JASA 22; Brown, Cai and DasGupta 2001, Statistical Science 16(2).
    """
    z2 = NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = NORMAL_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def share_measure(name: str, hits: int, n: int, **rest: Any) -> Measure:
    """The share hits / n with its binomial standard error and Wilson's interval."""
    share = hits / n
    low, high = wilson(share, n)
    return Measure(name, share, math.sqrt(share * (1 - share) / n), low, high, **rest)


def poisson_interval(count: float) -> tuple[float, float]:
    """Garwood's exact 95 % interval of a Poisson mean of which `count` events were seen.

    0 events leave up to 3.689. Source: Garwood 1936, Biometrika 28.
    """
    low = 0.0 if count <= 0 else _root(lambda mean: _gamma(count, mean), 0.025, count)
    return low, _root(lambda mean: _gamma(count + 1, mean), 0.975, count)


def _gamma(shape: float, mean: float) -> float:
    pair = torch.tensor([shape, mean], dtype=torch.float64)
    return float(torch.special.gammainc(pair[0], pair[1]))


def _root(rising: Callable[[float], float], target: float, count: float) -> float:
    low, high = 0.0, count + 10 * math.sqrt(count + 1) + 10
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return high
