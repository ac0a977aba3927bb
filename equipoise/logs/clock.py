"""When a line was written: which of a log's counters becomes the step, and what restarts mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from equipoise.logs.records import Line
from equipoise.record import Series

_LARGEST = 1e15
_ERRATIC = 1000  # falls of a counter beyond which it is not believed
_KINDS = ("step", "batch", "epoch", "kimg", "seconds", "timestamp")
Floats = NDArray[np.float64]


@dataclass
class Placed:
    """Lines in time: the step of each, whether it counts, and what the step means."""

    steps: NDArray[np.int64]
    alive: NDArray[np.bool_]
    meaning: str
    clocks: Mapping[str, Floats]
    assumed: list[str] = field(default_factory=list)

    def times(self, kind: str, signals: Mapping[str, Series]) -> Series:
        """kimg or seconds at every step that any signal has, NaN where the log does not say."""
        parts = [series.steps for series in signals.values()]
        steps = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
        values = np.full(len(steps), np.nan)
        known = self.alive & np.isfinite(self.clocks[kind]) & np.isin(self.steps, steps)
        values[np.searchsorted(steps, self.steps[known])] = self.clocks[kind][known]
        return Series(steps, values)


class Clock:
    """Collects the counters of lines; a line without its own takes those of the line before."""

    def __init__(self) -> None:
        self._now: dict[str, float] = {}
        self._columns: dict[str, list[float]] = {kind: [] for kind in _KINDS}
        self._own: list[bool] = []
        self._repeats: list[bool] = []
        self._lasting: list[bool] = []
        self._seen: set[str] = set()
        self._total = 0.0

    def add(self, line: Line, names: frozenset[str], lasting: bool) -> int:
        """Enter a line and return its row; `lasting`: it holds more than evaluations.

        A line without names only moves the counters on (its row is the next one's).
        """
        clock = {k: v for k, v in line.clock.items() if math.isfinite(v) and abs(v) < _LARGEST}
        if "epoch" in clock and clock["epoch"] != self._now.get("epoch") and "batch" not in clock:
            self._now.pop("batch", None)
        self._now |= clock
        self._total = max(self._total, line.total)
        row = len(self._own)
        if not names:
            return row
        for kind, column in self._columns.items():
            column.append(self._now.get(kind, math.nan))
        repeats = bool(names & self._seen)
        self._seen = set(names) if repeats else self._seen | names
        self._own.append("step" in clock or "batch" in clock)
        self._repeats.append(repeats)
        self._lasting.append(lasting)
        return row

    def place(self) -> Placed:
        """Choose the clock and give each row its step."""
        columns = {kind: _filled(np.array(self._columns[kind])) for kind in _KINDS}
        raw, meaning = _chosen(columns, self._total)
        assumed: list[str] = []
        if raw is not None and self._too_coarse(raw):
            raw = None
            assumed.append(f"steps: the lines are counted, because several share one {meaning}")
        alive = np.ones(len(self._own), np.bool_)
        if raw is not None:
            raw = _without_falls(raw, np.array(self._lasting), alive, assumed)
        if raw is None:
            raw, meaning = 1.0 + np.cumsum(self._repeats), "record"
        clocks = {"kimg": columns["kimg"], "seconds": _seconds(columns)}
        return Placed(np.rint(raw).astype(np.int64), alive, meaning, clocks, assumed)

    def _too_coarse(self, raw: Floats) -> bool:
        """Whether many rows say the same thing again at the same, borrowed or epoch-wide, step."""
        same = np.append(False, np.rint(raw[1:]) == np.rint(raw[:-1]))
        again = same & np.array(self._repeats) & ~np.array(self._own)
        return bool(again.sum() > 0.1 * len(raw))


def _filled(column: Floats) -> Floats:
    """What stands before a counter's first value takes that value."""
    known = np.flatnonzero(np.isfinite(column))
    if len(known):
        column[: known[0]] = column[known[0]]
    return column


def _chosen(columns: Mapping[str, Floats], total: float) -> tuple[Floats | None, str]:
    """The raw step of every row and the word for it; None where the log counts nothing."""
    step, batch, epoch, kimg = (columns[k] for k in ("step", "batch", "epoch", "kimg"))
    has = {kind: bool(len(column) and np.isfinite(column[0])) for kind, column in columns.items()}
    if has["step"] and not (has["epoch"] and _starts_with_epoch(step, epoch)):
        return step, "step"
    within, known = (step, 0.0) if has["step"] else (batch, total)
    if (has["step"] or has["batch"]) and has["epoch"]:
        within = np.nan_to_num(within)
        length = max(known, within.max() + (within.min() < 1))
        combined = (epoch - epoch[0]) * length + within
        return (combined, "iteration") if np.abs(combined).max() < _LARGEST else (None, "iteration")
    if has["batch"]:
        return np.nan_to_num(batch), "iteration"
    if has["kimg"]:
        return kimg * 1000, "image"
    return (epoch, "epoch") if has["epoch"] else (None, "record")


def _starts_with_epoch(step: Floats, epoch: Floats) -> bool:
    """Whether the step counts within the epoch: it falls wherever the epoch goes on."""
    turns = np.flatnonzero(np.diff(epoch) > 0)
    return bool(len(turns) and np.mean(np.diff(step)[turns] < 0) > 0.5)


def _without_falls(
    raw: Floats, lasting: NDArray[np.bool_], alive: NDArray[np.bool_], assumed: list[str]
) -> Floats | None:
    """Make the steps of lasting rows rise: count on where the counter starts anew, void what a
    resumed run wrote twice. None when the counter falls too often to be believed."""
    rows = np.flatnonzero(lasting)
    falls = rows[1:][np.diff(raw[rows]) < 0]
    if len(falls) > max(_ERRATIC, 0.5 * len(rows)):
        assumed.append(f"steps: the lines are counted: the counter falls {len(falls)} times")
        return None
    anew = [row for row in falls if raw[row] <= raw[rows[0]]]
    if len(anew) > 1:
        raw = _counted_on(raw, rows, anew)
        assumed.append(f"steps: counted on where the counter starts anew ({len(anew)} times)")
        falls = rows[1:][np.diff(raw[rows]) < 0]
    for row in falls[:_ERRATIC]:
        alive[:row] &= raw[:row] < raw[row]
        assumed.append(f"steps: the run went back to {raw[row]:g}; of what was written twice the"
                       " last pass is kept")  # fmt: skip
    return raw


def _counted_on(raw: Floats, rows: NDArray[np.int64], anew: list[int]) -> Floats:
    """Add to each pass of the counter where the pass before had come to."""
    rises = np.diff(raw[rows])
    rises = rises[rises > 0]
    spacing = float(np.median(rises)) if len(rises) else 1.0
    before = rows[np.searchsorted(rows, anew) - 1]
    jumps = np.zeros_like(raw)
    jumps[anew] = raw[before] + spacing - raw[anew]
    shifted: Floats = raw + np.cumsum(jumps)
    return shifted


def _seconds(columns: Mapping[str, Floats]) -> Floats:
    """Seconds since the start, from a clock of its own or from time stamps."""
    stamps = columns["timestamp"]
    if np.isfinite(columns["seconds"]).any() or not np.isfinite(stamps).any():
        return columns["seconds"]
    since: Floats = stamps - stamps[0]
    return since
