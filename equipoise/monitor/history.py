"""The trace as it grows: in memory for judging, on disk when there is a run directory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import RecordError
from equipoise.record import Finding, Series, Trace, TraceWriter

FIRST_ROOM = 64  # readings; doubled when full


class Column:
    """One signal's readings in two arrays that double: 16 bytes each, handed out as views."""

    def __init__(self) -> None:
        self._steps = np.empty(FIRST_ROOM, np.int64)
        self._values = np.empty(FIRST_ROOM, np.float64)
        self._count = 0
        self._rising = True

    @classmethod
    def of(cls, series: Series) -> Column:
        """A column that begins with `series`."""
        column = cls()
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            column.add(step, value)
        return column

    def add(self, step: int, value: float) -> None:
        """Append a reading; of two at one step the later counts."""
        if self._count and step == self._steps[self._count - 1]:
            self._values = self._values.copy()  # a trace handed out before keeps what it saw
            self._values[self._count - 1] = value
            return
        if self._count == len(self._steps):
            self._steps = np.concatenate([self._steps, np.empty_like(self._steps)])
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        if self._count and step < self._steps[self._count - 1]:
            self._rising = False
        self._steps[self._count], self._values[self._count] = step, value
        self._count += 1

    def series(self) -> Series:
        """The readings in order of their steps, read-only."""
        steps, values = self._steps[: self._count], self._values[: self._count]
        if not self._rising:  # the loop counted backwards: the last reading of each step counts
            order = np.argsort(steps, kind="stable")
            last = np.append(np.diff(steps[order]) > 0, True)
            steps, values = steps[order][last], values[order][last]
        steps, values = steps.view(), values.view()
        steps.flags.writeable = values.flags.writeable = False
        return Series(steps, values)


class History:
    """Columns by signal, facts and events; `trace` gives them as rules read them."""

    def __init__(self, run_dir: Path | None, header: Mapping[str, Any]) -> None:
        """Begin a trace, in `run_dir` too if given.

        Raises:
            RecordError: `run_dir` cannot be made or written to.
        """
        self.header = dict(header)
        self.facts: dict[str, Any] = {}
        self.closed = False
        self._columns: dict[str, Column] = {}
        self._kimg, self._seconds = Column(), Column()
        self._events: list[dict[str, Any]] = []
        self._writer: TraceWriter | None = None
        self._stale = False  # the file holds rows of an earlier run that nobody adopted yet
        if run_dir is not None:
            self._open(run_dir)

    def _open(self, run_dir: Path) -> None:
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(
                f"run_dir = {str(run_dir)!r}: {error.strerror}; give a directory that can be made"
            ) from error
        self._stale = (run_dir / "trace.jsonl").exists()
        self._writer = TraceWriter(run_dir)
        if not self._stale:
            self._writer.header(**self.header)

    def fact(self, name: str, value: Any) -> None:
        """Something true of the whole run."""
        self.facts[name] = value
        if self._writer is not None:
            self._writer.fact(name, value)

    def event(self, step: int, kind: str, finding: Finding) -> None:
        """A finding, when it is first seen."""
        record = {"failure": finding.failure, "summary": finding.summary, "since": finding.since}
        self._events.append({"type": "event", "step": step, "kind": kind, **record})
        if self._writer is not None:
            self._writer.event(step, kind, **record)

    def add(
        self,
        step: int,
        kimg: float,
        seconds: float,
        values: Mapping[str, float],
        write: bool = True,
    ) -> None:
        """A row of the trace; `write=False` where somebody else has written it."""
        self._kimg.add(step, kimg)
        self._seconds.add(step, seconds)
        for name, value in values.items():
            self._columns.setdefault(name, Column()).add(step, float(value))
        if write and self._writer is not None:
            if self._stale:
                self._void_former_run()
            self._writer.row(step, kimg, seconds, values)

    def _void_former_run(self) -> None:
        assert self._writer is not None
        self._writer.header(**self.header)
        self._writer.resume(-1)
        self._stale = False

    def adopt(self, trace: Trace, step: int) -> None:
        """Begin with what an earlier process left up to `step`."""
        self._stale = False
        self.header, self.facts = dict(trace.header), dict(trace.facts)
        kept = trace.until(step)
        self._columns = {name: Column.of(series) for name, series in kept.signals.items()}
        self._kimg, self._seconds = Column.of(kept.kimg), Column.of(kept.seconds)
        self._events = [dict(event) for event in kept.events]

    def resume(self, step: int) -> None:
        """Go on after `step` with what the file holds, if there is one; later rows are void."""
        if self._writer is not None and self._stale:
            self.adopt(Trace.read(self._writer.path), step)
            self._writer.resume(step)

    def last(self, name: str) -> float:
        """The newest value of a signal, 0 when there is none."""
        value = self._columns[name].series().last if name in self._columns else math.nan
        return 0.0 if math.isnan(value) else value

    def found(self) -> set[str]:
        """Failures that were announced before."""
        return {str(e["failure"]) for e in self._events if e["kind"] == "finding"}

    def trace(self) -> Trace:
        """Everything so far; the cost grows with the number of signals, not with the run."""
        return Trace(
            dict(self.header),
            dict(self.facts),
            {name: column.series() for name, column in self._columns.items()},
            kimg=self._kimg.series(),
            seconds=self._seconds.series(),
            events=tuple(self._events),
        )

    def close(self) -> None:
        """Close the file, if any."""
        self.closed = True
        if self._writer is not None:
            self._writer.close()
            self._writer = None
