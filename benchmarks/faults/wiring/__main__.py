"""Is every planted wiring fault named, and no healthy loop flagged? One table.

    python -m benchmarks.faults.wiring [--seeds 1]

Ends with 1 when a fault is missed or a healthy loop flagged.
"""

from __future__ import annotations

import argparse
import sys

import torch

from benchmarks.faults.wiring.healthy import HEALTHY
from benchmarks.faults.wiring.score import Row, played
from benchmarks.faults.wiring.sick import FAULTS


def main() -> int:
    """Play every loop on every seed, print a line each, count what was missed."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--seeds", type=int, default=1)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    rows = [played(loop, right, s) for loop, right in FAULTS.items() for s in seeds]
    rows += [played(loop, (), s) for loop in HEALTHY for s in seeds]
    for row in rows:
        print(line(row))
    sick = [r for r in rows if r.right]
    well = [r for r in rows if not r.right]
    print(
        f"\n{sum(r.passed for r in sick)} of {len(sick)} faults named first,"
        f" {sum(not r.passed for r in well)} of {len(well)} healthy loops flagged"
    )
    return int(not all(r.passed for r in rows))


def line(row: Row) -> str:
    """One loop: what was expected, what was found, after how many iterations, in which words."""
    mark = "ok  " if row.passed else "MISS"
    found = ", ".join(row.found) or "nothing"
    return f"{mark} {row.name:42} {row.iterations:3} iterations  {found}  {row.summary}"


if __name__ == "__main__":
    sys.exit(main())
