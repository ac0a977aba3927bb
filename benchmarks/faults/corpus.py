"""The traces of the fault library's runs, packed: rules are judged on them without playing.

    python -m benchmarks.faults.corpus [FOLDER]        # packs what was played there

`benchmarks/corpus/<seed>.jsonl.xz`, a line for each run:

    {"name": ..., "seed": ..., "recipe": key, "measures": {name: number}, "steps": ...,
     "header": {...}, "facts": {...}, "ticks": [step, ...],
     "signals": {name: [[indices of ticks], [numbers]]}}       # no indices: at every tick

Numbers have `DIGITS` digits, which is less than any rule sees. What a monitor said on the way is
left out, since it is what is to be judged.
"""

from __future__ import annotations

import json
import lzma
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.record import Series, Trace
from equipoise.record.atomic import write_bytes

FOLDER = Path(__file__).parent.parent / "corpus"
DIGITS = 4
Row = dict[str, Any]
Place = tuple[str, int]  # a case's name and its seed


def packed(row: Mapping[str, Any], trace: Trace) -> Row:
    """One line: what `faults.library.play` gave, and its trace."""
    ticks = trace.kimg.steps
    return {
        **{key: row[key] for key in ("name", "seed", "recipe", "measures", "steps")},
        "header": dict(trace.header),
        "facts": dict(trace.facts),
        "ticks": ticks.tolist(),
        "signals": {n: _packed(s, ticks) for n, s in trace.signals.items()},
    }


def _packed(series: Series, ticks: np.ndarray[Any, Any]) -> Sequence[Any]:
    whole = len(series) == len(ticks)
    places = [] if whole else np.searchsorted(ticks, series.steps).tolist()
    return places, [_short(value) for value in series.values.tolist()]


def _short(value: float) -> float | int | str:
    """Of so many digits; what JSON does not know is a string."""
    if not np.isfinite(value):
        return str(value)
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 10**DIGITS else short


def unpacked(line: Mapping[str, Any]) -> Trace:
    """The trace in a line."""
    ticks = np.asarray(line["ticks"], np.int64)
    signals = {}
    for name, (places, values) in line["signals"].items():
        steps = ticks[places] if places else ticks
        signals[name] = Series(steps, np.asarray([float(v) for v in values], np.float64))
    nothing = np.full(len(ticks), np.nan)
    kimg = Series(ticks, nothing)
    return Trace(line["header"], line["facts"], signals, kimg=kimg, seconds=kimg)


def read(folder: Path = FOLDER) -> dict[Place, Row]:
    """Every packed run by case and seed."""
    lines = (line for file in sorted(folder.glob("*.jsonl.xz")) for line in _lines(file))
    return {(line["name"], line["seed"]): line for line in lines}


def _lines(file: Path) -> Iterator[Row]:
    with lzma.open(file, "rt", encoding="utf-8") as text:
        for line in text:
            run: Row = json.loads(line)
            yield run


def write(lines: Iterable[Row], folder: Path = FOLDER) -> None:
    """Store runs, in the place of those of the same case and seed; a file for each seed."""
    runs = read(folder) | {(line["name"], line["seed"]): line for line in lines}
    folder.mkdir(parents=True, exist_ok=True)
    for seed in sorted({seed for _, seed in runs}):
        here = [runs[place] for place in sorted(runs) if place[1] == seed]
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in here)
        write_bytes(folder / f"{seed}.jsonl.xz", lzma.compress(text.encode(), preset=9))


def main() -> int:
    """Pack what lies in a folder of played runs."""
    from benchmarks.faults.library import played  # it reads this corpus itself

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/diagnosis")
    lines = [packed(row, trace) for row, trace in played(folder)]
    write(lines)
    print(f"{len(lines)} runs of {folder} packed; the corpus holds {len(read())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
