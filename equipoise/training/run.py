"""A run directory from its first file to its last: begin, play, resume."""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from equipoise._version import __version__
from equipoise.errors import RecordError
from equipoise.recipe import Recipe, dump, load
from equipoise.record import Lock, Trace, TraceWriter, sweep_temporaries, write_text
from equipoise.training.checkpoint import Progress, forget_after, restore, save
from equipoise.training.evaluation import picture_reals
from equipoise.training.game import PLAYERS, Game, build, parameter_count
from equipoise.training.loop import INTERRUPTED, play
from equipoise.training.observer import Answer, Observer, Rollback, Stop

RECIPE = "recipe.yaml"
RESULT = "result.json"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run_dir: where everything is.
        step, kimg, seconds: how far it went.
        metrics: the last evaluation, by name without "metric/".
        finished: whether the whole budget was spent.
        interrupted: whether a signal ended it.
        reason: why it ended early, "" otherwise.
    """

    run_dir: Path
    step: int
    kimg: float
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    finished: bool = True
    interrupted: bool = False
    reason: str = ""


def start(recipe: Recipe, run_dir: Path, observers: Sequence[Observer] = ()) -> Outcome:
    """Begin a new run in `run_dir`, which must be new or empty, and play it.

    Raises:
        RecordError: the directory holds something, is in use, or cannot be written.
        RecipeError, DataError: the recipe or its data cannot be used; nothing is left behind.
    """
    run_dir = Path(run_dir)
    _refuse_occupied(run_dir)
    game = build(recipe)
    with _holding(run_dir):
        with _all_or_nothing(run_dir):
            trace = TraceWriter(run_dir / "trace.jsonl")
            _introduce(game, trace)
            picture_reals(game, run_dir, trace)
            write_text(run_dir / RECIPE, dump(recipe))
        with trace:
            return _played(game, Progress(), run_dir, trace, observers)


def resume(run_dir: Path, observers: Sequence[Observer] = ()) -> Outcome:
    """Go on with the run in `run_dir` from its newest checkpoint, to bitwise the same end.

    Raises:
        RecordError: no run there, in use, or its checkpoints are all damaged.
    """
    run_dir = Path(run_dir)
    if not (run_dir / RECIPE).is_file():
        raise RecordError(f"{run_dir} is not a run directory (no {RECIPE}); start one with train")
    with _holding(run_dir):
        game = build(load(run_dir / RECIPE))
        progress = restore(run_dir, game)
        with TraceWriter(run_dir / "trace.jsonl") as trace:
            trace.resume(progress.step)
            if progress.step == 0:
                _introduce(game, trace)
                picture_reals(game, run_dir, trace)
            return _played(game, progress, run_dir, trace, observers)


def _played(
    game: Game,
    progress: Progress,
    run_dir: Path,
    trace: TraceWriter,
    observers: Sequence[Observer],
) -> Outcome:
    with _signals() as interrupted:
        while True:
            for observer in observers:
                observer.begin(game, progress.step)
            try:
                answer = play(game, progress, run_dir, trace, observers, interrupted)
            finally:
                for observer in observers:
                    observer.end()
            if not isinstance(answer, Rollback):
                break
            game, progress = _rolled_back(game, answer, run_dir, trace)
    outcome = _outcome(game, progress, run_dir, answer)
    write_text(run_dir / RESULT, json.dumps(_plain(outcome), indent=1))
    return outcome


def _rolled_back(
    game: Game, wish: Rollback, run_dir: Path, trace: TraceWriter
) -> tuple[Game, Progress]:
    """The state at a checkpoint before `wish.step`, under the edited recipe from then on."""
    progress = restore(run_dir, game, until=wish.step)
    edited = build(game.recipe.edit(wish.edits))
    for name, module in edited.modules.items():
        module.load_state_dict(game.modules[name].state_dict())
    for name, optimizer in edited.optimizers.items():
        optimizer.load_state_dict(game.optimizers[name].state_dict())
    edited.settle(progress.images)
    trace.resume(progress.step)
    trace.event(progress.step, "rollback", asked=wish.step, edits=dict(wish.edits))
    forget_after(run_dir, progress.step)
    write_text(run_dir / RECIPE, dump(edited.recipe))
    save(run_dir, edited, progress, edited.recipe.checkpoint.keep)
    return edited, progress


def _outcome(game: Game, progress: Progress, run_dir: Path, answer: Answer) -> Outcome:
    trace = Trace.read(run_dir)
    found = {n: s.last for n, s in trace.signals.items() if n.startswith("metric/")}
    return Outcome(
        run_dir=run_dir,
        step=progress.step,
        kimg=progress.images / 1000,
        seconds=progress.seconds,
        metrics={name.removeprefix("metric/"): value for name, value in found.items()},
        finished=progress.step >= game.recipe.iterations,
        interrupted=answer is INTERRUPTED,
        reason=answer.reason if isinstance(answer, Stop) else "",
    )


def _plain(outcome: Outcome) -> dict[str, Any]:
    metrics = {
        k: v if v == v and abs(v) != float("inf") else repr(v) for k, v in outcome.metrics.items()
    }
    return {**vars(outcome), "run_dir": outcome.run_dir.name, "metrics": metrics}


def _introduce(game: Game, trace: TraceWriter) -> None:
    recipe = game.recipe
    trace.header(
        name=recipe.name,
        objective=recipe.objective.name,
        players=list(PLAYERS),
        batch=recipe.batch,
        budget_steps=recipe.iterations,
        adversarial_start=0,
        recipe=recipe.to_dict(),
        recipe_hash=recipe.content_hash(),
    )
    trace.fact("environment", environment())
    for player in PLAYERS:
        trace.fact(f"parameters/{player}", parameter_count(game.modules[player]))
    for warning in recipe.warnings():
        trace.event(0, "warning", text=warning)


def environment() -> dict[str, str]:
    """Versions and hardware, without names of machines or users."""
    return {
        "equipoise": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
    }


def _refuse_occupied(run_dir: Path) -> None:
    if run_dir.exists() and not run_dir.is_dir():
        raise RecordError(f"run_dir = {str(run_dir)!r} is a file; give a new or empty directory")
    if run_dir.is_dir():
        with Lock(run_dir / ".lock") if (run_dir / ".lock").exists() else contextlib.nullcontext():
            pass
        if any(p.name != ".lock" for p in run_dir.iterdir()):
            known = (run_dir / RECIPE).is_file()
            way = f"go on with: equipoise resume {run_dir}" if known else "give a new directory"
            raise RecordError(f"run_dir = {str(run_dir)!r} is not empty; {way}")


@contextlib.contextmanager
def _holding(run_dir: Path) -> Iterator[None]:
    """Exclusive use of the directory, with what killed writers left swept away."""
    with Lock(run_dir / ".lock"):
        sweep_temporaries(run_dir)
        yield


@contextlib.contextmanager
def _all_or_nothing(run_dir: Path) -> Iterator[None]:
    """Leave no half-made run behind when the block fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(run_dir, ignore_errors=True)
        raise


@contextlib.contextmanager
def _signals() -> Iterator[list[bool]]:
    """A list that a first Ctrl-C or SIGTERM makes true; a second one acts at once."""
    asked: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    former = {kind: signal.getsignal(kind) for kind in kinds}

    def note(kind: int, _frame: FrameType | None) -> None:
        asked.append(True)
        signal.signal(kind, former[signal.Signals(kind)])

    for kind in kinds:
        signal.signal(kind, note)
    try:
        yield asked
    finally:
        for kind in kinds:
            signal.signal(kind, former[kind])
