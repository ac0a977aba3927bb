"""A run directory: one process at a time, whole from its first moment, never half begun.

A start writes `.starting` first and `recipe.yaml` last, then removes `.starting`. So a directory
with `recipe.yaml` is a run that `resume` plays to its end, and one with `.starting` alone is what a
killed start left: it holds nothing of anybody else's, and the next start takes it over.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from equipoise.errors import RecordError
from equipoise.record import Lock, sweep_temporaries
from equipoise.record.atomic import unwritable

RECIPE = "recipe.yaml"
TRACE = "trace.jsonl"
SAMPLES = "samples"
LOCK = ".lock"
STARTING = ".starting"


@contextlib.contextmanager
def holding(run_dir: Path) -> Iterator[bool]:
    """Exclusive use of the directory, made if absent; what killed writers left is swept away.

    Yields whether the directory was made.

    Raises:
        RecordError: another process holds it, or it cannot be written; then none is left behind.
    """
    made = not run_dir.exists()
    lock = Lock(run_dir / LOCK)
    try:
        lock.acquire()
    except RecordError:
        _remove_empty(run_dir, made)
        raise
    try:
        sweep_temporaries(run_dir)
        yield made
    finally:
        lock.release()


@contextlib.contextmanager
def beginning(run_dir: Path, made: bool) -> Iterator[None]:
    """Write a run's first files in the block, `recipe.yaml` last: all of them, or none if it fails.

    Raises:
        RecordError: the directory holds something already, or the file system refused.
    """
    refuse_occupied(run_dir)
    try:
        _clear(run_dir)
        (run_dir / STARTING).touch()
        yield
        (run_dir / STARTING).unlink()
    except BaseException as error:
        _clear(run_dir)
        (run_dir / LOCK).unlink(missing_ok=True)
        _remove_empty(run_dir, made)
        if isinstance(error, OSError):
            raise unwritable(run_dir, error) from error
        raise


def refuse_occupied(run_dir: Path) -> None:
    """Refuse a place for a new run that holds anything but what a killed start left.

    Raises:
        RecordError: a file, a run, or a directory with something else in it.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise RecordError(f"run_dir = {str(run_dir)!r} is a file; give a new or empty directory")
    names = {path.name for path in run_dir.iterdir()} if run_dir.is_dir() else set()
    if RECIPE in names:
        raise RecordError(
            f"run_dir = {str(run_dir)!r} holds a run; go on with: equipoise resume {run_dir},"
            " or give a new directory"
        )
    foreign = sorted(names - {LOCK})
    if STARTING in names:
        foreign = [n for n in foreign if n not in {STARTING, TRACE, SAMPLES} and not _temporary(n)]
    if foreign:
        raise RecordError(
            f"run_dir = {str(run_dir)!r} is not empty (it holds {foreign[0]!r});"
            " give a new directory"
        )


def refuse_in_use(run_dir: Path) -> None:
    """Refuse at once a run that another process plays or starts, before anything costly is built.

    A `.lock` beside neither is somebody else's and stays untouched.

    Raises:
        RecordError: it is held.
    """
    if (run_dir / LOCK).exists() and any((run_dir / name).exists() for name in (RECIPE, STARTING)):
        with holding(run_dir):
            pass


def refuse_no_run(run_dir: Path) -> None:
    """Refuse a directory in which no run began.

    Raises:
        RecordError: it holds no recipe.
    """
    if (run_dir / RECIPE).is_file():
        return
    why = f"no {RECIPE}"
    if (run_dir / STARTING).exists():
        why = f"a start that was killed before its first step: no {RECIPE} yet"
    raise RecordError(
        f"{run_dir} holds no run to resume ({why}); begin one with:"
        f" equipoise train RECIPE --run-dir {run_dir}"
    )


def _clear(run_dir: Path) -> None:
    """Remove what a start writes, the sign that it is under way last."""
    sweep_temporaries(run_dir)
    shutil.rmtree(run_dir / SAMPLES, ignore_errors=True)
    for name in (RECIPE, TRACE, STARTING):
        (run_dir / name).unlink(missing_ok=True)


def _remove_empty(run_dir: Path, made: bool) -> None:
    if made:
        with contextlib.suppress(OSError):
            run_dir.rmdir()


def _temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")
