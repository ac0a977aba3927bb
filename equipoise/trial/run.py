"""One watched run: training with the monitor as an observer, judged at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from equipoise.clinic import diagnose
from equipoise.errors import RecordError, StopTraining
from equipoise.monitor import Monitor, OnFinding
from equipoise.recipe import Recipe, load
from equipoise.record import Diagnosis, Trace, write_text
from equipoise.training import (
    CONTINUE,
    Answer,
    Continue,
    Game,
    Iteration,
    Observer,
    Outcome,
    Stop,
    resume,
    start,
)
from equipoise.trial.guard import Rollbacks

DIAGNOSIS = "diagnosis.json"
RunGuard = OnFinding | Literal["rollback"]
ROWS = 60  # readings that a short run should leave
FEWEST, MOST = 8, 100  # iterations between readings
PROBED, COMPARED = 64, 1024  # samples that probes look at, and reals they are compared with


@dataclass(frozen=True)
class Run:
    """A finished, watched run."""

    outcome: Outcome
    diagnosis: Diagnosis
    run_dir: Path

    @property
    def trace(self) -> Trace:
        """What the run left."""
        return Trace.read(self.run_dir)

    @property
    def recipe(self) -> Recipe:
        """What was played."""
        return load(self.run_dir / "recipe.yaml")


def reading_interval(recipe: Recipe) -> int:
    """Iterations between readings: `ROWS` of them in a short run, one in `MOST` in a long one."""
    return max(FEWEST, min(MOST, recipe.iterations // ROWS))


class Watcher:
    """The monitor as an observer of our own loop, on a schedule fixed by the step alone."""

    def __init__(
        self,
        run_dir: Path,
        on_finding: RunGuard = None,
        on_tick: Callable[[Trace], None] | None = None,
    ) -> None:
        """`on_finding`: as the monitor's, or "rollback": see `equipoise.trial.guard.Rollbacks`."""
        self.run_dir = run_dir
        self.monitor: Monitor | None = None
        self.interval = MOST
        self._rollbacks = Rollbacks() if on_finding == "rollback" else None
        self._on_finding = self._rollbacks if on_finding == "rollback" else on_finding
        self._on_tick = on_tick
        self._game: Game | None = None

    def begin(self, game: Game, step: int) -> None:
        """Attach to the players; after a resume, go on from what the trace holds."""
        self._game = game
        self.interval = reading_interval(game.recipe)
        self.monitor = Monitor(
            game.generator,
            game.discriminator,
            game.optimizers["generator"],
            game.optimizers["discriminator"],
            held_out=game.held_out,
            training=game.source.reals(_compared(game), game.recipe.seed),
            latents=game.z("z/probe", 0, PROBED),
            penalties={name: p.gamma for name, p in game.recipe.penalties.items()},
            objective=game.recipe.objective.name,
            run_dir=self.run_dir,
            on_finding=self._on_finding,
            tick=self.interval,
            schedule="fixed",
            stride=self.interval,
        )
        trace = Trace.read(self.run_dir)
        images = step * game.recipe.images_per_iteration
        self.monitor.adopt(trace, step, images, updates_at(trace, step, game.recipe))

    def after(self, iteration: Iteration) -> Answer:
        """Show the iteration to the monitor."""
        assert self.monitor is not None
        closes = iteration.step % self.interval == 0  # once a tick: an addition a step would cost
        penalties = {f"penalty/{n}": v for n, v in iteration.penalties.items() if closes}
        try:
            self.monitor.observe(
                real=iteration.real,
                fake=iteration.fake,
                real_logits=iteration.real_logits,
                fake_logits=iteration.fake_logits,
                losses=iteration.losses,
                step=iteration.step,
                **penalties,
            )
        except StopTraining as wish:
            return Stop(str(wish))
        if self._on_tick is not None and closes:
            self._on_tick(self.monitor.trace())
        if self._rollbacks is None or self._game is None:
            return CONTINUE
        return self._rollbacks.answer(self._game)

    def measured(self, step: int, metrics: Mapping[str, float]) -> None:
        """Let rules see the evaluation."""
        if self.monitor is not None:
            self.monitor.record(step, metrics)

    def end(self) -> None:
        """Detach."""
        if self.monitor is not None:
            self.monitor.close()


def _compared(game: Game) -> int:
    """Training reals that the probes see: many only where held-out ones are there to compare."""
    return COMPARED if game.held_out is not None else PROBED


def updates_at(trace: Trace, step: int, recipe: Recipe) -> dict[str, int]:
    """Updates of each player at `step`: the last reading's, and the iterations since then."""
    each = {
        "generator": recipe.balance.generator_steps,
        "discriminator": recipe.balance.discriminator_steps,
    }
    counts = {}
    for player, steps in each.items():
        read = trace.series(f"updates/{player}").until(step)
        last, at = (int(read.values[-1]), int(read.steps[-1])) if len(read) else (0, 0)
        counts[player] = last + steps * (step - at)
    return counts


def train(
    recipe: Recipe,
    run_dir: str | Path,
    observers: Sequence[Observer] = (),
    on_finding: RunGuard = None,
    on_tick: Callable[[Trace], None] | None = None,
) -> Run:
    """Play `recipe` in the new directory `run_dir`, watched, and judge it.

    `on_finding`: "warn" prints, "stop" ends the run, "rollback" goes back to before the onset and
    on under the finding's first remedy that a run under way can take, a callable is called.

    Raises:
        RecipeError, DataError, RecordError: before anything is left behind.
    """
    folder = Path(run_dir)
    watcher = Watcher(folder, on_finding, on_tick)
    return _judged(start(recipe, folder, (watcher, *observers)))


def carry_on(
    run_dir: str | Path,
    observers: Sequence[Observer] = (),
    on_finding: RunGuard = None,
    on_tick: Callable[[Trace], None] | None = None,
) -> Run:
    """Go on with the run in `run_dir` from its newest checkpoint, watched, and judge it."""
    folder = Path(run_dir)
    watcher = Watcher(folder, on_finding, on_tick)
    return _judged(resume(folder, (watcher, *observers)))


def _judged(outcome: Outcome) -> Run:
    diagnosis = diagnose(Trace.read(outcome.run_dir))
    text = json.dumps(diagnosis.to_dict(), indent=1)
    write_text(outcome.run_dir / DIAGNOSIS, text)
    return Run(outcome, diagnosis, outcome.run_dir)


def read_diagnosis(run_dir: Path) -> Diagnosis:
    """The judgement that a run ended with.

    Raises:
        RecordError: there is none; judge the trace instead.
    """
    path = run_dir / DIAGNOSIS
    try:
        return Diagnosis.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise RecordError(
            f"cannot read {path}: {error}; run: equipoise diagnose {run_dir}"
        ) from error


__all__ = ["Continue", "Run", "Watcher", "carry_on", "read_diagnosis", "train"]
