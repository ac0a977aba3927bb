"""The trace: everything that a run left, as append-only JSON lines, read back as numpy columns.

A line is one of

* `{"type": "header", "schema": 1, ...}`: what was played, once, first;
* `{"type": "fact", "name": ..., "value": ..., "step": ...}`: something true of the whole run;
* `{"type": "row", "step": ..., "kimg": ..., "seconds": ..., "signals": {name: number}}`;
* `{"type": "blob", "step": ..., "name": ..., "path": ...}`: a file in the run directory;
* `{"type": "event", "step": ..., "kind": ..., ...}`: a finding, a stop, a change;
* `{"type": "resume", "step": ...}`: rows after this step, written before this line, are void.

Numbers that JSON does not know are the strings "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import RecordError
from equipoise.record.atomic import unwritable

SCHEMA = 1
FILE_NAME = "trace.jsonl"


@dataclass(frozen=True)
class Series:
    """One signal over time: `steps` (int64, rising) and `values` (float64) of equal length."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)

    def since(self, step: int) -> Series:
        """The part from `step` on."""
        keep = self.steps >= step
        return Series(self.steps[keep], self.values[keep])

    def until(self, step: int) -> Series:
        """The part up to and including `step`."""
        keep = self.steps <= step
        return Series(self.steps[keep], self.values[keep])

    def finite(self) -> Series:
        """The part whose values are finite."""
        keep = np.isfinite(self.values)
        return Series(self.steps[keep], self.values[keep])

    @property
    def last(self) -> float:
        """The newest value, NaN when there is none."""
        return float(self.values[-1]) if len(self) else math.nan


EMPTY = Series(np.zeros(0, np.int64), np.zeros(0, np.float64))


@dataclass(frozen=True)
class Blob:
    """A file that the run left (samples); `path` is relative to the trace's folder."""

    step: int
    name: str
    path: str


@dataclass(frozen=True)
class Trace:
    """What a run left, read-only. Rules read nothing else.

    Attributes:
        header: objective, players, batch, adversarial start, recipe.
        facts: what is true of the whole run, by name.
        signals: a `Series` per signal name.
        kimg, seconds: thousands of real images shown, and wall seconds, as series over steps.
        blobs, events: files and happenings, in order.
        damaged: lines that could not be read (a torn last line counts as one).
        path: where it was read from, None for a trace made in memory.
    """

    header: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    signals: Mapping[str, Series] = field(default_factory=dict)
    kimg: Series = EMPTY
    seconds: Series = EMPTY
    blobs: tuple[Blob, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    damaged: int = 0
    path: Path | None = None

    def __contains__(self, name: object) -> bool:
        return name in self.signals

    def series(self, name: str) -> Series:
        """The signal called `name`; empty when the run has none."""
        return self.signals.get(name, EMPTY)

    def until(self, step: int) -> Trace:
        """What was known at `step`: rows, files and events up to it; no signal without a value."""
        known = {name: series.until(step) for name, series in self.signals.items()}
        return replace(
            self,
            signals={name: series for name, series in known.items() if len(series)},
            kimg=self.kimg.until(step),
            seconds=self.seconds.until(step),
            blobs=tuple(blob for blob in self.blobs if blob.step <= step),
            events=tuple(event for event in self.events if event["step"] <= step),
        )

    @property
    def last_step(self) -> int:
        """The newest step with a reading, 0 for an empty trace."""
        return int(self.kimg.steps[-1]) if len(self.kimg) else 0

    @classmethod
    def from_columns(
        cls,
        steps: Iterable[int],
        columns: Mapping[str, Iterable[float]],
        header: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Trace:
        """A trace in memory from equally long columns, as tests and log readers make it.

        Raises:
            ValueError: a column's length differs from that of `steps`.
        """
        step_array = np.asarray(list(steps), np.int64)
        signals = {}
        for name, values in columns.items():
            array = np.asarray(list(values), np.float64)
            if array.shape != step_array.shape:
                raise ValueError(
                    f"column {name!r} has {array.size} values for {step_array.size} steps"
                )
            signals[name] = Series(step_array, array)
        clock = Series(step_array, np.full(step_array.shape, np.nan))
        return cls(header or {}, facts or {}, signals, kimg=clock, seconds=clock)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a trace file, or the trace in a run directory, whatever a kill left of it.

        Raises:
            RecordError: no trace there, or one written by a later version.
        """
        file = Path(path)
        file = file / FILE_NAME if file.is_dir() else file
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise RecordError(
                f"cannot read trace {file}: {error.strerror}; give a run directory or its"
                f" {FILE_NAME}"
            ) from error
        return _assemble(raw.split(b"\n"), file)


def _assemble(lines: list[bytes], path: Path) -> Trace:
    header: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    blobs: list[Blob] = []
    events: list[Mapping[str, Any]] = []
    damaged = 0
    for line in lines:
        if not line.strip():
            continue
        record = _parse(line)
        if record is None:
            damaged += 1
            continue
        kind = record["type"]
        if kind == "row":
            rows.append(record)
        elif kind == "fact":
            facts[record["name"]] = record["value"]
        elif kind == "blob":
            blobs.append(Blob(record["step"], record["name"], record["path"]))
        elif kind == "event":
            events.append(MappingProxyType(record))
        elif kind == "header":
            header = {k: v for k, v in record.items() if k != "type"}
            _check_schema(header, path)
        elif kind == "resume":
            rows = [row for row in rows if row["step"] <= record["step"]]
            blobs = [blob for blob in blobs if blob.step <= record["step"]]
            events = [event for event in events if event["step"] <= record["step"]]
    signals, kimg, seconds = _columns(rows)
    return Trace(header, facts, signals, kimg, seconds, tuple(blobs), tuple(events), damaged, path)


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record in a line; None when it is torn, or not what a writer writes."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    fields = _FIELDS.get(str(record.get("type")), {})
    fits = bool(fields) and all(
        name in record and test(record[name]) for name, test in fields.items()
    )
    return record if fits else None


def _is_step(value: Any) -> bool:
    return type(value) is int and abs(value) < 1 << 62


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or value in ("nan", "inf", "-inf")


def _is_signals(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_number(v) for v in value.values())


_FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "header": {"schema": _is_step},
    "fact": {"name": _is_text, "value": lambda value: True},
    "row": {"step": _is_step, "signals": _is_signals},
    "blob": {"step": _is_step, "name": _is_text, "path": _is_text},
    "event": {"step": _is_step, "kind": _is_text},
    "resume": {"step": _is_step},
}


def _check_schema(header: Mapping[str, Any], path: Path) -> None:
    if header["schema"] > SCHEMA:
        raise RecordError(
            f"{path} has trace schema {header['schema']}, this version reads up to {SCHEMA};"
            " upgrade equipoise"
        )


def _columns(rows: list[dict[str, Any]]) -> tuple[dict[str, Series], Series, Series]:
    cells: dict[str, dict[int, float]] = {}
    kimg: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for row in rows:
        step = row["step"]
        kimg[step] = _clock(row.get("kimg"))
        seconds[step] = _clock(row.get("seconds"))
        for name, value in row["signals"].items():
            cells.setdefault(name, {})[step] = float(value)
    return {k: _sorted(v) for k, v in cells.items()}, _sorted(kimg), _sorted(seconds)


def _clock(value: Any) -> float:
    return float(value) if _is_number(value) else math.nan


def _sorted(cells: Mapping[int, float]) -> Series:
    steps = np.fromiter(cells.keys(), np.int64, len(cells))
    values = np.fromiter(cells.values(), np.float64, len(cells))
    order = np.argsort(steps, kind="stable")
    return Series(steps[order], values[order])


class TraceWriter:
    """Appends to a trace; every line is whole on disk's way before the call returns."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path` (a file, or a run directory) to append; a torn last line is closed first.

        Raises:
            RecordError: the file cannot be opened for writing.
        """
        file = Path(path)
        self.path = file / FILE_NAME if file.is_dir() else file
        try:
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - held until close
        except OSError as error:
            raise unwritable(self.path, error) from error
        if self._ends_torn():
            self._write(b"\n")

    def _ends_torn(self) -> bool:
        if os.fstat(self._file.fileno()).st_size == 0:
            return False
        with open(self.path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def header(self, **fields: Any) -> None:
        """Say what is played; the first line of a trace."""
        self._append({"type": "header", "schema": SCHEMA, **fields})

    def fact(self, name: str, value: Any, step: int = 0) -> None:
        """Say something that is true of the whole run."""
        self._append({"type": "fact", "name": name, "value": value, "step": step})

    def row(self, step: int, kimg: float, seconds: float, signals: Mapping[str, float]) -> None:
        """Add readings at `step`; rows of one step are merged, the later value winning."""
        clean = {name: float(value) for name, value in signals.items()}
        clock = {"step": int(step), "kimg": float(kimg), "seconds": float(seconds)}
        self._append({"type": "row", **clock, "signals": clean})

    def blob(self, step: int, name: str, path: str) -> None:
        """Point to a file that was written beside the trace."""
        self._append({"type": "blob", "step": int(step), "name": name, "path": path})

    def event(self, step: int, kind: str, **fields: Any) -> None:
        """Say that something happened at `step`."""
        self._append({"type": "event", "step": int(step), "kind": kind, **fields})

    def resume(self, step: int) -> None:
        """Say that the run goes on from `step`: what was written of later steps is void."""
        self._append({"type": "resume", "step": int(step)})

    def close(self) -> None:
        """Close the file; doing so twice does nothing."""
        self._file.close()

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False, default=_plain)
        self._write(line.encode("utf-8", "replace") + b"\n")

    def _write(self, data: bytes) -> None:
        start = os.fstat(self._file.fileno()).st_size
        try:
            written = 0
            while written < len(data):  # a raw write to a nearly full disk may be short
                written += self._file.write(data[written:])
        except OSError as error:
            os.ftruncate(self._file.fileno(), start)
            raise unwritable(self.path, error) from error


def _number(value: float) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else repr(number)


def _finite(value: Any) -> Any:
    """The same with NaN and infinities as strings, at any depth."""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


def _plain(value: Any) -> Any:
    """numpy scalars and paths, as JSON has them."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a trace holds JSON values, not {type(value).__name__} ({value!r})")
