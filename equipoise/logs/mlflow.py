"""MLflow's file store -> names and numbers: `<run>/metrics/NAME` and `<run>/params/NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from equipoise.logs.records import Line, number_or_none

_LONGEST = 1 << 14  # characters of a parameter that are looked at


def is_run(folder: Path) -> bool:
    """Whether a folder is one run of a file store."""
    return (folder / "metrics").is_dir() and (
        (folder / "meta.yaml").is_file() or (folder / "params").is_dir()
    )


def read_metrics(run: Path) -> Iterator[Line | None]:
    """A `Line` per logged value, in the order in which they were logged; None for a torn one.

    A line of a metric's file is "timestamp value step", time in ms since 1970.
    """
    folder = run / "metrics"
    cells: list[tuple[float, float, str, float]] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        for text in file.read_text("utf-8", "replace").splitlines():
            fields = [number_or_none(field) for field in text.split()]
            if len(fields) == 2:  # MLflow before 1.0 had no steps
                fields.append(0.0)
            if len(fields) != 3 or None in fields:
                yield None
            else:
                stamp, value, step = (float(field or 0.0) for field in fields)
                cells.append((stamp / 1000, step, name, value))
    cells.sort(key=lambda cell: cell[:2])
    for stamp, step, name, value in cells:
        yield Line({"step": step, "timestamp": stamp}, {name: value})


def read_params(run: Path) -> Iterator[str]:
    """The parameters as lines "name: value"."""
    folder = run / "params"
    if folder.is_dir():
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield f"{file.name}: {file.read_text('utf-8', 'replace')[:_LONGEST]}"
