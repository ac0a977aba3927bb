"""`demo`: the whole idea on real digits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from equipoise.cli.judge import preset_of
from equipoise.cli.play import say_outcome
from equipoise.cli.progress import LiveProgress
from equipoise.cli.say import console, edit_text, say, say_diagnosis, say_trial
from equipoise.cli.trials import watch_trial
from equipoise.errors import RecordError
from equipoise.recipe import load
from equipoise.record import Diagnosis, Prescription, TrialRow

if TYPE_CHECKING:
    from equipoise.trial import Run

PRESET = "digits-sick"


def demonstrate(folder: Path, seeds: int, workers: int | None, live: bool) -> None:
    """Train a sick recipe, diagnose it, try the first remedy, write the report."""
    began = time.perf_counter()
    out = console()
    folder = _fresh(folder)

    _heading(
        out, 1, "Train a GAN on 1,797 handwritten digits, from a recipe that is sick on purpose"
    )
    run = _train(out, folder, live)

    _heading(out, 2, "What is wrong, since when, on what evidence, what to do")
    say_diagnosis(out, run.diagnosis)
    remedy = _first_edit(run.diagnosis)
    if remedy is None:
        raise RecordError(
            f"the demo's run in {folder} was not found sick, so there is nothing to treat"
        )

    _heading(
        out, 3, f"Try the first remedy: {remedy.title}, {seeds} pairs of seeds, one thing changed"
    )
    row = _try(out, folder, run, remedy, seeds, workers, live)

    _heading(out, 4, "Tell")
    page = _report(folder, run, row)
    say(out, f"report: {page.resolve()}")
    out.print(f"done in {time.perf_counter() - began:.0f} s")


def _fresh(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3, ... that is free: nothing is overwritten."""
    candidate, number = folder, 1
    while candidate.exists() and any(candidate.iterdir()):
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _heading(out: Console, number: int, text: str) -> None:
    out.print(f"\n[bold]{number}/4  {escape(text)}[/]")


def _train(out: Console, folder: Path, live: bool) -> Run:
    from equipoise.trial import train

    progress = LiveProgress(out, live)
    run = train(load(PRESET), folder / "run", (progress,), on_tick=progress.judge)
    say_outcome(out, run)
    return run


def _first_edit(diagnosis: Diagnosis) -> Prescription | None:
    """The first remedy that is a recipe edit, of the likeliest finding."""
    remedies = (r for finding in diagnosis.findings for r in finding.remedies)
    return next((r for r in remedies if r.edit), None)


def _try(
    out: Console,
    folder: Path,
    run: Run,
    remedy: Prescription,
    seeds: int,
    workers: int | None,
    live: bool,
) -> TrialRow:
    from equipoise.trial import LEDGER, Arm, Ledger, enter_run, plan

    say(out, f"arm {remedy.remedy}: {edit_text(remedy.edit)}")
    design = plan(run.recipe, [Arm(remedy.remedy, dict(remedy.edit))], range(seeds))
    with Ledger(folder / LEDGER) as ledger:
        enter_run(ledger, run)  # the run above is the baseline's first seed
        (row,) = watch_trial(out, design, folder / "trial", ledger, workers, live)
    say_trial(out, row)
    say(out, f"ledger: {folder / LEDGER}")
    return row


def _report(folder: Path, run: Run, row: TrialRow) -> Path:
    from equipoise.report import write_report
    from equipoise.trial import LEDGER, Ledger

    with Ledger(folder / LEDGER) as ledger:
        verdicts = ledger.verdicts()
    return write_report(
        folder / "report.html",
        title="Equipoise demo: a runaway discriminator on handwritten digits",
        trace=run.trace,
        diagnosis=run.diagnosis,
        recipe=run.recipe,
        trials=(row,),
        ledger=verdicts,
        preset=preset_of(run.recipe),
    )
