"""The trace as it grows: in memory for judging, on disk when there is a run directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.record import Finding, Series, Trace, TraceWriter


class History:
    """Rows by signal, as lists that grow; `trace` gives them as rules read them."""

    def __init__(self, run_dir: Path | None, header: Mapping[str, Any]) -> None:
        self.header = dict(header)
        self.facts: dict[str, Any] = {}
        self._cells: dict[str, dict[int, float]] = {}
        self._kimg: dict[int, float] = {}
        self._seconds: dict[int, float] = {}
        self._events: list[dict[str, Any]] = []
        self._writer: TraceWriter | None = None
        self.closed = False
        if run_dir is not None:
            run_dir.mkdir(parents=True, exist_ok=True)
            fresh = not (run_dir / "trace.jsonl").exists()
            self._writer = TraceWriter(run_dir / "trace.jsonl")
            if fresh:
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
        self._kimg[step], self._seconds[step] = kimg, seconds
        for name, value in values.items():
            self._cells.setdefault(name, {})[step] = float(value)
        if write and self._writer is not None:
            self._writer.row(step, kimg, seconds, values)

    def adopt(self, trace: Trace, step: int) -> None:
        """Begin with what an earlier process left up to `step`."""
        self.header, self.facts = dict(trace.header), dict(trace.facts)
        self._cells = {n: _cells(s.until(step)) for n, s in trace.signals.items()}
        self._kimg, self._seconds = (
            _cells(trace.kimg.until(step)),
            _cells(trace.seconds.until(step)),
        )
        self._events = [dict(event) for event in trace.events if event["step"] <= step]

    def last(self, name: str) -> float:
        """The newest value of a signal, 0 when there is none."""
        cells = self._cells.get(name)
        return cells[max(cells)] if cells else 0.0

    def found(self) -> set[str]:
        """Failures that were announced before."""
        return {str(e["failure"]) for e in self._events if e["kind"] == "finding"}

    def trace(self) -> Trace:
        """Everything so far."""
        return Trace(
            dict(self.header),
            dict(self.facts),
            {name: _series(cells) for name, cells in self._cells.items()},
            kimg=_series(self._kimg),
            seconds=_series(self._seconds),
            events=tuple(self._events),
        )

    def close(self) -> None:
        """Close the file, if any."""
        self.closed = True
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _series(cells: Mapping[int, float]) -> Series:
    steps = np.fromiter(cells.keys(), np.int64, len(cells))
    values = np.fromiter(cells.values(), np.float64, len(cells))
    if len(steps) > 1 and bool(np.any(np.diff(steps) < 0)):
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
    return Series(steps, values)


def _cells(series: Series) -> dict[int, float]:
    return dict(zip(series.steps.tolist(), series.values.tolist(), strict=True))
