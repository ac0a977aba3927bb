"""CPU seconds of our metrics against other tools, on the same features, interleaved in one process.

    python -m benchmarks.metrics [ROW ...] [--n 10000] [--d 2048] [--rounds 3] [--threads 2]

Rows come from `benchmarks/metric_rows/`; another file there with a dict `ROWS` adds its own. The
figure is peer / ours, the median over rounds with its range; ends with 1 where one misses its
mark. Marks hold at the default sizes; at others they are printed and not judged.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings

import torch

from benchmarks.metric_rows import OURS, Options, Outcome, rows

USUAL = Options(n=10_000, d=2048, rounds=3)


def table(name: str, outcome: Outcome) -> str:
    """One line for each contestant of a row."""
    lines = []
    for who, taken in outcome.seconds.items():
        line = f"{name:14} {who:16} {statistics.median(taken):8.2f} s  {outcome.values[who]:14.8g}"
        if who != OURS:
            ratios = outcome.ratios(who)
            line += f"  {statistics.median(ratios):6.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
            line += f", mark {outcome.marks.get(who, 0.0):g}"
        lines.append(line)
    lines += [f"{name:14} {who:16} absent: {why}" for who, why in outcome.absent.items()]
    return "\n".join(lines)


def main() -> int:
    """Parse, measure, print; 1 where a mark is missed at the usual sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    known = rows()
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(known))
    parser.add_argument("--n", type=int, default=USUAL.n)
    parser.add_argument("--d", type=int, default=USUAL.d)
    parser.add_argument("--rounds", type=int, default=USUAL.rounds)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    strangers = set(options.rows) - set(known)
    if strangers:
        parser.error(f"no row {', '.join(sorted(strangers))} (there are {', '.join(known)})")
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # peers warn of their buffers
    at = Options(options.n, options.d, options.rounds)
    missed = False
    for name in options.rows or known:
        outcome = known[name](at)
        print(table(name, outcome), flush=True)
        missed |= not all(outcome.met(who) for who in outcome.seconds if who != OURS)
    return int(missed and (at.n, at.d) == (USUAL.n, USUAL.d))


if __name__ == "__main__":
    sys.exit(main())
