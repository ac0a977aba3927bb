"""When a line was written: which of a log's counters becomes the step, and what restarts mean."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.logs.records import Line
from equipoise.record import Series

_LARGEST = 1e15
_ERRATIC = 1000  # falls of a counter beyond which it is not believed
_OWN, _REPEATS, _LASTING, _KEEP = 1, 2, 4, 8
_SPARED = 1 << 15  # rows that thinning leaves alone
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


@dataclass(slots=True, eq=False)
class Kind:
    """What is known of all lines of one kind: a number, the names, `lasting` (they hold more than
    evaluations), `rare` (they hold evaluations, which are never let go)."""

    number: int
    names: frozenset[str]
    lasting: bool
    rare: bool
    lines: int = 0


class Clock:
    """Collects the counters of lines; a line without its own takes those of the line before.

    A row costs some 40 bytes. Beyond the rows that the caller allows, `thin` keeps every second
    line of each kind, from then on `add` takes only that share; evaluations and the first values
    that are not finite stay.
    """

    def __init__(self) -> None:
        self._now: dict[str, float] = {}
        self._columns: dict[str, array[float]] = {}
        self._flags = array("B")
        self._records = array("q")
        self._kinds = array("i")
        self._made = 0
        self._last: Kind | None = None
        self._seen: frozenset[str] = frozenset()
        self._record = 1
        self._total = 0.0
        self._stride = 1
        self._spared = _SPARED

    def kind(self, names: frozenset[str], lasting: bool, rare: bool) -> Kind:
        """A new kind of line."""
        self._made += 1
        return Kind(self._made, names, lasting, rare)

    def add(self, line: Line, kind: Kind, values: Mapping[str, float]) -> int:
        """Enter a line and return its row; -1 for a line that has none.

        A line without names only moves the counters on.
        """
        own = self.move(line.clock) if line.clock else False
        if line.total > self._total:
            self._total = line.total
        if not kind.names:
            return -1
        repeats = self._enter(kind)
        total = sum(values.values())
        spared = (kind.rare or total - total != 0) and self._spared > 0
        if spared:
            self._spared -= 1
        elif self._stride > 1 and kind.lines % self._stride:
            return -1
        row = len(self._flags)
        for name, column in self._columns.items():
            column.append(self._now[name])
        self._flags.append(
            _OWN * own | _REPEATS * repeats | _LASTING * kind.lasting | _KEEP * spared
        )
        self._records.append(self._record)
        self._kinds.append(kind.number)
        return row

    def passes_over(self, kind: Kind) -> bool:
        """Whether the next line of a kind is let go; it is then counted."""
        if not kind.names or kind.rare or not (kind.lines + 1) % self._stride:
            return False
        self._enter(kind)
        return True

    def _enter(self, kind: Kind) -> bool:
        """Count a line; whether it says again what was said since the last that did."""
        kind.lines += 1
        if kind is self._last:
            repeats = True
            self._seen = kind.names
        else:
            repeats = not kind.names.isdisjoint(self._seen)
            self._seen = kind.names if repeats else self._seen | kind.names
            self._last = kind
        self._record += repeats
        return repeats

    def move(self, clock: Mapping[str, float]) -> bool:
        """Move the counters on; whether the line counts by itself."""
        now = self._now
        for name, value in clock.items():
            if -_LARGEST < value < _LARGEST:
                if name == "epoch" and "batch" not in clock and value != now.get("epoch"):
                    now["batch"] = math.nan
                now[name] = value
                if name not in self._columns:
                    self._columns[name] = array("d", [math.nan]) * len(self._flags)
        return "step" in clock or "batch" in clock

    @property
    def thinned(self) -> bool:
        """Whether lines are let go."""
        return self._stride > 1

    def thin(self) -> NDArray[np.int32]:
        """Let every second line of each kind go; the new row of each old one, -1 if it is gone."""
        kinds = np.frombuffer(self._kinds, np.int32)
        order = np.argsort(kinds, kind="stable")
        firsts = np.searchsorted(kinds[order], kinds[order])
        keep = np.empty(len(kinds), np.bool_)
        keep[order] = (np.arange(len(kinds)) - firsts) % 2 == 1
        keep |= (np.frombuffer(self._flags, np.uint8) & _KEEP) > 0
        new = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32)
        self._columns = {name: _kept(column, keep) for name, column in self._columns.items()}
        self._flags, self._records = _kept(self._flags, keep), _kept(self._records, keep)
        self._kinds = _kept(self._kinds, keep)
        self._stride *= 2
        return new

    def place(self) -> Placed:
        """Choose the clock and give each row its step."""
        rows = len(self._flags)
        none = np.full(rows, np.nan)
        columns = {k: _filled(np.array(self._columns.get(k, none), np.float64)) for k in _KINDS}
        raw, meaning = _chosen(columns, self._total)
        flags = np.array(self._flags)
        assumed: list[str] = []
        if self._stride > 1:
            assumed.append(
                f"rows: of each kind of line every {self._stride}th is kept; evaluations and the"
                " first values that are not finite all are"
            )
        if raw is not None and _too_coarse(raw, flags):
            raw = None
            assumed.append(f"steps: the lines are counted, because several share one {meaning}")
        alive = np.ones(rows, np.bool_)
        if raw is not None:
            raw = _without_falls(raw, (flags & _LASTING) > 0, alive, assumed)
        if raw is None:
            raw, meaning = np.array(self._records, np.float64), "record"
        clocks = {"kimg": columns["kimg"], "seconds": _seconds(columns)}
        return Placed(np.rint(raw).astype(np.int64), alive, meaning, clocks, assumed)


def _too_coarse(raw: Floats, flags: NDArray[np.uint8]) -> bool:
    """Whether many rows say the same thing again at the same, borrowed or epoch-wide, step."""
    same = np.append(False, np.rint(raw[1:]) == np.rint(raw[:-1]))
    again = same & ((flags & _REPEATS) > 0) & ((flags & _OWN) == 0)
    return bool(again.sum() > 0.1 * len(raw))


def _kept(column: array[Any], keep: NDArray[np.bool_]) -> array[Any]:
    return array(column.typecode, np.asarray(column)[keep].tobytes())


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
