"""`diagnose` and `report`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from equipoise.cli.say import console, diagnosis_markdown, say, say_diagnosis, say_next
from equipoise.clinic import diagnose
from equipoise.errors import EquipoiseError, RecordError
from equipoise.logs import read_log
from equipoise.recipe import Recipe, load, preset_names
from equipoise.record import Trace, TrialRow

if TYPE_CHECKING:
    from equipoise.cli.follow import Watch


def diagnose_path(path: Path, mapping: Sequence[str], as_json: bool, as_markdown: bool) -> str:
    """Judge a run or log, print it, and return the verdict.

    Raises:
        RecordError: nothing readable there, or both ways of printing asked for.
    """
    if as_json and as_markdown:
        raise RecordError("--json and --markdown: one answer has one form; give one of the two")
    trace = read_log(path, _mapping(mapping))
    diagnosis = diagnose(trace)
    if as_json:
        sys.stdout.write(json.dumps(diagnosis.to_dict(), indent=1) + "\n")
    elif as_markdown:
        sys.stdout.write(diagnosis_markdown(diagnosis))
    else:
        out = console()
        _say_mapping(out, trace)
        say_diagnosis(out, diagnosis)
        if (path / "recipe.yaml").is_file():
            say_next(out, path, diagnosis)
    return diagnosis.verdict


def follow_path(path: Path, mapping: Sequence[str], watch: Watch) -> str:
    """Follow a growing log, print what is new, and return the last verdict.

    Raises:
        RecordError: a wrong mapping or watch.
    """
    from equipoise.cli.follow import follow

    last = follow(path, _mapping(mapping), watch, lambda text: print(text, flush=True))
    return last.verdict if last is not None else "inconclusive"


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        theirs, equals, ours = pair.partition("=")
        if not equals or not theirs or not ours:
            raise RecordError(f"--map {pair!r}: give THEIRS=OURS, e.g. D_loss=loss/discriminator")
        mapping[theirs] = ours
    return mapping


def _say_mapping(out: Console, trace: Trace) -> None:
    log = trace.facts.get("log")
    if not isinstance(log, dict):
        return
    pairs = ", ".join(f"{theirs} -> {ours}" for theirs, ours in log.get("mapping", {}).items())
    out.print(f"read as {log.get('format')}: {pairs}", markup=False)


def report_path(path: Path, output: Path | None, ledger: Path | None) -> None:
    """Write the page about a run or log and print where it is."""
    from equipoise.report import write_report

    trace = read_log(path)
    recipe = _recipe_of(trace)
    rows = _rows(ledger)
    own = [r for r in rows if recipe is not None and r.baseline_hash == recipe.content_hash()]
    page = write_report(
        output or (path / "report.html" if path.is_dir() else path.with_suffix(".html")),
        title=str(trace.header.get("name", path.name)),
        trace=trace,
        diagnosis=diagnose(trace),
        recipe=recipe,
        trials=own,
        ledger=rows,
        preset=preset_of(recipe),
    )
    say(console(), f"report: {page}")


def _rows(ledger: Path | None) -> tuple[TrialRow, ...]:
    if ledger is None:
        return ()
    from equipoise.trial import Ledger

    if not ledger.is_file():
        raise RecordError(f"--ledger {ledger}: no such file; run a trial first")
    with Ledger(ledger) as book:
        return tuple(book.verdicts())


def _recipe_of(trace: Trace) -> Recipe | None:
    fields = trace.header.get("recipe")
    try:
        return Recipe(**fields) if fields else None
    except EquipoiseError:  # written by another version: the page does without
        return None


def preset_of(recipe: Recipe | None) -> Recipe | None:
    """The preset that a recipe started from, by its name."""
    return load(recipe.name) if recipe is not None and recipe.name in preset_names() else None
