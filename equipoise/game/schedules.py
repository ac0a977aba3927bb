"""Factors over the course of a run."""

from __future__ import annotations

import math

from equipoise.errors import unknown


def constant(start: float, end: float, t: float) -> float:
    """start, whatever t."""
    return start


def linear(start: float, end: float, t: float) -> float:
    """start + (end - start) t."""
    return start + (end - start) * t


def cosine(start: float, end: float, t: float) -> float:
    """end + (start - end) (1 + cos(pi t)) / 2. Loshchilov and Hutter 2017, eq. 5, one cycle."""
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


def exponential(start: float, end: float, t: float) -> float:
    """start (end / start)^t; both must be positive."""
    if start <= 0 or end <= 0:
        raise ValueError(
            f"start = {start:g}, end = {end:g}: an exponential schedule needs both above 0;"
            " use 'linear' or 'cosine' to reach 0"
        )
    return start * (end / start) ** t


SCHEDULES = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "exponential": exponential,
}


def factor(shape: str, start: float, end: float, t: float) -> float:
    """The schedule called `shape` at t, which is held inside [0, 1]."""
    if shape not in SCHEDULES:
        raise ValueError(unknown("schedule", shape, SCHEDULES))
    return SCHEDULES[shape](start, end, min(max(t, 0.0), 1.0))


def burn_in(start: float, end: float, kimg: float, over: float, shape: str = "cosine") -> float:
    """`start` to `end` along `shape` over the first `over` kimg, then `end`.

    For what a run burns in: learning rate, gamma, beta2, the half-life of the EMA, the sigma of
    instance noise. `over` = 0 is `end` from the start. R3GAN, section 4.1 and appendix E.

    Raises:
        ValueError: no such shape, a constant one with start != end, or kimg or over negative.
    """
    if not kimg >= 0 or not over >= 0:
        raise ValueError(f"kimg = {kimg!r}, over = {over!r}: both are at least 0, in kimg")
    if shape == "constant" and start != end:
        raise ValueError(
            f"shape = 'constant' never comes from {start:g} to {end:g}; use 'cosine' or 'linear'"
        )
    if kimg >= over:
        factor(shape, start, end, 1.0)  # refuses what it would refuse on the way
        return end
    return factor(shape, start, end, kimg / over)
