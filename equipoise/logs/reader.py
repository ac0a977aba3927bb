"""Open a log whatever its encoding and format, and read it line by line."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equipoise.errors import RecordError
from equipoise.logs.aliases import OBJECTIVES, squash
from equipoise.logs.columns import Columns
from equipoise.logs.tables import delimiter_of, read_csv, read_object
from equipoise.logs.text import read_line
from equipoise.record import Trace

TRACE = "trace.jsonl"
_PEEK = 1 << 16  # bytes looked at to tell encoding and format
_LONGEST = 1 << 16  # characters; a longer line is read in pieces
_CONFIG = re.compile(
    r"""\b(?P<key>adv_loss|gan_mode|gan_type|gan_loss|adversarial_loss|loss_type|objective)\b['"]?"""
    r"""\s{0,4}[:=]\s{0,4}['"]?(?P<word>[A-Za-z][\w-]{0,30})"""
    r"""|\bbatch_?size['"]?\s{0,4}[:=]\s{0,4}(?P<batch>\d{1,7})\b""",
    re.IGNORECASE,
)
_OURS = re.compile(r'^\{"type": ?"(?:header|fact|row|blob|event|resume)"')


def read_log(path: str | os.PathLike[str], mapping: Mapping[str, str] | None = None) -> Trace:
    """The trace in a run directory, or the trace that a foreign log amounts to.

    Reads our own `trace.jsonl`, CSV and TSV with a head, JSON lines, and what training loops print
    (`Loss_D: 0.5`, `[D loss: 0.5]`, `Gen/Dis Loss: a/b`, progress bars). `mapping` gives our name
    (or "step", "epoch", "kimg") for theirs where the table of aliases has no word for it.
    `facts["log"]` says what was understood: format, lines, mapping, unmapped names, what a step
    counts, and every assumption.

    Raises:
        RecordError: the file cannot be read, or nothing in it could be understood.
    """
    file = Path(path)
    if file.is_dir():
        return _in_folder(file)
    try:
        with open(file, "rb") as raw:
            peek = raw.read(_PEEK)
            raw.seek(0)
            encoding = _encoding(peek)
            sample = peek.decode(encoding, "replace").lstrip("\ufeff")
            if not sample.strip():
                raise RecordError(f"log {file} is empty; give the file that the run printed into")
            if _OURS.match(sample.lstrip()):
                return Trace.read(file)
            with io.TextIOWrapper(raw, encoding, errors="replace", newline=None) as text:
                return _read(_lines(text), sample, file, mapping or {})
    except OSError as error:
        raise RecordError(f"cannot read log {file}: {error.strerror}; check the path") from error


def _in_folder(folder: Path) -> Trace:
    if (folder / TRACE).exists():
        return Trace.read(folder)
    kinds = {".log", ".txt", ".csv", ".tsv", ".jsonl", ".out"}
    files = sorted(f.name for f in folder.iterdir() if f.suffix in kinds)
    choice = f"give one of its files: {', '.join(files[:10])}" if files else "give a log file"
    raise RecordError(f"folder {folder} holds no {TRACE}; {choice}")


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
    """Lines, ended by line feed or carriage return alike (a progress bar rewrites its own)."""
    while line := text.readline(_LONGEST):
        yield line.rstrip("\n")


def _read(lines: Iterator[str], sample: str, path: Path, mapping: Mapping[str, str]) -> Trace:
    columns = Columns(mapping)
    delimiter = delimiter_of([line for line in sample.splitlines() if line.strip()][:2])
    if delimiter:
        header, facts = _read_table(lines, delimiter, columns)
    else:
        header, facts = _read_text(lines, columns)
    return columns.trace(path, facts, header)


def _read_table(
    lines: Iterator[str], delimiter: str, columns: Columns
) -> tuple[dict[str, Any], dict[str, Any]]:
    count = damaged = 0
    filled = (line for line in lines if line.strip())
    for row in read_csv(filled, delimiter):
        count += 1
        if row is None:
            damaged += 1
        else:
            columns.add(row)
    name = "tsv" if delimiter == "\t" else "csv"
    return {}, {"format": name, "lines": count, "damaged": damaged}


def _read_text(lines: Iterator[str], columns: Columns) -> tuple[dict[str, Any], dict[str, Any]]:
    header: dict[str, Any] = {}
    count = objects = damaged = 0
    for text in lines:
        if not text.strip():
            continue
        count += 1
        entry = read_object(text) if text.lstrip().startswith("{") else None
        if entry is not None:
            objects += 1
        elif text.lstrip().startswith('{"') and not text.rstrip().endswith("}"):
            damaged += 1  # torn in the middle, perhaps in a number: nothing in it can be trusted
            continue
        else:
            entry = read_line(text)
            _configure(text, header)
        columns.add(entry)
    objective = header.pop("objectives", set())
    if len(objective) == 1:
        header["objective"] = objective.pop()
    name = "jsonl" if 2 * objects > count else "text"
    return header, {"format": name, "lines": count, "damaged": damaged}


def _configure(text: str, header: dict[str, Any]) -> None:
    """Note the objective and the batch size if a line of the configuration names them."""
    for match in _CONFIG.finditer(text):
        if match["batch"]:
            header.setdefault("batch", int(match["batch"]))
        elif squash(match["word"]) in OBJECTIVES:
            header.setdefault("objectives", set()).add(OBJECTIVES[squash(match["word"])])
