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
