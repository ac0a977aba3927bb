"""`train` and `resume`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from equipoise.cli.progress import LiveProgress
from equipoise.cli.say import console, say_diagnosis
from equipoise.recipe import Recipe, dump, load, parse_settings

if TYPE_CHECKING:
    from equipoise.trial import Run

INTERRUPTED = 130


def resolved(name: str, changes: Mapping[str, Any], settings: Sequence[str]) -> Recipe:
    """The recipe called `name`, with the command line's changes."""
    edit = {**changes, **parse_settings(settings)}
    recipe = load(name)
    return recipe.edit(edit) if edit else recipe


def train_recipe(recipe: Recipe, run_dir: Path | None, dry_run: bool, live: bool) -> None:
    """Play a recipe in a new directory and say how it went; a dry run prints it and stops."""
    out = console()
    for warning in recipe.warnings():
        console(stderr=True).print(f"[yellow]warning:[/] {warning}")
    from equipoise.training import check_names

    check_names(recipe)
    if dry_run:
        sys.stdout.write(dump(recipe))
        return
    from equipoise.trial import train

    folder = run_dir or Path("runs") / f"{recipe.name}-{datetime.now():%Y%m%d-%H%M%S}"
    out.print(f"run directory: {folder}", markup=False)
    progress = LiveProgress(out, live)
    conclude(out, train(recipe, folder, (progress,), on_tick=progress.judge))


def resume_run(run_dir: Path, live: bool) -> None:
    """Go on with a run and say how it went."""
    from equipoise.trial import carry_on

    out = console()
    progress = LiveProgress(out, live)
    conclude(out, carry_on(run_dir, (progress,), on_tick=progress.judge))


def conclude(out: Console, run: Run) -> None:
    """Print the outcome; leave with 130 when a signal ended it."""
    outcome = run.outcome
    values = "  ".join(f"{name} {value:.4g}" for name, value in outcome.metrics.items())
    out.print(f"{outcome.kimg:.1f} kimg in {outcome.seconds:.1f} s  {values}", markup=False)
    if outcome.interrupted:
        out.print(
            f"interrupted and saved; go on with: equipoise resume {run.run_dir}", markup=False
        )
        raise typer.Exit(INTERRUPTED)
    if outcome.reason:
        out.print(f"stopped: {outcome.reason}", markup=False)
    say_diagnosis(out, run.diagnosis)
    out.print(f"report: equipoise report {run.run_dir}", markup=False)
