"""Precision, recall, density, coverage: CPU seconds and peak memory beside package `prdc`.

Each row is a fresh process, so that neither sees the other's memory or threads. Features are
Gaussian, float32; the fakes are scaled by .97 so that no number is at its ceiling. Memory is what
the call adds to the process's peak (ru_maxrss), features and imports not counted; CPU seconds are
user and system time of all threads. `python -m benchmarks.prdc N D [N D ...]`
prints other sizes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

SIZES = ((4_000, 64), (4_000, 2048))
LARGE = ((10_000, 2048), (50_000, 64), (50_000, 2048))
PEER_BYTES = 14  # of memory that prdc needs for each pair: three (N, N) arrays and copies
MOST = 8e9  # bytes above which prdc is not started

CHILD = """
import contextlib, io, json, resource, sys, time
import numpy as np
who, n, d = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = np.random.default_rng(0)
real = draw.standard_normal((n, d), dtype=np.float32)
fake = draw.standard_normal((n, d), dtype=np.float32)
fake *= np.float32(0.97)
if who == "equipoise":
    from equipoise.metrics import prdc
    call = lambda: {k: m.value for k, m in prdc(real=real, fake=fake, k=5, ties="lt").items()}
else:
    from prdc import compute_prdc
    call = lambda: compute_prdc(real, fake, 5)
def spent():
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**20
cpu, memory, wall = spent(), peak(), time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    values = call()
row = {"cpu_s": spent() - cpu, "wall_s": time.perf_counter() - wall}
row |= {"added_mib": peak() - memory, "process_mib": peak()}
print(json.dumps(row | {k: float(v) for k, v in values.items()}))
"""


def rows(sizes: Sequence[tuple[int, int]] = SIZES) -> Iterator[dict[str, Any]]:
    """One row for each tool and size (N = M, d); the second tool's rows say how they compare."""
    for n, d in sizes:
        ours = _run("equipoise", n, d)
        yield ours
        yield _peer(ours, n, d)


def _peer(ours: dict[str, Any], n: int, d: int) -> dict[str, Any]:
    named: dict[str, Any] = {"metric": "prdc", "tool": "prdc", "n": n, "d": d}
    if importlib.util.find_spec("prdc") is None:
        return named | {"skipped": "prdc is not installed: pip install prdc==0.2"}
    if PEER_BYTES * n * n > MOST:
        need = PEER_BYTES * n * n / 2**30
        return named | {"skipped": f"prdc would need about {need:.0f} GiB"}
    theirs = _run("prdc", n, d)
    if "failed" in ours or "failed" in theirs:
        return theirs
    counts = ("precision", "recall", "density", "coverage")
    for name in ("cpu_s", "added_mib"):
        spent = float(ours[name])
        # a tiny set may add nothing to the peak of the imports
        theirs[f"{name}_ratio"] = float(theirs[name]) / spent if spent else None
    theirs["largest_difference"] = max(abs(float(theirs[c]) - float(ours[c])) for c in counts)
    return theirs


def _run(tool: str, n: int, d: int) -> dict[str, Any]:
    command = [sys.executable, "-c", CHILD, tool, str(n), str(d)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    named: dict[str, Any] = {"metric": "prdc", "tool": tool, "n": n, "d": d}
    if done.returncode:
        return named | {"failed": done.stderr.strip().splitlines()[-1:] or [done.returncode]}
    return named | json.loads(done.stdout)


if __name__ == "__main__":
    given = [int(a) for a in sys.argv[1:]]
    for row in rows(tuple(zip(given[::2], given[1::2], strict=True)) or SIZES):
        print(json.dumps(row), flush=True)
