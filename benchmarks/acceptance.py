"""Do the shipped presets do what they promise? Five seeds each; figures, marks, and CPU seconds.

    python -m benchmarks.acceptance [PRESET ...] [--seeds 5] [--workers 2] [--folder FOLDER]

Every run is its own process, so its CPU seconds include imports. Finished runs are read back, not
played again: an interrupted benchmark goes on where it was. Ends with 1 when a mark is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import cells
from benchmarks.cells import Row

RESULTS = Path(__file__).parent / "results" / "acceptance.json"


@dataclass(frozen=True)
class Mark:
    """What a run of a preset must show."""

    text: str
    holds: Callable[[Row], bool]


MARKS: dict[str, tuple[Mark, ...]] = {
    "ring": (
        Mark("8 of 8 modes", lambda r: r["modes"] == 8),
        Mark("KL < 0.02", lambda r: r["mode_kl"] < 0.02),
        Mark("CPU <= 60 s", lambda r: r["cpu_seconds"] <= 60),
        Mark("not sick", lambda r: r["verdict"] != "sick"),
    ),
    "grid": (
        Mark("25 of 25 modes", lambda r: r["modes"] == 25),
        Mark(">= 20 fair modes", lambda r: r["fair_modes"] >= 20),
        Mark("KL < 0.08", lambda r: r["mode_kl"] < 0.08),
        Mark("CPU <= 180 s", lambda r: r["cpu_seconds"] <= 180),
        Mark("not sick", lambda r: r["verdict"] != "sick"),
    ),
    "digits": (Mark("healthy", lambda r: r["verdict"] == "healthy"),),
    "digits-sick": (
        Mark("sick", lambda r: r["verdict"] == "sick"),
        Mark("dominance first", lambda r: r["first"] == "discriminator_dominance"),
    ),
}


def play(preset: str, seed: int, folder: Path) -> Row:
    """One run of a preset."""
    from equipoise.recipe import load

    row = cells.play(f"{preset}-{seed}", load(preset).edit({"seed": seed}), folder)
    return {"preset": preset, "seed": seed} | row


def measure(presets: list[str], seeds: int, workers: int, folder: Path) -> list[Row]:
    """Every preset on every seed, `workers` processes at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    rows = []
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        wanted = [(preset, seed) for preset in presets for seed in range(seeds)]
        jobs = [pool.submit(play, preset, seed, folder) for preset, seed in wanted]
        for job in as_completed(jobs):
            rows.append(job.result())
            print(line(rows[-1]), flush=True)
    return sorted(rows, key=lambda r: (presets.index(r["preset"]), r["seed"]))


def missed(row: Row) -> list[str]:
    """The marks that a run misses."""
    return [mark.text for mark in MARKS[row["preset"]] if not mark.holds(row)]


def line(row: Row) -> str:
    """A run in one line."""
    skipped = {"preset", "seed", "recipe", "verdict", "first", "since"}
    figures = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in skipped)
    said = f"{row['verdict']} {row['first']}".strip()
    missing = missed(row)
    return f"{row['preset']:12} seed {row['seed']}  {figures}  {said}" + (
        f"  MISSED: {', '.join(missing)}" if missing else ""
    )


MIXTURE = ("modes", "fair_modes", "high_quality", "mode_kl")
DIGITS = ("frechet_digits_cnn", "precision_digits_cnn", "recall_digits_cnn", "coverage_digits_cnn")
COLUMNS = {
    "ring": MIXTURE,
    "grid": MIXTURE,
    "digits": DIGITS,
    "digits-sick": (*DIGITS, "since"),
}


def section(stored: dict[str, Any]) -> str:
    """The presets' table as Markdown."""
    parts = [
        "## The presets, five seeds each",
        f"`python -m benchmarks.acceptance`, {stored['date']}, {stored['machine']}. CPU seconds"
        " include imports; the machine was shared. *alarms*: share of the run's moments (each 5 %"
        " of it, from 20 % on) judged sick. *monitor*: its own time over the run's.",
    ]
    for preset, columns in COLUMNS.items():
        rows = [row for row in stored["rows"] if row["preset"] == preset]
        head = ["seed", *columns, "verdict", "first finding", "alarms", "monitor", "CPU s"]
        lines = [_cells(head), _cells(["---"] * len(head))]
        for row in rows:
            figures = [_figure(row[column]) for column in columns]
            ends = [row["verdict"], row["first"] or "-", f"{row['alarms']:.0%}"]
            cost = [f"{row['cost_monitor']:.1%}", f"{row['cpu_seconds']:.0f}"]
            lines.append(_cells([str(row["seed"]), *figures, *ends, *cost]))
        marks = ", ".join(mark.text for mark in MARKS[preset])
        reached = sum(not missed(row) for row in rows)
        parts += [f"**{preset}** ({marks}: {reached} of {len(rows)})", "\n".join(lines)]
    return "\n\n".join(parts)


def _cells(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def _figure(value: float) -> str:
    return f"{value:.4g}"


def main() -> int:
    """Parse, measure, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acceptance", description=__doc__)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=", ".join(MARKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/acceptance"))
    options = parser.parse_args()
    strangers = set(options.presets) - set(MARKS)
    if strangers:
        parser.error(f"no marks for {', '.join(sorted(strangers))} (there are {', '.join(MARKS)})")
    presets = options.presets or list(MARKS)
    rows = measure(presets, options.seeds, options.workers, options.folder)
    failed = [row for row in rows if missed(row)]
    if not options.presets:
        RESULTS.parent.mkdir(exist_ok=True)
        about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": cells.hardware()}
        RESULTS.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    print(f"{len(rows) - len(failed)} of {len(rows)} runs reach every mark")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
