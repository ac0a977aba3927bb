"""Open a log whatever its encoding and format, and read it line by line."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from equipoise.errors import RecordError
from equipoise.logs.aliases import OBJECTIVES, squash
from equipoise.logs.columns import Columns
from equipoise.logs.events import MARK, read_events
from equipoise.logs.mlflow import read_metrics, read_params
from equipoise.logs.records import Line
from equipoise.logs.shapes import Shapes
from equipoise.logs.tables import (
    delimiter_of,
    read_csv,
    read_document,
    read_object,
    read_parquet,
)
from equipoise.logs.text import read_line, without_colour
from equipoise.record import Trace

Read = tuple[dict[str, Any], dict[str, Any]]  # what a reader returns: header and facts
_PEEK = 1 << 16  # bytes looked at to tell encoding and format
_LONGEST = 1 << 16  # characters; a longer line is read in pieces
_DOCUMENT = 1 << 26  # bytes of a JSON file beyond which it is read as text
_CONFIG = re.compile(
    r"""\b(?P<key>adv_loss|gan_mode|gan_type|gan_loss|adversarial_loss|loss_type|objective)\b['"]?"""
    r"""\s{0,4}[:=]\s{0,4}['"]?(?P<word>[A-Za-z][\w-]{0,30})"""
    r"""|\bbatch_?size['"]?\s{0,4}[:=]\s{0,4}(?P<batch>\d{1,7})\b""",
    re.IGNORECASE,
)
_OURS = re.compile(r'^\{"type": ?"(?:header|fact|row|blob|event|resume)"')


def read_file(file: Path, columns: Columns) -> Trace:
    """The trace of one file; `columns` are empty and hold the user's mapping.

    Raises:
        RecordError: the file cannot be read, or nothing in it could be understood.
    """
    if MARK in file.name:
        return read_event_files([file], file, columns)
    try:
        with open(file, "rb") as raw:
            peek = raw.read(_PEEK)
            raw.seek(0)
            if _is_parquet(file, peek):
                return columns.trace(file, _counted(read_parquet(file), columns, "parquet"), {})
            encoding = _encoding(peek)
            sample = peek.decode(encoding, "replace").lstrip("\ufeff")
            if not sample.strip():
                raise RecordError(f"log {file} is empty; give the file that the run printed into")
            if _OURS.match(sample.lstrip()):
                return Trace.read(file)
            with io.TextIOWrapper(raw, encoding, errors="replace", newline=None) as text:
                header, facts = _read(text, sample, file, columns)
                return columns.trace(file, facts, header)
    except OSError as error:
        raise RecordError(f"cannot read log {file}: {error.strerror}; check the path") from error


def _is_parquet(file: Path, peek: bytes) -> bool:
    return peek.startswith(b"PAR1") and (file.suffix == ".parquet" or b"\x00" in peek)


def read_event_files(files: list[Path], path: Path, columns: Columns) -> Trace:
    """The trace of the TensorBoard event files of one run, oldest first."""
    facts = _counted(read_events(files), columns, "tensorboard")
    return columns.trace(path, facts, {})


def read_mlflow(run: Path, columns: Columns) -> Trace:
    """The trace of one run of an MLflow file store."""
    facts = _counted(read_metrics(run), columns, "mlflow")
    return columns.trace(run, facts, configured(read_params(run)))


def configured(lines: Iterable[str]) -> dict[str, Any]:
    """The header that lines of configuration make: objective (if they agree on one), batch."""
    header: dict[str, Any] = {}
    for line in lines:
        _configure(line, header)
    return _settled(header)


def _counted(lines: Iterator[Line | None], columns: Columns, name: str) -> dict[str, Any]:
    """Enter lines into the columns; the facts say how many there were."""
    count = damaged = 0
    for line in lines:
        count += 1
        if line is None:
            damaged += 1
        else:
            columns.add(line)
    return {"format": name, "lines": count, "damaged": damaged}


def _encoding(peek: bytes) -> str:
    """The encoding by its mark or its zeros: Windows shells redirect output as UTF-16."""
    if peek.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    even, odd = peek[0:2000:2].count(0), peek[1:2000:2].count(0)
    if odd > 300 and even == 0:
        return "utf-16-le"
    if even > 300 and odd == 0:
        return "utf-16-be"
    return "utf-8-sig"


def _lines(text: io.TextIOBase) -> Iterator[str]:
    """Filled lines, stripped, ended by line feed or carriage return alike (a progress bar rewrites
    its own)."""
    while line := text.readline(_LONGEST):
        if line := line.strip():
            yield line


def _rows(text: io.TextIOBase) -> Iterator[str]:
    """Filled lines with their blanks: a row may begin or end with an empty cell."""
    while line := text.readline(_LONGEST):
        if not line.isspace():
            yield line.rstrip("\n")


def _read(text: io.TextIOWrapper, sample: str, file: Path, columns: Columns) -> Read:
    if file.suffix == ".json" and os.fstat(text.fileno()).st_size <= _DOCUMENT:
        rows = list(read_document(text.read()))
        if rows:
            return {}, _counted(iter(rows), columns, "json")
        text.seek(0)
    delimiter = delimiter_of([line for line in sample.splitlines() if line.strip()][:2])
    if delimiter:
        name = "tsv" if delimiter == "\t" else "csv"
        return {}, _counted(read_csv(_rows(text), delimiter, columns.passes_over), columns, name)
    return _read_text(_lines(text), columns)


def _read_text(lines: Iterator[str], columns: Columns) -> Read:
    header: dict[str, Any] = {}
    shapes = Shapes(_CONFIG)
    count = objects = damaged = 0
    for text in lines:
        if "\x1b" in text or "\x08" in text:
            text = without_colour(text).strip()
        count += 1
        match = shapes.match(text)
        if match is not None:
            objects += text[0] == "{"
            shape = shapes.last
            if shape.silent:
                continue
            if not columns.passes_over(shape.names, shape.line if shape.counts else None, match):
                columns.add(shape.line(match))
            continue
        entry: Line | None = read_object(text) if text[:1] == "{" else None
        if entry is not None:
            objects += 1
            shapes.learn(text, read_object)
        elif text[:2] == '{"' and text[-1] != "}":
            damaged += 1  # torn in the middle, perhaps in a number: nothing in it can be trusted
            continue
        else:
            entry = read_line(text)
            _configure(text, header)
            shapes.learn(text)
        columns.add(entry)
    name = "jsonl" if 2 * objects > count else "text"
    return _settled(header), {"format": name, "lines": count, "damaged": damaged}


def _configure(text: str, header: dict[str, Any]) -> None:
    """Note the objective and the batch size if a line of the configuration names them."""
    for match in _CONFIG.finditer(text):
        if match["batch"]:
            header.setdefault("batch", int(match["batch"]))
        elif squash(match["word"]) in OBJECTIVES:
            header.setdefault("objectives", set()).add(OBJECTIVES[squash(match["word"])])


def _settled(header: dict[str, Any]) -> dict[str, Any]:
    objective = header.pop("objectives", set())
    if len(objective) == 1:
        header["objective"] = objective.pop()
    return header
