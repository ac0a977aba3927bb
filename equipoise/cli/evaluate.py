"""`evaluate`: samples against samples, in numbers that know their convention."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from equipoise.cli.say import console
from equipoise.errors import DataError, EquipoiseError, RecipeError

if TYPE_CHECKING:
    from equipoise.evaluation import Evaluation
    from equipoise.metrics.measure import Measure

COLUMNS = ("fake", "fresh", "gaussian", "collapsed", "copies")


def evaluate_paths(
    fake: Path,
    real: Path | None,
    metrics: str | None,
    as_json: bool,
    as_markdown: bool,
    live: bool,
    **rest: Any,
) -> None:
    """Measure, and print the measures, their convention and every warning.

    Raises:
        EquipoiseError: what cannot be read or compared, or both ways of printing asked for.
    """
    if as_json and as_markdown:
        raise RecipeError("--json and --markdown: one answer has one form; give one of the two")
    from equipoise.evaluation import evaluate

    names = [name.strip() for name in metrics.split(",")] if metrics else None
    with _progress(live and not (as_json or as_markdown)) as tick:
        try:
            found = evaluate(fake, real, metrics=names, progress=tick, **rest)
        except EquipoiseError:
            raise
        except ValueError as error:  # the metrics' own, which name the argument and the way out
            raise DataError(str(error)) from error
    if as_json:
        sys.stdout.write(json.dumps(found.to_dict(), indent=1) + "\n")
    elif as_markdown:
        sys.stdout.write(_markdown(found))
    else:
        _say(console(), found)


@contextlib.contextmanager
def _progress(live: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    out = Console(stderr=True)
    if not live or not out.is_terminal:
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def tick(side: str, done: int, count: int) -> None:
            if side not in tasks:
                tasks[side] = bar.add_task(f"features of {side}", total=count)
            bar.update(tasks[side], completed=done)

        yield tick


def _say(out: Console, found: Evaluation) -> None:
    out.print(f"[bold]{escape(found.fake)}[/] against [bold]{escape(found.real)}[/]")
    table = Table(box=None, pad_edge=False)
    for heading in ("measure", "value", "95 % interval", "samples"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for measure in found.measures.values():
        table.add_row(measure.name, f"{measure.value:.6g}", _interval(measure), _counts(measure))
    out.print(table)
    out.print(f"[dim]Convention:[/] {escape(_convention(found))}")
    for line in found.all_warnings():
        out.print(f"[yellow]Warning:[/] {escape(line)}")
    spots = found.blind_spots
    if spots is not None:
        _say_blind_spots(out, spots.n, spots.scores, found.convention.get("features", "given"))


def _say_blind_spots(out: Console, n: int, scores: Any, features: str) -> None:
    out.print(
        f"\nThe fakes beside surrogates of the reals, {n} a side: a [bold]fresh[/] split of the"
        " reals, a Gaussian and a collapse of the reals' mean and covariance, copies of the reals"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("measure")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name, row in scores.items():
        table.add_row(
            name.removesuffix(f"_{features}"), *(f"{row[column]:.4g}" for column in COLUMNS)
        )
    out.print(table)


def _interval(measure: Measure) -> str:
    if measure.low is None or measure.high is None:
        return "-"
    return f"{measure.low:.5g} to {measure.high:.5g}"


def _counts(measure: Measure) -> str:
    told = measure.convention
    counts = [told[key] for key in ("n", "n_real", "n_fake") if key in told]
    return " / ".join(f"{count:,}" for count in counts) or "-"


def _convention(found: Evaluation) -> str:
    told = {key: value for key, value in found.convention.items() if value is not None}
    parts = [f"preset {found.preset}"] if found.preset else []
    parts += [f"{key} {value}" for key, value in told.items() if key != "weights_sha256"]
    sha = told.get("weights_sha256")
    return ", ".join([*parts, *([f"weights {sha[:8]}"] if sha else [])])


def _markdown(found: Evaluation) -> str:
    lines = [
        f"`{found.fake}` against `{found.real}` ({_convention(found)})",
        "",
        "| measure | value | 95 % interval | samples |",
        "| --- | --- | --- | --- |",
    ]
    for measure in found.measures.values():
        cells = (measure.name, f"{measure.value:.6g}", _interval(measure), _counts(measure))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- Warning: {line}" for line in found.all_warnings())]
    return "\n".join(lines).rstrip() + "\n"
