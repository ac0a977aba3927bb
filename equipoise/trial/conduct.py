"""A trial from its design to its rows in the ledger."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from equipoise._version import __version__
from equipoise.recipe import Recipe
from equipoise.record import TrialRow
from equipoise.trial.design import BASELINE, Arm, Design
from equipoise.trial.ledger import Ledger, RunRow
from equipoise.trial.local import Cell, CellResult, run_cells
from equipoise.trial.run import Run
from equipoise.trial.statistics import Decision, decide, holm, sign_flip_p_value

LEDGER = "ledger.sqlite"
Values = dict[tuple[str, int], float]


def conduct(
    design: Design,
    folder: Path,
    ledger: Ledger,
    workers: int | None = None,
    on_cell: Callable[[CellResult], None] | None = None,
) -> tuple[TrialRow, ...]:
    """Run what is not yet in the ledger, compare each arm with the baseline, enter the verdicts.

    A cell (recipe, seed, code version) that the ledger holds with a value is never run again, and a
    half-done run in `folder` goes on from its checkpoint, so an interrupted trial resumes when
    called again. Only this process writes the ledger.
    """
    values: Values = {}
    failures: dict[str, list[str]] = {}
    waiting = []
    for cell in _cells(design, folder):
        known = ledger.find_run(cell.recipe.content_hash(), cell.recipe.seed, __version__)
        if known is not None and known.status == "ok" and design.metric in known.values:
            values[cell.arm, cell.recipe.seed] = float(known.values[design.metric])
        else:
            waiting.append(cell)

    def finished(result: CellResult) -> None:
        value = result.metrics.get(design.metric, math.nan)
        values[result.arm, result.seed] = value
        if not math.isfinite(value):
            failures.setdefault(result.arm, []).append(
                f"{result.arm}/{result.seed}: {result.reason}"
            )
        ledger.add_run(_run_row(design, result, value))
        if on_cell is not None:
            on_cell(result)

    if waiting:
        run_cells(waiting, finished, workers)
    rows = _verdicts(design, values, failures)
    for row in rows:
        ledger.add_verdict(row)
    return rows


def enter_run(ledger: Ledger, run: Run) -> None:
    """Let a run that was played outside a trial count as a finished cell.

    One that ended early, was rolled back under another recipe or has no finite metrics is none.
    """
    metrics = run.outcome.metrics
    whole = run.outcome.finished and all(e["kind"] != "rollback" for e in run.trace.events)
    if not whole or not metrics or not all(map(math.isfinite, metrics.values())):
        return
    recipe = run.recipe
    ledger.add_run(
        RunRow(
            recipe.content_hash(),
            recipe.seed,
            BASELINE,
            "ok",
            metrics,
            seconds=run.outcome.seconds,
            code_version=__version__,
            environment=_environment(),
        )
    )


def _cells(design: Design, folder: Path) -> list[Cell]:
    """Seed by seed, so that pairs complete early."""
    arms = (Arm(BASELINE, {}), *design.arms)
    return [_cell(design.baseline, arm, seed, folder) for seed in design.seeds for arm in arms]


def _cell(baseline: Recipe, arm: Arm, seed: int, folder: Path) -> Cell:
    """The hash in the folder's name keeps recipes apart that share a name."""
    recipe = baseline.edit({**arm.edit, "seed": seed})
    return Cell(arm.name, recipe, folder / f"{_slug(arm)}-{recipe.content_hash()[:8]}-{seed}")


def _slug(arm: Arm) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in arm.name).strip(".") or "arm"


def _run_row(design: Design, result: CellResult, value: float) -> RunRow:
    edit = next((a.edit for a in design.arms if a.name == result.arm), {})
    ok = math.isfinite(value)
    return RunRow(
        design.baseline.edit(edit).content_hash(),
        result.seed,
        result.arm,
        "ok" if ok else "failed",
        {k: v for k, v in result.metrics.items() if math.isfinite(v)},
        result.reason,
        result.seconds,
        __version__,
        _environment(),
    )


def _environment() -> Mapping[str, str]:
    from equipoise.training import environment

    return environment()


def _verdicts(
    design: Design, values: Values, failures: Mapping[str, list[str]]
) -> tuple[TrialRow, ...]:
    sign = -1.0 if design.better == "lower" else 1.0
    differences = {
        arm.name: _differences(
            [sign * values[BASELINE, seed] for seed in design.seeds],
            [sign * values[arm.name, seed] for seed in design.seeds],
        )
        for arm in design.arms
    }
    adjusted = holm([sign_flip_p_value(differences[arm.name]) for arm in design.arms])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    trial = f"{design.baseline.name}-{now}"
    decisions = {
        arm.name: decide(differences[arm.name], design.minimal_effect, adjusted=p)
        for arm, p in zip(design.arms, adjusted, strict=True)
    }
    return tuple(
        _row(design, arm, trial, now, decisions[arm.name], values, failures) for arm in design.arms
    )


def _differences(baseline: list[float], arm: list[float]) -> list[float]:
    """Paired improvements; a run without a value counts as worse than any that has one.

    A pair in which only the arm failed takes minus the largest difference seen (at least 1), one in
    which only the baseline failed takes plus that, and one in which both failed is 0.
    """
    raw = [a - b for a, b in zip(arm, baseline, strict=True)]
    worst = max([abs(d) for d in raw if math.isfinite(d)] + [1.0])
    return [
        d if math.isfinite(d) else worst * (math.isfinite(a) - math.isfinite(b))
        for d, a, b in zip(raw, arm, baseline, strict=True)
    ]


def _row(
    design: Design,
    arm: Arm,
    trial: str,
    created: str,
    decision: Decision,
    values: Values,
    failures: Mapping[str, list[str]],
) -> TrialRow:
    return TrialRow(
        trial=trial,
        created=created,
        baseline=design.baseline.name,
        baseline_hash=design.baseline.content_hash(),
        arm=arm.name,
        edit=arm.edit,
        metric=design.metric,
        better=design.better,
        minimal_effect=design.minimal_effect,
        seeds=design.seeds,
        baseline_values=tuple(values[BASELINE, seed] for seed in design.seeds),
        arm_values=tuple(values[arm.name, seed] for seed in design.seeds),
        improvement=decision.improvement,
        interval=decision.interval,
        p_value=decision.p_value,
        verdict=decision.verdict,
        reason=decision.reason,
        environment=_environment(),
        failures=(*failures.get(BASELINE, []), *failures.get(arm.name, [])),
    )
