"""Is the clinic right? Runs made sick on purpose and runs that learn, diagnosed and scored.

    python -m benchmarks.diagnosis [--seeds 5] [--healthy-seeds 12] [--only NAME ...] [--anew]
    python -m benchmarks.diagnosis --stored

A fault counts where it harms: where a measure of the samples ends outside of what healthy runs of
the same preset reach. Then the first finding must be one of its right names. Runs that
`benchmarks/corpus` holds are judged from there in seconds; what it lacks, and all with `--anew`, is
played: a seed of all faults takes one to two hours of a core, a seed of the healthy configurations
ten minutes. Finished runs are stored at once and not played again. Another tool enters by a
function `Trace -> list of failure ids, the first the surest` in `faults/peers.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import cells
from benchmarks.faults import corpus
from benchmarks.faults.library import FAULTS, Case, Row, library, play, played
from benchmarks.faults.peers import PACKAGES, PEERS, RULES, Tool
from equipoise.clinic import diagnose
from equipoise.record import Trace, write_text

RESULTS = Path(__file__).parent / "results" / "diagnosis.json"
BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of confidence


def equipoise_says(trace: Trace) -> list[str]:
    """Our own findings, the surest first, where the verdict is sick."""
    diagnosis = diagnose(trace)
    return [f.failure for f in diagnosis.findings] if diagnosis.verdict == "sick" else []


def signals_say(trace: Trace) -> list[str]:
    """The same without the recipe, as of a foreign loop."""
    header = {name: value for name, value in trace.header.items() if name != "recipe"}
    return equipoise_says(dataclasses.replace(trace, header=header))


OWN = {"equipoise": equipoise_says, "equipoise without the recipe": signals_say}
TOOLS: dict[str, Tool] = {**OWN, **PEERS}


def told(case: Case, seed: int, folder: Path, line: Row | None) -> Row:
    """One run, told by every tool; `line` is what the corpus holds of it."""
    row, trace = play(case, seed, folder, line)
    said = {name: tool(trace) for name, tool in TOOLS.items()}
    first = next(iter(diagnose(trace).findings), None)
    sure = {"confidence": first.confidence, "since": first.since} if said["equipoise"] else {}
    return {**row, "held_out": case.held_out(seed), "said": said, **sure}


def stored(known: Mapping[corpus.Place, Row]) -> list[Row]:
    """Every run of the corpus, told by our own rules; nothing is played."""
    cases = {case.name: case for case in library()}
    rows = []
    for (name, seed), line in known.items():
        trace, case = corpus.unpacked(line), cases[name]
        row = {**vars(case), "seed": seed, "held_out": case.held_out(seed)}
        row |= {key: line[key] for key in ("measures", "steps")}
        rows.append(row | {"said": {tool: says(trace) for tool, says in OWN.items()}})
    return rows


def by_seed(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Our scores on the faults of each seed, beside all healthy runs."""
    seeds = sorted({row["seed"] for row in rows if row["fault"]})
    return {
        f"{tool}, seed {seed}": score(
            [r for r in rows if not r["fault"] or r["seed"] == seed], tool
        )
        for tool in OWN
        for seed in seeds
    }


def measure(
    wanted: list[Case],
    seeds: int,
    healthy_seeds: int,
    workers: int,
    folder: Path,
    known: Mapping[corpus.Place, Row],
) -> Iterator[Row]:
    """Every case on every seed, seed by seed."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [
            pool.submit(told, case, seed, folder, known.get((case.name, seed)))
            for seed in range(max(seeds, healthy_seeds))
            for case in wanted
            if seed < (seeds if case.fault else healthy_seeds)
        ]
        for job in as_completed(jobs):
            yield job.result()


Bounds = Mapping[tuple[str, str], float]


def limits(rows: list[Row]) -> Bounds:
    """By preset and measure: the worst of its healthy runs."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        for name, value in row["measures"].items():
            key = row["preset"], name
            if not row["fault"]:
                found[key] = max(found.get(key, 0.0), float(value))
    return found


def harmed(row: Row, bounds: Bounds) -> bool:
    """Whether the fault shows in the samples at all."""
    return any(
        not float(value) <= bounds.get((row["preset"], name), float("inf"))
        for name, value in row["measures"].items()
    )


def score(rows: list[Row], tool: str) -> dict[str, float]:
    """Recall over what harms, by any finding, first name and first three; and false alarms."""
    bounds = limits(rows)
    bad = [r for r in rows if r["fault"] and harmed(r, bounds)]
    well = [r for r in rows if not r["fault"]]

    def share(hit: Callable[[list[str], tuple[str, ...]], bool], among: list[Row]) -> float:
        right = [hit(r["said"][tool], FAULTS[r["fault"]].right) for r in among]
        return sum(right) / len(right) if right else float("nan")

    def first(said: list[str], right: tuple[str, ...]) -> bool:
        return bool(said) and said[0] in right

    alarms = sum(bool(r["said"][tool]) for r in well)
    return {
        "harmful runs": len(bad),
        "detected": share(lambda said, right: bool(said), bad),
        "named first": share(first, bad),
        "held out": share(first, [r for r in bad if r["held_out"]]),
        "named in three": share(lambda said, right: bool(set(said[:3]) & set(right)), bad),
        "healthy runs": len(well),
        "false alarms": alarms,
        "per 1,000 steps": 1000 * alarms / max(sum(r["steps"] for r in well), 1),
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


def calibration(rows: list[Row]) -> list[tuple[str, int, float, float]]:
    """By confidence of the first finding: runs, mean confidence, share in which it was right.

    Right is a right name of the fault, harmful or not; on a healthy run nothing is.
    """
    bars = []
    for low, high in itertools.pairwise(BINS):
        here = [r for r in rows if low <= r.get("confidence", -1.0) < high + (high == 1.0)]
        if here:
            right = [r["said"]["equipoise"][0] in _right(r) for r in here]
            mean = statistics.fmean(r["confidence"] for r in here)
            bars.append((f"{low:.1f} to {high:.1f}", len(here), mean, statistics.fmean(right)))
    return bars


def _right(row: Row) -> tuple[str, ...]:
    return FAULTS[row["fault"]].right if row["fault"] else ()


def onset(rows: list[Row]) -> float:
    """Median of the first finding's onset over the run's length, where it was right.

    Every fault of the library is there from the first step, so this is the onset's error.
    """
    shares = [
        r["since"] / r["steps"]
        for r in rows
        if r["said"]["equipoise"] and r["said"]["equipoise"][0] in _right(r)
    ]
    return statistics.median(shares) if shares else float("nan")


def section(stored: dict[str, Any]) -> str:
    """The scores, the confusion table and the calibration as Markdown."""
    rows = stored["rows"]
    seeds = len({row["seed"] for row in rows if row["fault"]})
    about = (
        f"`python -m benchmarks.diagnosis`, {stored['date']}, {stored['machine']}, {seeds} seeds of"
        " each fault. *harmful*: a measure of the samples ends worse than on any healthy run of the"
        " preset; *held out*: named first, in objectives and architectures that no threshold was"
        f" set on. Median onset of right findings: {100 * onset(rows):.0f} % of the run, where 0 is"
        " exact; what the recipe alone makes sure of is dated at its start. *without the recipe*:"
        " what the same rules say of the signals alone, as of a foreign loop. Rules were last"
        " changed with what was missed on seeds 0 and 1 in view, and no later one."
    )
    parts = [about, _scores(rows), _confusion(rows), _calibrated(rows)]
    return "\n\n".join(["## Diagnosis", *parts])


def _scores(rows: list[Row]) -> str:
    asked = [tool for tool in (*OWN, *RULES, *PACKAGES) if tool in rows[0]["said"]]
    scores = {tool: score(rows, tool) for tool in asked}
    names = list(next(iter(scores.values())))
    lines = [_cells(["tool", *names]), _cells(["---"] * (len(names) + 1))]
    for tool, found in scores.items():
        lines.append(_cells([tool, *(f"{found[name]:.3g}" for name in names)]))
    for tool in PACKAGES.keys() - set(asked):
        lines.append(_cells([tool, "not installed", *["-"] * (len(names) - 1)]))
    return "\n".join(lines)


def _confusion(rows: list[Row]) -> str:
    table = [_cells(["fault", "right", "harmful", "named", "said first"]), _cells(["---"] * 5)]
    for name, (count, named, counts) in by_fault(rows).items():
        said = ", ".join(f"{failure} {n}" for failure, n in counts.items())
        table.append(
            _cells([name, ", ".join(FAULTS[name].right), str(count), str(named), said or "-"])
        )
    return "\n".join(table)


def _calibrated(rows: list[Row]) -> str:
    lines = [_cells(["confidence", "runs", "mean", "right"]), _cells(["---"] * 4)]
    for name, count, mean, right in calibration(rows):
        lines.append(_cells([name, str(count), f"{mean:.2f}", f"{right:.2f}"]))
    return "\n".join(lines)


def _cells(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def main() -> int:
    """Parse, measure, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--healthy-seeds", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="cases by name")
    parser.add_argument("--folder", type=Path, default=Path("runs/diagnosis"))
    parser.add_argument("--stored", action="store_true", help="judge the corpus, seed by seed")
    parser.add_argument("--anew", action="store_true", help="play what the corpus holds as well")
    options = parser.parse_args()
    if options.stored:
        print(json.dumps(by_seed(stored(corpus.read())), indent=1))
        return 0
    wanted = [c for c in library() if options.only is None or c.name in options.only]
    if not wanted:
        parser.error(f"no such case (there are {len(library())}, such as {library()[0].name!r})")
    rows = []
    seeds = options.seeds, options.healthy_seeds
    known = {} if options.anew else corpus.read()
    for row in measure(wanted, *seeds, options.workers, options.folder, known):
        rows.append(row)
        said = ", ".join(row["said"]["equipoise"]) or "nothing"
        reached = ", ".join(f"{float(value):.4g}" for value in row["measures"].values())
        print(f"{row['name']} seed {row['seed']}: {reached}  {said}", flush=True)
    if options.only is None:
        about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": cells.hardware()}
        corpus.write(corpus.packed(row, trace) for row, trace in played(options.folder))
        write_text(RESULTS, json.dumps({**about, "rows": rows}, indent=1) + "\n")
    print(json.dumps({tool: score(rows, tool) for tool in TOOLS}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
