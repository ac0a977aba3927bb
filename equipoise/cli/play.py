"""`train` and `resume`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from equipoise.cli.progress import LiveProgress
from equipoise.cli.say import console, metrics_text, say, say_diagnosis, say_next
from equipoise.errors import RecipeError
from equipoise.recipe import Recipe, dump, load, parse_settings, preset_names

if TYPE_CHECKING:
    from equipoise.trial import Run

INTERRUPTED = 130
Guard = Literal["warn", "stop", "rollback"] | None


def resolved(
    name: str, changes: Mapping[str, Any], settings: Sequence[str], data: str | None = None
) -> Recipe:
    """The recipe called `name`, with the command line's changes and the folder of images `data`.

    Raises:
        RecipeError: no such recipe, a wrong change, or images for a recipe with its own data.
    """
    _refuse_pictures(name)
    recipe = load(name)
    edit = {**changes, **parse_settings(settings)}
    if data is not None:
        _refuse_own_data(recipe, str(edit.get("data.kind", recipe.data.kind)), data)
        edit["data.path"] = os.path.abspath(data)  # resume may be called from elsewhere
    return recipe.edit(edit) if edit else recipe


def _refuse_pictures(name: str) -> None:
    """Say how to train on a folder that was given in the recipe's place."""
    folder = Path(name)
    if name not in preset_names() and folder.is_dir() and not (folder / "recipe.yaml").is_file():
        raise RecipeError(
            f"recipe {name!r} is a folder without a recipe.yaml; to train on the images in it:"
            f" equipoise train images --data {shlex.quote(name)}"
        )


def _refuse_own_data(recipe: Recipe, kind: str, data: str) -> None:
    if kind != "folder":
        raise RecipeError(
            f"--data {data!r}: recipe {recipe.name!r} brings its own data (data.kind = {kind!r});"
            f" to train on your images: equipoise train images --data {shlex.quote(data)}"
        )


def refuse_absent_images(recipe: Recipe) -> None:
    """Ask for the folder of images that a recipe wants and does not find."""
    path = recipe.data.path
    if path is not None and not Path(path).expanduser().exists():
        raise RecipeError(
            f"recipe {recipe.name!r} trains on images of your own: data.path = {path!r} does not"
            " exist; give their folder with --data FOLDER"
        )


def train_recipe(
    recipe: Recipe,
    run_dir: Path | None,
    dry_run: bool,
    live: bool,
    guard: Guard = None,
) -> None:
    """Play a recipe in a new directory and say how it went; a dry run prints it and stops."""
    from equipoise.training import check_names

    check_names(recipe)
    for warning in recipe.warnings():
        console(stderr=True).print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    if dry_run:
        sys.stdout.write(dump(recipe))
        return
    refuse_absent_images(recipe)
    from equipoise.trial import train

    out = console()
    folder = run_dir or Path("runs") / f"{recipe.name}-{datetime.now():%Y%m%d-%H%M%S}"
    progress = LiveProgress(out, live, folder)
    conclude(out, train(recipe, folder, (progress,), guard, progress.judge))


def resume_run(run_dir: Path, live: bool, guard: Guard = None) -> None:
    """Go on with a run and say how it went."""
    from equipoise.trial import carry_on

    out = console()
    progress = LiveProgress(out, live)
    conclude(out, carry_on(run_dir, (progress,), guard, progress.judge))


def conclude(out: Console, run: Run) -> None:
    """Print outcome, judgement and what comes next; leave with 130 when a signal ended it."""
    say_outcome(out, run)
    say_diagnosis(out, run.diagnosis)
    say_next(out, run.run_dir, run.diagnosis)


def say_outcome(out: Console, run: Run) -> None:
    """Print how far a run went and its last metrics.

    Raises:
        typer.Exit: 130, where a signal ended it.
    """
    outcome = run.outcome
    metrics = metrics_text(outcome.metrics)
    say(out, f"{outcome.kimg:.1f} kimg in {outcome.seconds:.1f} s  {metrics}".rstrip())
    if outcome.interrupted:
        folder = shlex.quote(str(run.run_dir))
        say(out, f"interrupted and saved; go on with: equipoise resume {folder}")
        raise typer.Exit(INTERRUPTED)
    if outcome.reason:
        say(out, f"stopped: {outcome.reason}")
