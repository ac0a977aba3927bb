"""A run directory from its first file to its last: begin, play, resume."""

from __future__ import annotations

import contextlib
import json
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from equipoise._version import __version__
from equipoise.recipe import Recipe, dump, load
from equipoise.record import Trace, TraceWriter, write_text
from equipoise.training.build import build, parameter_count
from equipoise.training.checkpoint import Progress, forget_after, restore, save
from equipoise.training.directory import (
    RECIPE,
    STARTING,
    TRACE,
    beginning,
    holding,
    refuse_in_use,
    refuse_no_run,
    refuse_occupied,
)
from equipoise.training.evaluation import picture_reals
from equipoise.training.game import Game
from equipoise.training.loop import INTERRUPTED, play, spent
from equipoise.training.observer import Answer, Observer, Rollback, Stop
from equipoise.training.players import PLAYERS

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

    What a start that was killed before its first step left there is taken over.

    Raises:
        RecordError: the directory holds something, is in use, or cannot be written.
        RecipeError, DataError: the recipe or its data cannot be used; nothing is left behind.
    """
    run_dir = Path(run_dir)
    refuse_in_use(run_dir)
    refuse_occupied(run_dir)
    game = build(recipe)
    with holding(run_dir) as made:
        with beginning(run_dir, made), TraceWriter(run_dir / TRACE) as trace:
            _introduce(game, trace)
            for warning in recipe.warnings():
                trace.event(0, "warning", text=warning)
            picture_reals(game, run_dir, trace)
            write_text(run_dir / RECIPE, dump(recipe))
        with TraceWriter(run_dir / TRACE) as trace:
            return _played(game, Progress(), run_dir, trace, observers)


def resume(run_dir: Path, observers: Sequence[Observer] = ()) -> Outcome:
    """Go on with the run in `run_dir` from its newest checkpoint, to bitwise the same end.

    Raises:
        RecordError: no run there, in use, or its checkpoints are all damaged.
    """
    run_dir = Path(run_dir)
    refuse_no_run(run_dir)
    with holding(run_dir):
        (run_dir / STARTING).unlink(missing_ok=True)
        game = build(load(run_dir / RECIPE))
        progress = restore(run_dir, game)
        with TraceWriter(run_dir / TRACE) as trace:
            trace.resume(progress.step)
            _introduce(game, trace)
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
            with _watched(game, progress, observers):
                answer = play(game, progress, run_dir, trace, observers, interrupted)
            if not isinstance(answer, Rollback):
                break
            game, progress = _rolled_back(game, answer, run_dir, trace)
    outcome = _outcome(game, progress, run_dir, answer)
    write_text(run_dir / RESULT, json.dumps(_plain(outcome), indent=1))
    return outcome


@contextlib.contextmanager
def _watched(game: Game, progress: Progress, observers: Sequence[Observer]) -> Iterator[None]:
    """Every observer that began is told of the end, whatever happens."""
    with contextlib.ExitStack() as ends:
        for observer in observers:
            observer.begin(game, progress.step)
            ends.callback(observer.end)
        yield


def _rolled_back(
    game: Game, wish: Rollback, run_dir: Path, trace: TraceWriter
) -> tuple[Game, Progress]:
    """The newest checkpoint at or before `wish.step`, else the start, under the edited recipe.

    A kill at any moment in here leaves a run that resumes, under the recipe before or after.

    Raises:
        RecipeError: an edit that the recipe refuses.
        RecordError: an edit that changes the networks, or no checkpoint can be read.
    """
    edited = build(game.recipe.edit(wish.edits))
    progress = restore(run_dir, edited, until=wish.step, recipe=game.recipe)
    forget_after(run_dir, progress.step)
    save(run_dir, edited, progress, edited.recipe.checkpoint.keep, former=game.recipe)
    write_text(run_dir / RECIPE, dump(edited.recipe))
    trace.resume(progress.step)
    trace.event(progress.step, "rollback", asked=wish.step, edits=dict(wish.edits))
    _introduce(edited, trace)
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
        finished=spent(game.recipe, progress),
        interrupted=answer is INTERRUPTED,
        reason=answer.reason if isinstance(answer, Stop) else "",
    )


def _plain(outcome: Outcome) -> dict[str, Any]:
    metrics = {
        k: v if v == v and abs(v) != float("inf") else repr(v) for k, v in outcome.metrics.items()
    }
    return {**vars(outcome), "run_dir": outcome.run_dir.name, "metrics": metrics}


def _introduce(game: Game, trace: TraceWriter) -> None:
    """Header and facts; said again after a resume or rollback, since the later ones count."""
    recipe = game.recipe
    trace.header(
        name=recipe.name,
        objective=recipe.objective.name,
        chance=game.objective.chance[0],
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


def environment() -> dict[str, str]:
    """Versions and hardware, without names of machines or users."""
    return {
        "equipoise": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
    }


@contextlib.contextmanager
def _signals() -> Iterator[list[bool]]:
    """A list that a first Ctrl-C or SIGTERM makes true; a second one acts at once."""
    asked: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    found = {kind: signal.getsignal(kind) or signal.SIG_DFL for kind in kinds}
    former = {k: handler for k, handler in found.items() if handler is not signal.SIG_IGN}

    def note(_kind: int, _frame: FrameType | None) -> None:
        asked.append(True)
        give_back()

    def give_back() -> None:
        for kind, handler in former.items():
            signal.signal(kind, handler)

    for kind in former:  # an ignored signal stays ignored: a shell's background job, nohup
        signal.signal(kind, note)
    try:
        yield asked
    finally:
        give_back()
