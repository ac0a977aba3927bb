"""CSV, Parquet and JSON -> names and numbers."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from equipoise.errors import RecordError, need
from equipoise.logs.aliases import counter_of
from equipoise.logs.records import Line, number_or_none

_SNAPSHOT = re.compile(r"network-snapshot-(\d{4,9})")
_DEEPEST = 8
_HUGE = 1 << 62  # integers beyond it go the long way


def delimiter_of(lines: list[str]) -> str | None:
    """The delimiter if the first two lines look like a table's head and first row, else None."""
    if len(lines) < 2:
        return None
    for delimiter in (",", "\t", ";"):
        head, row = (_cells(line, delimiter) for line in lines[:2])
        names = [cell for cell in head if cell]
        if len(head) < 2 or len(head) != len(row) or not names:
            continue
        numbers = sum(number_or_none(cell) is not None for cell in row)
        if numbers >= 1 and not any(number_or_none(cell) is not None for cell in names):
            return delimiter
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def read_csv(
    lines: Iterable[str], delimiter: str, passes_over: Callable[[tuple[str, ...]], bool]
) -> Iterator[Line | None]:
    """A `Line` per row under the head; None for a row that cannot be read.

    `passes_over` says of a row with these names whether it may be left out unread: it is asked of
    rows without empty cells and without a letter of "nan" and "inf".
    """
    rows = iter(lines)
    head = [(name, counter_of(name)) for name in _cells(next(rows, ""), delimiter)]
    twice = 2 * delimiter
    full: tuple[str, ...] = ()
    for text in rows:
        ends = text[:1] + text[-1:]
        odd = delimiter in ends or twice in text or "n" in text or "N" in text or '"' in text
        if full and not odd and text.count(delimiter) == len(head) - 1 and passes_over(full):
            continue
        cells = _cells(text, delimiter) if '"' in text else text.split(delimiter)
        if len(cells) != len(head):  # torn, or a field too many: no column can be trusted
            yield None
            continue
        line = Line()
        for (name, counter), cell in zip(head, cells, strict=True):
            try:
                found = float(cell)
            except ValueError:
                _enter_one(line, name, counter, cell.strip())
                continue
            if counter is None:
                line.values[name] = found
            else:
                line.clock.setdefault(counter, found)
        full = full if odd else tuple(line.values)
        yield line


def read_object(text: str) -> Line | None:
    """The numbers of one JSON object, names of nested ones joined by "/"; None if it is not one.

    `{"name": {"mean": m, ...}}`, as the StyleGAN family writes, counts as `name: m`.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    line = Line()
    for name, value in values.items():
        kind = type(value)
        if kind is not float and (kind is not int or not -_HUGE < value < _HUGE):
            return _enter(_flat(values))
        counter = counter_of(name)
        if counter is None:
            line.values[name] = float(value)
        else:
            line.clock.setdefault(counter, float(value))
    return line


def read_document(text: str) -> Iterator[Line]:
    """The rows of one JSON document: a list of objects, an object of equally long lists (Keras's
    history), or one object; nothing for anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        lists = {k: v for k, v in values.items() if isinstance(v, list)}
        if lists and len({len(v) for v in lists.values()}) == 1:
            values = [
                dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)
            ]
        else:
            values = [values]
    for value in values if isinstance(values, list) else ():
        if isinstance(value, dict):
            yield _enter(_flat(value))


def read_parquet(file: Path) -> Iterator[Line]:
    """A `Line` per row of a Parquet file.

    Raises:
        MissingExtraError: pyarrow is not installed.
        RecordError: the file is damaged.
    """
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise need("pyarrow", "parquet") from error
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    yield _enter(_flat(row))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(f"cannot read log {file}: {reason}; write the table again") from error


def _flat(values: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and "mean" in value:
            yield name, value["mean"]
        elif isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _flat(value, f"{name}/", depth + 1)
        else:
            yield name, value


def _enter(pairs: Iterable[tuple[str, Any]]) -> Line:
    line = Line()
    for name, value in pairs:
        if type(value) is float:
            counter = counter_of(name)
            if counter is None:
                line.values[name] = value
            else:
                line.clock.setdefault(counter, value)
        else:
            _enter_one(line, name, counter_of(name), value)
    return line


def _enter_one(line: Line, name: str, counter: str | None, value: Any) -> None:
    """Enter a value that may not be a number, or a number spelt in some other way."""
    found = number_or_none(value)
    if found is None:
        snapshot = _SNAPSHOT.search(value) if isinstance(value, str) else None
        if snapshot:
            line.clock["kimg"] = float(snapshot[1])
    elif counter:
        line.clock.setdefault(counter, found)
    else:
        line.values[name] = found
