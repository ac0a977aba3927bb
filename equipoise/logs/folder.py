"""A folder that a run left: several logs -> one trace, by step."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import MissingExtraError, RecordError
from equipoise.logs import mlflow
from equipoise.logs.columns import Columns
from equipoise.logs.events import MARK
from equipoise.logs.reader import configured, read_event_files, read_file, read_mlflow
from equipoise.record import Series, Trace
from equipoise.record.trace import FILE_NAME

_KINDS = (".log", ".txt", ".out", ".csv", ".tsv", ".jsonl", ".parquet")
_SUMMARY = "wandb-summary.json"  # last values only
_CONFIGURATIONS = (".yaml", ".yml", ".json")
_LARGEST = 1 << 20  # bytes of a file of configuration
_DEEPEST, _MOST = 6, 2000  # folders below, files looked at
_SHARED = 5  # common steps from which two sources are compared
_ALIKE = 0.02  # relative difference that printing fewer digits may make
_SAME_CLOCK = {"iteration": "step"}
# W&B writes "gan_mode:\n  value: hinge".
_NESTED = re.compile(r":\s*\n\s+(?:desc: \S+\s+)?value:")


@dataclass(frozen=True)
class _Source:
    """A file, or files that belong together, and how they are read."""

    name: str
    read: Callable[[Columns], Trace]


def read_folder(folder: Path, mapping: Mapping[str, str]) -> Trace:
    """The trace in a run directory, or all logs in a folder as one.

    A signal that several logs hold is joined, the log with most readings of it going first. Logs
    that count something else than the main one are left out. `facts["log"]` has "sources" (log ->
    signals taken from it) and "left_out" (log -> why).

    Raises:
        RecordError: no log in there, several runs in there, or none that could be understood.
    """
    if (folder / FILE_NAME).exists():
        return Trace.read(folder)
    try:
        return _read_folder(folder, mapping)
    except OSError as error:
        raise RecordError(f"cannot read {error.filename}: {error.strerror}") from error


def _read_folder(folder: Path, mapping: Mapping[str, str]) -> Trace:
    files = list(itertools.islice(_files(folder), _MOST))
    runs = sorted({file.parent for file in files if file.name == FILE_NAME})
    runs += sorted({above for file in files for above in _mlflow_run(file, folder)})
    if len(runs) > 1 or (runs and (runs[0] / FILE_NAME).exists()):
        raise _several(folder, runs)
    sources = list(_sources(folder, files))
    if not sources:
        raise RecordError(_nothing(folder, files))
    traces, left_out, used = _read_all(sources, mapping)
    if lost := sorted(set(mapping) - used):
        raise RecordError(f"the mapping names {lost[0]!r}, which no log in {folder} holds")
    if not traces:
        reason = next(iter(left_out.values()))
        raise RecordError(f"no log in folder {folder} could be understood; {reason}")
    _check_one_run(folder, traces)
    return _merged(folder, traces, left_out, configured(_configurations(files)))


def _files(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Regular files by name, a folder's own before those of its folders; no links, no hidden."""
    entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_dir(), entry.name))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False) and depth < _DEEPEST:
            yield from _files(Path(entry.path), depth + 1)
        elif entry.is_file():
            yield Path(entry.path)


def _mlflow_run(file: Path, folder: Path) -> Iterator[Path]:
    """The run of a file store that the file is a metric of, if it is one."""
    for above in file.parents:
        if above.name == "metrics" and mlflow.is_run(above.parent):
            yield above.parent
        if above == folder:
            return


def _sources(folder: Path, files: list[Path]) -> Iterator[_Source]:
    events: dict[Path, list[Path]] = {}
    runs: set[Path] = set()
    for file in files:
        name = file.relative_to(folder).as_posix()
        run = next(_mlflow_run(file, folder), None)
        if run is not None:
            runs.add(run)
        elif MARK in file.name:
            events.setdefault(file.parent, []).append(file)
        elif file.suffix in _KINDS or file.name == _SUMMARY:
            yield _Source(name, partial(read_file, file))
    for run in sorted(runs):
        yield _Source(f"{run.relative_to(folder).as_posix()}/metrics", partial(read_mlflow, run))
    for parent, group in events.items():
        name = (parent.relative_to(folder) / "events").as_posix()
        yield _Source(name, partial(read_event_files, sorted(group), parent))


def _read_all(
    sources: list[_Source], mapping: Mapping[str, str]
) -> tuple[dict[str, Trace], dict[str, str], set[str]]:
    """The traces by name, why others gave none, and the user's words that were met."""
    traces: dict[str, Trace] = {}
    left_out: dict[str, str] = {}
    used: set[str] = set()
    missing: MissingExtraError | None = None
    for source in sources:
        columns = Columns(mapping, partial=True)
        try:
            traces[source.name] = source.read(columns)
        except RecordError as error:
            left_out[source.name] = str(error)
        except MissingExtraError as error:
            left_out[source.name] = str(error)
            missing = error
        used |= columns.used
    if missing is not None and not traces:
        raise missing
    return traces, left_out, used


def _check_one_run(folder: Path, traces: Mapping[str, Trace]) -> None:
    """Two logs of one run say the same at the same step."""
    for (one, first), (two, second) in itertools.combinations(traces.items(), 2):
        if _clock(first) != _clock(second):
            continue
        names = sorted(set(first.signals) & set(second.signals))
        for name in (n for n in names if n.startswith("loss/")):
            if _differ(first.series(name), second.series(name)):
                raise _several(folder, [folder / one, folder / two])


def _differ(first: Series, second: Series) -> bool:
    _, here, there = np.intersect1d(first.steps, second.steps, return_indices=True)
    if len(here) < _SHARED:
        return False
    a, b = first.values[here], second.values[there]
    alike = np.isclose(a, b, rtol=_ALIKE, atol=1e-3, equal_nan=True)
    return bool(alike.mean() < 0.5)


def _several(folder: Path, runs: list[Path]) -> RecordError:
    named = ", ".join(run.relative_to(folder).as_posix() for run in runs[:6])
    more = f" and {len(runs) - 6} more" if len(runs) > 6 else ""
    return RecordError(f"folder {folder} holds more than one run; give one of them: {named}{more}")


def _nothing(folder: Path, files: list[Path]) -> str:
    if any(file.suffix == ".wandb" for file in files):
        return (
            f"folder {folder} holds only W&B's own binary; upload it with `wandb sync` and export"
            " the history as CSV, or log to a file as well"
        )
    return f"folder {folder} holds no {FILE_NAME} and no log; give a log file"


def _clock(trace: Trace) -> str:
    word = str(trace.facts.get("log", {}).get("step", "step"))
    return _SAME_CLOCK.get(word, word)


def _merged(
    folder: Path, traces: Mapping[str, Trace], left_out: dict[str, str], header: dict[str, Any]
) -> Trace:
    readings: dict[str, int] = {}
    for trace in traces.values():
        size = sum(len(series) for series in trace.signals.values())
        readings[_clock(trace)] = readings.get(_clock(trace), 0) + size
    clock = max(readings, key=lambda word: readings[word])
    kept = {name: trace for name, trace in traces.items() if _clock(trace) == clock}
    for name in traces.keys() - kept.keys():
        left_out[name] = f"counts by {_clock(traces[name])}, the other logs by {clock}"
    signals: dict[str, Series] = {}
    sources: dict[str, list[str]] = {name: [] for name in kept}
    for signal in sorted({s for trace in kept.values() for s in trace.signals}):
        givers = _givers(signal, kept)
        signals[signal] = _joined([kept[name].series(signal) for name in givers])
        for name in givers:
            sources[name].append(signal)
    for trace in kept.values():
        header = {**header, **trace.header}
    return Trace(
        header,
        {"log": _facts(kept, clock) | {"sources": sources, "left_out": left_out}},
        signals,
        kimg=_times(signals, [trace.kimg for trace in kept.values()]),
        seconds=_times(signals, [trace.seconds for trace in kept.values()]),
        damaged=sum(trace.damaged for trace in kept.values()),
        path=folder,
    )


def _givers(signal: str, traces: Mapping[str, Trace]) -> list[str]:
    """The logs that hold a signal, most readings first; a summary only where nothing else does."""
    names = [name for name, trace in traces.items() if signal in trace]
    names.sort(key=lambda name: -len(traces[name].series(signal)))
    full = [name for name in names if not name.endswith(_SUMMARY)]
    return full or names


def _joined(parts: list[Series]) -> Series:
    """The union of steps; where several have one, the first of them is believed."""
    if len(parts) == 1:
        return parts[0]
    steps, first = np.unique(np.concatenate([p.steps for p in parts]), return_index=True)
    return Series(steps, np.concatenate([p.values for p in parts])[first])


def _times(signals: Mapping[str, Series], parts: list[Series]) -> Series:
    """A clock at every step that any signal has, NaN where no log says."""
    steps = np.unique(np.concatenate([series.steps for series in signals.values()]))
    values = np.full(len(steps), np.nan)
    known = _joined([part.finite() for part in parts])
    here = np.isin(known.steps, steps)
    values[np.searchsorted(steps, known.steps[here])] = known.values[here]
    return Series(steps, values)


def _facts(traces: Mapping[str, Trace], clock: str) -> dict[str, Any]:
    logs = {name: trace.facts.get("log", {}) for name, trace in traces.items()}
    mapping: dict[str, str] = {}
    for log in logs.values():
        mapping = {**log.get("mapping", {}), **mapping}
    return {
        "format": "folder",
        "lines": sum(int(log.get("lines", 0)) for log in logs.values()),
        "damaged": sum(int(log.get("damaged", 0)) for log in logs.values()),
        "mapping": mapping,
        "unmapped": sorted({word for log in logs.values() for word in log.get("unmapped", [])}),
        "step": clock,
        "assumed": [f"{n}: {line}" for n, log in logs.items() for line in log.get("assumed", [])],
    }


def _configurations(files: list[Path]) -> Iterator[str]:
    for file in files:
        if file.suffix in _CONFIGURATIONS and file.stat().st_size <= _LARGEST:
            yield from _NESTED.sub(":", file.read_text("utf-8", "replace")).splitlines()
