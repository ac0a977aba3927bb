"""One watched run of a benchmark: played once, read back ever after."""

from __future__ import annotations

import json
import platform
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.clinic import diagnose
from equipoise.record import Trace
from equipoise.trial.local import cores

if TYPE_CHECKING:
    from equipoise.recipe import Recipe

Row = dict[str, Any]


def play(name: str, recipe: Recipe, folder: Path) -> Row:
    """One run in this process, or read back if it is finished; judged by the rules of today."""
    from equipoise.trial import train

    run_dir, result = folder / name, folder / f"{name}.json"
    played: Row = json.loads(result.read_text()) if result.is_file() else {}
    if played.get("recipe") != recipe.content_hash():
        shutil.rmtree(run_dir, ignore_errors=True)
        run = train(recipe, run_dir)
        played = {
            "recipe": recipe.content_hash(),
            **run.outcome.metrics,
            "cpu_seconds": time.process_time(),
            "wall_seconds": run.outcome.seconds,
            "cost_monitor": run.trace.series("cost/monitor").last,
        }
        result.write_text(json.dumps(played))
    return played | judged(Trace.read(run_dir))


def judged(trace: Trace) -> Row:
    """What the clinic says of a run."""
    diagnosis = diagnose(trace)
    first = next(iter(diagnosis.findings), None)
    return {
        "verdict": diagnosis.verdict,
        "first": first.failure if first else "",
        "since": first.since if first else None,
        "alarms": alarms(trace),
    }


def alarms(trace: Trace) -> float:
    """Share of the moments (each 5 % of the run, from 20 % on) at which it would be called sick."""
    moments = [round(trace.last_step * share / 20) for share in range(4, 21)]
    verdicts = [diagnose(trace.until(step)).verdict for step in moments]
    return verdicts.count("sick") / len(verdicts)


def hardware() -> str:
    """Cores and architecture."""
    return f"{cores()} cores, {platform.machine()}"
