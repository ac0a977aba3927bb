"""Runs on this machine: one process per cell, one core each."""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from equipoise.errors import EquipoiseError
from equipoise.recipe import Recipe, load

ATTEMPTS = 2  # a cell whose worker died is tried once more
Workers = SimpleQueue[ProcessPoolExecutor]


@dataclass(frozen=True)
class Cell:
    """One run of a trial: a recipe (seed included) and where it goes."""

    arm: str
    recipe: Recipe
    run_dir: Path


@dataclass(frozen=True)
class CellResult:
    """How a cell ended; `metrics` is empty and `reason` says why when it failed."""

    arm: str
    seed: int
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    verdict: str = ""
    reason: str = ""


def run_cells(
    cells: Sequence[Cell],
    done: Callable[[CellResult], None],
    workers: int | None = None,
) -> None:
    """Run every cell, at most `workers` (default: one per core) at a time; `done` gets each result.

    A run that raises is a result with its reason. A worker that dies costs its cell one retry.
    """
    lanes = max(1, min(workers or cores(), len(cells)))
    idle: Workers = SimpleQueue()
    for _ in range(lanes):
        idle.put(_worker())
    threads = ThreadPoolExecutor(lanes)
    try:
        for future in as_completed([threads.submit(_tried, cell, idle) for cell in cells]):
            done(future.result())
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
        while not idle.empty():
            idle.get().shutdown()


def _tried(cell: Cell, idle: Workers) -> CellResult:
    """The result of a cell on the next idle worker; a dead worker is replaced."""
    for _ in range(ATTEMPTS):
        worker = idle.get()
        try:
            return worker.submit(play, cell).result()
        except BrokenProcessPool:
            worker.shutdown()
            worker = _worker()
        finally:
            idle.put(worker)
    reason = f"its worker process died {ATTEMPTS} times"
    return CellResult(cell.arm, cell.recipe.seed, reason=reason)


def _worker() -> ProcessPoolExecutor:
    """A pool of one process, so that the cell that a death concerns is known."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    return ProcessPoolExecutor(1, mp_context=context)


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def play(cell: Cell) -> CellResult:
    """Play one cell, going on with what an interrupted sweep left of it."""
    began = time.perf_counter()
    try:
        metrics, verdict, reason = _watched(cell)
    except (EquipoiseError, MemoryError, ArithmeticError, RuntimeError) as error:
        metrics, verdict, reason = {}, "", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    return CellResult(cell.arm, cell.recipe.seed, metrics, seconds, verdict, reason)


def _watched(cell: Cell) -> tuple[dict[str, float], str, str]:
    from equipoise.trial.run import carry_on, train

    if _begun(cell):
        run = carry_on(cell.run_dir)
    else:
        shutil.rmtree(cell.run_dir, ignore_errors=True)
        run = train(cell.recipe, cell.run_dir)
    if run.outcome.interrupted:
        raise KeyboardInterrupt
    broken = [name for name, value in run.outcome.metrics.items() if not math.isfinite(value)]
    reason = f"{', '.join(broken)} not finite" if broken else ""
    return run.outcome.metrics, run.diagnosis.verdict, reason


def _begun(cell: Cell) -> bool:
    """Whether an earlier sweep left this very cell half done."""
    if not (cell.run_dir / "recipe.yaml").is_file():
        return False
    try:
        left = load(cell.run_dir)
    except EquipoiseError:
        return False
    return left.content_hash() == cell.recipe.content_hash() and left.seed == cell.recipe.seed
