"""`trial` and `ledger`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from equipoise.cli.play import INTERRUPTED, refuse_absent_images
from equipoise.cli.say import console, edit_text, say, say_trial, say_trials
from equipoise.errors import RecordError
from equipoise.recipe import Recipe
from equipoise.record import TrialRow

if TYPE_CHECKING:
    from equipoise.trial import CellResult, Design, Ledger


def run_trial(
    baseline: Recipe,
    arms: Sequence[str],
    seeds: Sequence[int],
    metric: str | None,
    minimal_effect: float,
    folder: Path,
    ledger: Path,
    workers: int | None,
    as_json: bool,
    live: bool,
) -> None:
    """Plan, run, print, enter in the ledger."""
    from equipoise.training import check_names
    from equipoise.trial import Ledger, parse_arm, plan

    design = plan(baseline, [parse_arm(a, baseline) for a in arms], seeds, metric, minimal_effect)
    for arm in design.arms:
        check_names(baseline.edit(arm.edit))
    refuse_absent_images(baseline)
    out = console()
    with Ledger(ledger) as book:
        rows = watch_trial(out, design, folder / baseline.name, book, workers, live)
    if as_json:
        sys.stdout.write(json.dumps([row.to_dict() for row in rows], indent=1) + "\n")
        return
    for row in rows:
        say(out, f"\narm {row.arm}: {edit_text(row.edit)}")
        say_trial(out, row)
    say(out, f"ledger: {ledger}")


def watch_trial(
    out: Console, design: Design, folder: Path, ledger: Ledger, workers: int | None, live: bool
) -> tuple[TrialRow, ...]:
    """Conduct a trial with a display of the runs that finish."""
    from equipoise.trial import conduct

    total = len(design.seeds) * (1 + len(design.arms))
    columns = (
        TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TextColumn("runs"),
        TimeRemainingColumn(), TextColumn("{task.fields[line]}"),
    )  # fmt: skip
    drawn = live and out.is_terminal
    with Progress(*columns, console=out, transient=True, disable=not drawn) as bar:
        task = bar.add_task("trial", total=total, line="")

        def finished(result: CellResult) -> None:
            value = result.metrics.get(design.metric)
            said = f"{design.metric} {value:.4g}" if value is not None else result.reason
            line = f"{result.arm}, seed {result.seed}: {said}"
            bar.update(task, advance=1, line=line)
            if live and not drawn:
                say(out, line)

        try:
            return conduct(design, folder, ledger, workers, finished)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on with what is finished", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None


def show_ledger(path: Path, limit: int, as_json: bool) -> None:
    """Print the newest verdicts."""
    from equipoise.trial import Ledger

    if not path.is_file():
        raise RecordError(f"no ledger at {path}; run: equipoise trial RECIPE --arm REMEDY")
    with Ledger(path) as book:
        rows = book.verdicts(limit)
    if as_json:
        sys.stdout.write(json.dumps([row.to_dict() for row in rows], indent=1) + "\n")
    else:
        say_trials(console(), rows)
