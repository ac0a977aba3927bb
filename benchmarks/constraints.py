"""Objective x constraint on toys and digits, five seeds a cell: which of the two decides?

    python -m benchmarks.constraints [DESIGN ...] [--seeds 5] [--workers 1] [--folder FOLDER]

Two designs. `loss`: objective {non-saturating, least squares, hinge, Wasserstein, RpGAN} x
discriminator {free, spectral norm, R1 + R2, WGAN-GP} on ring, grid and digits. `packing`:
objective {non-saturating, RpGAN} x {free, R1, R1 + R2} x packs of {1, 2, 4} on the grid. All else
is the preset's. Every finished run is stored at once and not played again, so an interrupted
benchmark goes on where it was; all of it takes some five hours on one core.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import cells
from benchmarks.cells import Row
from equipoise.recipe import Recipe, load
from equipoise.record import write_text

RESULTS = Path(__file__).parent / "results" / "constraints.json"
OFF = {"penalties.r1.gamma": 0.0, "penalties.r2.gamma": 0.0}
CONSTRAINTS: dict[str, Mapping[str, Any]] = {
    "free": OFF,
    "spectral": {**OFF, "discriminator.normalization": "spectral"},
    "r1": {"penalties.r2.gamma": 0.0},
    "r1+r2": {},
    # lambda of the authors' own code for toys; 10 on images
    "wgan-gp": {**OFF, "penalties.wgan_gp.gamma": 0.1},
}
IMAGES = {"wgan-gp": {**OFF, "penalties.wgan_gp.gamma": 10.0}}


@dataclass(frozen=True)
class Cell:
    """One place in a design."""

    preset: str
    objective: str
    constraint: str
    pack: int = 1

    @property
    def name(self) -> str:
        """For files and lines."""
        packed = f"-pack{self.pack}" if self.pack > 1 else ""
        return f"{self.preset}-{self.objective}-{self.constraint}{packed}"

    @property
    def edit(self) -> dict[str, Any]:
        """What it changes in its preset."""
        images = IMAGES if self.preset == "digits" else {}
        constraint = images.get(self.constraint, CONSTRAINTS[self.constraint])
        packed = {"discriminator.pack": self.pack} if self.pack > 1 else {}
        return {"objective.name": self.objective, **constraint, **packed}


LOSSES = ("non_saturating", "least_squares", "hinge", "wasserstein", "relativistic")
DESIGNS: dict[str, list[Cell]] = {
    "loss": [
        Cell(preset, loss, constraint)
        for preset in ("ring", "grid", "digits")
        for loss in LOSSES
        for constraint in ("free", "spectral", "r1+r2", "wgan-gp")
    ],
    "packing": [
        Cell("grid", loss, constraint, pack)
        for loss in ("non_saturating", "relativistic")
        for constraint in ("free", "r1", "r1+r2")
        for pack in (1, 2, 4)
    ],
}


def recipe_of(cell: Cell, seed: int) -> Recipe:
    """What a cell plays."""
    return load(cell.preset).edit({**cell.edit, "seed": seed})


def play(cell: Cell, seed: int, folder: Path) -> Row:
    """One run of a cell."""
    row = cells.play(f"{cell.name}-{seed}", recipe_of(cell, seed), folder)
    return {**vars(cell), "seed": seed} | row


def measure(
    wanted: Iterable[Cell], seeds: int, workers: int, folder: Path, stored: list[Row]
) -> Iterator[Row]:
    """Every cell on every seed: those that are stored first, then each as it ends.

    Toys before images, seed by seed, so that an interrupted benchmark holds whole tables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {(_cell(row), row["seed"]): row for row in stored}
    jobs = [(cell, seed) for seed in range(seeds) for cell in dict.fromkeys(wanted)]
    left = []
    for cell, seed in sorted(jobs, key=lambda job: job[0].preset == "digits"):
        row = known.get((cell, seed))
        if row is not None and row["recipe"] == recipe_of(cell, seed).content_hash():
            yield row
        else:
            left.append((cell, seed))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        for job in as_completed([pool.submit(play, *job, folder) for job in left]):
            yield job.result()


def _cell(row: Row) -> Cell:
    return Cell(row["preset"], row["objective"], row["constraint"], row["pack"])


def line(row: Row) -> str:
    """A run in one line."""
    figures = "  ".join(f"{k} {row[k]:.4g}" for k in FIGURES[row["preset"]] if k in row)
    cpu = f"{row['cpu_seconds']:.0f} CPU s"
    return f"{_cell(row).name} seed {row['seed']}  {figures}  {row['verdict']}  {cpu}"


FIGURES = {
    "ring": ("modes", "high_quality", "mode_kl"),
    "grid": ("modes", "high_quality", "mode_kl"),
    "digits": ("frechet_digits_cnn", "coverage_digits_cnn"),
}


def section(stored: dict[str, Any]) -> str:
    """The designs' tables as Markdown: medians over seeds, with the range."""
    parts = [
        "## Objective x constraint",
        f"`python -m benchmarks.constraints`, {stored['date']}, {stored['machine']}. Each entry:"
        " median over the seeds (smallest to largest); *sick*: seeds that the clinic calls sick at"
        " the end; CPU seconds include imports; the machine was shared. WGAN-GP has lambda 0.1 on"
        " points (its authors' toy code) and 10 on digits.",
    ]
    rows = stored["rows"]
    for preset, figures in FIGURES.items():
        here = [row for row in rows if row["preset"] == preset]
        if here:
            parts += [f"**{preset}**", _table(here, figures)]
    return "\n\n".join(parts)


def _table(rows: list[Row], figures: tuple[str, ...]) -> str:
    head = ["objective", "constraint", "pack", *figures, "sick", "CPU s"]
    lines = [_cells(head), _cells(["---"] * len(head))]
    for cell in dict.fromkeys(map(_cell, rows)):
        here = [row for row in rows if _cell(row) == cell]
        sick = sum(row["verdict"] == "sick" for row in here)
        cpu = statistics.median(row["cpu_seconds"] for row in here)
        spread = [_spread([row.get(figure) for row in here]) for figure in figures]
        name = [cell.objective, cell.constraint, str(cell.pack)]
        lines.append(_cells([*name, *spread, f"{sick} of {len(here)}", f"{cpu:.0f}"]))
    return "\n".join(lines)


def _spread(values: list[float | None]) -> str:
    found = [float("nan") if value is None else value for value in values]
    low, high = min(found), max(found)
    return f"{statistics.median(found):.3g} ({low:.3g} to {high:.3g})"


def _cells(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def _store(rows: dict[tuple[Cell, int], Row]) -> None:
    """All rows so far, in the order of the designs."""
    order = [cell for design in DESIGNS.values() for cell in design]
    ordered = sorted(rows.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": cells.hardware()}
    text = json.dumps({**about, "rows": [row for _, row in ordered]}, indent=1)
    RESULTS.parent.mkdir(exist_ok=True)
    write_text(RESULTS, text + "\n")


def main() -> int:
    """Parse, measure, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constraints", description=__doc__)
    parser.add_argument("designs", nargs="*", metavar="DESIGN", help=", ".join(DESIGNS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/constraints"))
    options = parser.parse_args()
    strangers = set(options.designs) - set(DESIGNS)
    if strangers:
        parser.error(f"no design {', '.join(sorted(strangers))} (there are {', '.join(DESIGNS)})")
    wanted = [cell for name in options.designs or DESIGNS for cell in DESIGNS[name]]
    stored = json.loads(RESULTS.read_text())["rows"] if RESULTS.is_file() else []
    rows = {(_cell(row), row["seed"]): row for row in stored}
    for row in measure(wanted, options.seeds, options.workers, options.folder, stored):
        print(line(row), flush=True)
        rows[_cell(row), row["seed"]] = row
        _store(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
