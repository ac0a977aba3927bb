"""Is the clinic right? Runs made sick on purpose and runs that learn, diagnosed and scored.

    python -m benchmarks.diagnosis [--seeds 5] [--workers 2] [--only NAME ...] [--folder FOLDER]

A fault counts where it harms: where the primary metric ends outside of what healthy runs of the
same preset reach. Then the first finding must be one of its right names. Finished runs are stored
at once and not played again; the whole library takes some three hours on one core. Another tool
enters by a function `Trace -> list of failure ids, the first the surest` in `faults/peers.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import cells
from benchmarks.faults.healthy import CONFIGURATIONS
from benchmarks.faults.peers import PACKAGES, PEERS, RULES, Tool
from benchmarks.faults.recipes import FAULTS
from benchmarks.faults.settings import setting
from equipoise.clinic import diagnose
from equipoise.recipe import Recipe, load
from equipoise.record import Trace, write_text
from equipoise.trial import train

RESULTS = Path(__file__).parent / "results" / "diagnosis.json"
BUDGETS = {"ring": 256.0, "grid": 1280.0, "digits": 64.0}  # kimg: where healthy runs are good
PRIMARY = {"ring": "mode_kl", "grid": "mode_kl", "digits": "frechet_digits_cnn"}
SEVERITIES = ("mild", "medium", "strong")
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One run of the library; `fault` is "" for a healthy configuration, whose name is `name`."""

    name: str
    preset: str
    fault: str = ""
    severity: int = 0

    def recipe(self, seed: int) -> Recipe:
        """What is played."""
        edit: Mapping[str, Any]
        if self.fault:
            edit = {**setting(self.preset, seed), **FAULTS[self.fault].edits[self.severity]}
        else:
            edit = CONFIGURATIONS[self.name][1]
        kimg = BUDGETS[self.preset]
        pace = {"kimg": kimg, "evaluation.every_kimg": kimg / 12, "checkpoint.every_kimg": kimg}
        aside = {"data.held_out": 0.1} if self.preset == "digits" else {}
        return load(self.preset).edit({**pace, **aside, **edit, "seed": seed})


def library() -> list[Case]:
    """Every case: healthy ones first, since they say what harm is."""
    well = [Case(name, preset) for name, (preset, _) in CONFIGURATIONS.items()]
    sick = [
        Case(f"{name} / {preset} / {SEVERITIES[severity]}", preset, name, severity)
        for name, fault in FAULTS.items()
        for preset in fault.presets
        for severity in range(3)
    ]
    return well + sick


def equipoise_says(trace: Trace) -> list[str]:
    """Our own findings, the surest first, where the verdict is sick."""
    diagnosis = diagnose(trace)
    return [f.failure for f in diagnosis.findings] if diagnosis.verdict == "sick" else []


TOOLS: dict[str, Tool] = {"equipoise": equipoise_says, **PEERS}


def play(case: Case, seed: int, folder: Path) -> Row:
    """One run, told by every tool; the trace is kept, so that rules can be judged again."""
    place = folder / f"{case.name}-{seed}".replace("/", "_").replace(" ", "-")
    recipe = case.recipe(seed)
    result = place.with_suffix(".json")
    played: Row = json.loads(result.read_text()) if result.is_file() else {}
    if played.get("recipe") != recipe.content_hash():
        shutil.rmtree(place, ignore_errors=True)
        outcome = train(recipe, place).outcome
        primary = outcome.metrics.get(PRIMARY[case.preset], float("nan"))
        played = {"recipe": recipe.content_hash(), "primary": repr(primary), "steps": outcome.step}
        shutil.rmtree(place / "checkpoints", ignore_errors=True)
        shutil.rmtree(place / "samples", ignore_errors=True)
        result.write_text(json.dumps(played))
    trace = Trace.read(place)
    said = {name: tool(trace) for name, tool in TOOLS.items()}
    return {**vars(case), "seed": seed, **played, "said": said}


def measure(wanted: list[Case], seeds: int, workers: int, folder: Path) -> Iterator[Row]:
    """Every case on every seed, seed by seed."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [pool.submit(play, case, seed, folder) for seed in range(seeds) for case in wanted]
        for job in as_completed(jobs):
            yield job.result()


def limits(rows: list[Row]) -> dict[str, float]:
    """By preset: the worst primary metric of its healthy runs."""
    found: dict[str, float] = {}
    for row in rows:
        if not row["fault"]:
            value = float(row["primary"])
            found[row["preset"]] = max(found.get(row["preset"], 0.0), value)
    return found


def harmed(row: Row, bounds: Mapping[str, float]) -> bool:
    """Whether the fault shows in the samples at all."""
    value = float(row["primary"])
    return not value <= bounds.get(row["preset"], float("inf"))


def score(rows: list[Row], tool: str) -> dict[str, float]:
    """Recall over what harms, by any finding, first name and first three; and false alarms."""
    bounds = limits(rows)
    bad = [r for r in rows if r["fault"] and harmed(r, bounds)]
    well = [r for r in rows if not r["fault"]]

    def share(hit: Callable[[list[str], tuple[str, ...]], bool]) -> float:
        right = [hit(r["said"][tool], FAULTS[r["fault"]].right) for r in bad]
        return sum(right) / len(right) if right else float("nan")

    return {
        "harmful runs": len(bad),
        "detected": share(lambda said, right: bool(said)),
        "named first": share(lambda said, right: bool(said) and said[0] in right),
        "named in three": share(lambda said, right: bool(set(said[:3]) & set(right))),
        "healthy runs": len(well),
        "false alarms": sum(bool(r["said"][tool]) for r in well),
        "per 1,000 steps": 1000
        * sum(bool(r["said"][tool]) for r in well)
        / max(sum(r["steps"] for r in well), 1),
    }


def by_fault(rows: list[Row]) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Harmful runs of each fault, how many were named first, and what was said first."""
    bounds = limits(rows)
    table: dict[str, tuple[int, int, dict[str, int]]] = {}
    for name, fault in FAULTS.items():
        here = [r for r in rows if r["fault"] == name and harmed(r, bounds)]
        first = [(r["said"]["equipoise"] or ["nothing"])[0] for r in here]
        counts = {said: first.count(said) for said in sorted(set(first))}
        table[name] = (len(here), sum(said in fault.right for said in first), counts)
    return table


def section(stored: dict[str, Any]) -> str:
    """The scores and the confusion table as Markdown."""
    rows = stored["rows"]
    seeds = len({row["seed"] for row in rows})
    asked = [tool for tool in ("equipoise", *RULES, *PACKAGES) if tool in rows[0]["said"]]
    scores = {tool: score(rows, tool) for tool in asked}
    names = list(next(iter(scores.values())))
    lines = [_cells(["tool", *names]), _cells(["---"] * (len(names) + 1))]
    for tool, found in scores.items():
        lines.append(_cells([tool, *(f"{found[name]:.3g}" for name in names)]))
    for tool in PACKAGES.keys() - set(asked):
        lines.append(_cells([tool, "not installed", *["-"] * (len(names) - 1)]))
    table = [_cells(["fault", "right", "harmful", "named", "said first"]), _cells(["---"] * 5)]
    for name, (count, named, counts) in by_fault(rows).items():
        said = ", ".join(f"{failure} {n}" for failure, n in counts.items())
        table.append(
            _cells([name, ", ".join(FAULTS[name].right), str(count), str(named), said or "-"])
        )
    about = (
        f"`python -m benchmarks.diagnosis`, {stored['date']}, {stored['machine']}, {seeds} seeds."
        " *harmful*: the primary metric ends worse than on any healthy run of the preset."
    )
    return "\n\n".join(["## Diagnosis", about, "\n".join(lines), "\n".join(table)])


def _cells(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def main() -> int:
    """Parse, measure, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="cases by name")
    parser.add_argument("--folder", type=Path, default=Path("runs/diagnosis"))
    options = parser.parse_args()
    wanted = [c for c in library() if options.only is None or c.name in options.only]
    if not wanted:
        parser.error(f"no such case (there are {len(library())}, such as {library()[0].name!r})")
    rows = []
    for row in measure(wanted, options.seeds, options.workers, options.folder):
        rows.append(row)
        said = ", ".join(row["said"]["equipoise"]) or "nothing"
        print(f"{row['name']} seed {row['seed']}: {float(row['primary']):.4g}  {said}", flush=True)
    if options.only is None:
        about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": cells.hardware()}
        write_text(RESULTS, json.dumps({**about, "rows": rows}, indent=1) + "\n")
    print(json.dumps({tool: score(rows, tool) for tool in TOOLS}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
