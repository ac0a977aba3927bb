"""What watching costs: a hand-written loop with our monitor, and with those one gets elsewhere.

    python -m benchmarks.overhead [--games NAME ...] [--rounds 400] [--peer-rounds 60] [--steps 5]

Two copies of one game play in one process, one watched and one not, in short blocks of steps whose
order is drawn anew each round. Beside each ratio stands the null control, where neither is watched.
Four figures: the monitor's own account of its time over its loop's; the ratio of medians of the
blocks, in wall and in CPU time; and the ratio of the sums, since a monitor that reads now and then
does not show in a median. Afterwards both copies must hold the same weights, bit by bit.

A package that is not installed is a row that says so. `wandb` writes from a process of its own,
whose CPU time is not counted.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks import cells
from benchmarks.foreign_loop import GAMES, Loop, loop_of
from benchmarks.watchers import OURS, PEERS, Attach
from equipoise.monitor import Monitor
from equipoise.record import write_text

RESULTS = Path(__file__).parent / "results" / "overhead.json"
DEFAULT, DENSE = "equipoise, default", "equipoise, every reading at every step"
OWN_MARKS = {DEFAULT: 0.01, DENSE: 0.05}  # the monitor's time over its loop's
RATIO_MARK = 1.02  # watched over unwatched at the default, ratio of medians
PRESETS = ["digits DCGAN", "ring MLP"]  # stored; the others by --games
WARM = 10  # steps of each before the first block
Row = dict[str, Any]
Block = tuple[float, float]  # wall and CPU seconds
Spent = tuple[float, float, float]  # seconds: own, of it on probes, of the loop


def measure(game: str, tool: str, attach: Attach, rounds: int, steps: int) -> Row:
    """One tool on one game against the same game alone."""
    off, on = loop_of(game), loop_of(game)
    with tempfile.TemporaryDirectory() as folder:
        try:
            monitor = attach(on, Path(folder))
        except ImportError as error:
            return {"game": game, "tool": tool, "missing": str(error)}
        for loop in (off, on):
            _block(loop, WARM)
        before = _spent(monitor)
        blocks: dict[str, list[Block]] = {"off": [], "on": []}
        order = random.Random(0)
        for _ in range(rounds):
            for kind in order.sample(["off", "on"], 2):
                blocks[kind].append(_block(on if kind == "on" else off, steps))
                if kind == "off" and monitor is not None:  # its clock stands while the other plays
                    monitor._governor._began += blocks["off"][-1][0]
        own, probes = _account(before, _spent(monitor)) if monitor is not None else (None, None)
        on.close()
    same = all(torch.equal(a, b) for a, b in zip(off.weights(), on.weights(), strict=True))
    return {
        "game": game,
        "tool": tool,
        "steps": rounds * steps,
        "milliseconds": 1e3 * statistics.median(b[0] for b in blocks["off"]) / steps,
        "own": own,
        "probes": probes,
        **_ratios(blocks),
        "same weights": same,
    }


def _spent(monitor: Monitor | None) -> Spent:
    """The monitor's own time so far, how much of it on probes, and its loop's."""
    if monitor is None:
        return 0.0, 0.0, 0.0
    governor = monitor._governor
    return governor.spent, governor._purses.get("probe", 0.0), governor.elapsed


def _account(before: Spent, after: Spent) -> tuple[float, float]:
    """Own time and probes over the loop's time, after the first steps, which load kernels."""
    own, probes, loop = (b - a for a, b in zip(before, after, strict=True))
    return own / loop, probes / loop


def _block(loop: Loop, steps: int) -> Block:
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(steps):
        loop.step()
    return time.perf_counter() - began, time.process_time() - busy


def _ratios(blocks: dict[str, list[Block]]) -> dict[str, float]:
    """Watched over unwatched: of medians and of sums, in wall and CPU time."""
    found = {}
    for at, clock in enumerate(("wall", "cpu")):
        on, off = ([b[at] for b in blocks[kind]] for kind in ("on", "off"))
        found[clock] = statistics.median(on) / statistics.median(off)
        found[f"{clock}, sum"] = sum(on) / sum(off)
    return found


def rows(games: list[str], rounds: int, peer_rounds: int, steps: int) -> Iterator[Row]:
    """Ours at full length, the others shorter: their ratios are far from 1."""
    for game in games:
        for tools, count in ((OURS, rounds), (PEERS, peer_rounds)):
            for tool, attach in tools.items():
                yield measure(game, tool, attach, count, steps)


def misses(row: Row) -> list[str]:
    """The marks that this row misses, in words."""
    found = []
    tool, where = row["tool"], f"{row['tool']}, {row['game']}"
    if tool in OWN_MARKS and not _marked(row) <= OWN_MARKS[tool]:  # NaN: no tick was closed
        found.append(f"{where}: own time {_marked(row):.4f}, at most {OWN_MARKS[tool]}")
    for clock in ("wall", "cpu") if tool == DEFAULT else ():
        if row[clock] > RATIO_MARK:
            found.append(f"{where}: {row[clock]:.3f} x the step ({clock}), at most {RATIO_MARK}")
    if tool in OWN_MARKS and not row["same weights"]:
        found.append(f"{where}: other weights than without")
    return found


def _marked(row: Row) -> float:
    """All of it at the default; under a fixed schedule readings alone, a probe each tick aside."""
    return float(row["own"] - (row["probes"] if row["tool"] == DENSE else 0.0))


HEAD = [
    "tool",
    "own time",
    "of it probes",
    "wall",
    "CPU",
    "wall, sum",
    "CPU, sum",
    "same weights",
    "steps",
]


def section(stored: dict[str, Any]) -> str:
    """A table for each game as Markdown."""
    about = (
        f"`python -m benchmarks.overhead`, {stored['date']}, {stored['machine']}. A loop written by"
        " hand, watched over unwatched: two copies of the game in one process, blocks of"
        f" {stored['block']} steps in shuffled order, after {WARM} steps that load kernels. *own"
        " time*: the monitor's own account over its loop's time; *of it probes*: passes of the"
        " networks, one a tick. *wall*, *CPU*: ratio of the medians of the blocks; *sum*: of the"
        " sums. Marks: own time at most"
        f" {OWN_MARKS[DEFAULT]} at the default and {OWN_MARKS[DENSE]} with every reading at every"
        f" step (readings alone; updates and batches at every tenth), ratio at most {RATIO_MARK} at"
        " the default. Cockpit watches the generator's step alone, since BackPACK cannot follow a"
        " discriminator's two passes; wandb's own process is not in the CPU time."
    )
    parts = ["## What watching costs", about]
    for game in dict.fromkeys(row["game"] for row in stored["rows"]):
        here = [row for row in stored["rows"] if row["game"] == game]
        step = next(row["milliseconds"] for row in here if "missing" not in row)
        lines = [HEAD, ["---"] * len(HEAD), *(_line(row) for row in here)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts += [f"### {game}, {step:.1f} ms a step", table]
    return "\n\n".join(parts)


def _line(row: Row) -> list[str]:
    if "missing" in row:
        return [row["tool"], f"not installed: {row['missing']}", *["-"] * (len(HEAD) - 2)]
    own = ["-" if row[name] is None else f"{row[name]:.4f}" for name in ("own", "probes")]
    ratios = [f"{row[name]:.3f}" for name in ("wall", "cpu", "wall, sum", "cpu, sum")]
    return [row["tool"], *own, *ratios, "yes" if row["same weights"] else "no", str(row["steps"])]


def main() -> int:
    """Parse, measure, print, store; 1 where a mark is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--games", nargs="*", choices=GAMES, default=PRESETS, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--peer-rounds", type=int, default=60, help="0 leaves the others out")
    parser.add_argument("--steps", type=int, default=5, help="in a block")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Full backward hook")  # the others' hooks
    torch.set_num_threads(1)
    found: list[Row] = []
    if options.peer_rounds == 0:
        PEERS.clear()
    for row in rows(options.games, options.rounds, options.peer_rounds, options.steps):
        found.append(row)
        print(f"{row['game']:26}", "  ".join(_line(row)), flush=True)
    if options.games == PRESETS and PEERS:
        about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": cells.hardware()}
        stored = {**about, "block": options.steps, "rows": found}
        write_text(RESULTS, json.dumps(stored, indent=1) + "\n")
    missed = [line for row in found if "missing" not in row for line in misses(row)]
    print("\n".join(missed) or "every mark is met")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
