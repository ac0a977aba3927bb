"""What a metric gives: a number, how sure it is, and by which convention it was taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NORMAL_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Measure:
    """A metric's value.

    Attributes:
        name: of metric and features ("frechet_pixels"); "fid" is said of Inception alone.
        value: the number.
        error: its standard error, None where none is known.
        low, high: a 95 % interval, None where none is known.
        convention: all that must agree for two values to be compared (features, resize,
            quantization, estimator, k, ...) and what must be told beside them (n, seed).
        parts: numbers that make up the value (mean and covariance term, rank, ...).
        warnings: why it may mislead, in plain sentences.
    """

    name: str
    value: float
    error: float | None = None
    low: float | None = None
    high: float | None = None
    convention: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __float__(self) -> float:
        return self.value


def with_error(name: str, value: float, error: float, **rest: Any) -> Measure:
    """A measure with a normal interval, value +- 1.96 error; none where the error is not finite."""
    if not math.isfinite(error):
        return Measure(name, value, **rest)
    reach = NORMAL_95 * error
    return Measure(name, value, error, value - reach, value + reach, **rest)


FREE = frozenset({"seed", "n", "n_real", "n_fake"})  # told, and free to differ


def compare(first: Measure, second: Measure) -> float:
    """second - first, of two measures by one convention.

    Raises:
        ValueError: they differ in name or convention; every entry that differs is named. Sample
            sizes may differ only where neither estimator is biased by them
            (`convention["bias"] == "none"`).
    """
    told = [dict(m.convention) | {"name": m.name} for m in (first, second)]
    keys = sorted(told[0].keys() | told[1].keys())
    biased = any(t.get("bias", "n") != "none" for t in told)
    free = {"seed"} if biased else FREE
    differ = [k for k in keys if k not in free and told[0].get(k) != told[1].get(k)]
    if differ:
        each = "; ".join(f"{k} {told[0].get(k)!r} against {told[1].get(k)!r}" for k in differ)
        raise ValueError(
            f"{first.name} and {second.name} were taken by different conventions ({each}); measure"
            " both by one"
        )
    return second.value - first.value
