"""Rows of `python -m benchmarks.metrics`: each module here has a dict `ROWS` of name -> function.

A row is a function of `Options` that returns `contest(...)`: the same fresh data given in turn to
our metric and to the peers' routes, CPU seconds of each.
"""

from __future__ import annotations

import importlib
import pkgutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "ours"


@dataclass(frozen=True)
class Options:
    """What a row is measured at: samples a side, width of the features, rounds."""

    n: int
    d: int
    rounds: int


WARM = Options(n=64, d=32, rounds=1)


@dataclass(frozen=True)
class Outcome:
    """CPU seconds by contestant and round, the value each gave last, and the marks.

    `marks[peer]` is the least ratio peer / ours that is asked for; `absent` says why a peer did
    not play.
    """

    seconds: Mapping[str, list[float]]
    values: Mapping[str, float]
    marks: Mapping[str, float]
    absent: Mapping[str, str] = field(default_factory=dict)

    def ratios(self, peer: str) -> list[float]:
        """Peer over ours, round by round."""
        return [b / a for a, b in zip(self.seconds[OURS], self.seconds[peer], strict=True)]

    def met(self, peer: str) -> bool:
        """Whether the median ratio reaches the mark."""
        return statistics.median(self.ratios(peer)) >= self.marks.get(peer, 0.0)


Row = Callable[[Options], Outcome]
Contestant = Callable[[Any], float]


def contest(
    data: Callable[[int, Options], Any],
    contestants: Mapping[str, Contestant],
    marks: Mapping[str, float],
    options: Options,
) -> Outcome:
    """Fresh data each round, contestants in turn, another first each time; CPU seconds.

    Each plays once on small data beforehand, which loads what it needs; one that cannot be loaded
    (ImportError) is told as absent.
    """
    absent: dict[str, str] = {}
    small = data(options.rounds, WARM)
    for name, play in contestants.items():
        try:
            play(small)
        except ImportError as error:
            absent[name] = str(error)
    names = [name for name in contestants if name not in absent]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    values: dict[str, float] = {}
    for turn in range(options.rounds):
        given = data(turn, options)
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            began = time.process_time()
            values[name] = contestants[name](given)
            seconds[name].append(time.process_time() - began)
    return Outcome(seconds, values, marks, absent)


def rows() -> dict[str, Row]:
    """All rows of all modules here, by name."""
    found: dict[str, Row] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        found |= importlib.import_module(f"{__name__}.{module}").ROWS
    return found
