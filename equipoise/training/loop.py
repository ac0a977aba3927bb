"""The training loop: one straight function, read from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from equipoise.recipe import Recipe
from equipoise.record import TraceWriter
from equipoise.training.checkpoint import Progress, save
from equipoise.training.dials import ema_decay
from equipoise.training.evaluation import evaluate, picture
from equipoise.training.game import Game
from equipoise.training.observer import (
    CONTINUE,
    Answer,
    Continue,
    Iteration,
    Observer,
    Rollback,
    Stop,
)
from equipoise.training.players import seed_layers
from equipoise.training.rounds import ROUNDS

INTERRUPTED = Stop("interrupted")


def play(
    game: Game,
    progress: Progress,
    run_dir: Path,
    trace: TraceWriter,
    observers: Sequence[Observer] = (),
    interrupted: Sequence[bool] = (),
) -> Answer:
    """Train until the budget is spent or somebody asks for an end; `progress` moves along.

    Everything random depends on (seed, images shown), so playing on from a checkpoint gives the
    weights that an unbroken run would have. `interrupted` is looked at after every iteration: once
    it holds anything, the state is saved and the loop ends.
    """
    recipe, round_ = game.recipe, ROUNDS[game.recipe.balance.order]
    began = time.perf_counter() - progress.seconds
    answer: Answer = CONTINUE

    while not spent(recipe, progress) and isinstance(answer, Continue):
        before = progress.images
        game.settle(before)
        seed_layers(recipe.seed, before, game.device)

        played = round_(game, before, progress.step)
        progress.images += recipe.images_per_iteration
        game.follow(ema_decay(recipe, before))

        progress.step += 1
        progress.seconds = time.perf_counter() - began
        iteration = Iteration(
            step=progress.step,
            images=progress.images,
            seconds=progress.seconds,
            real=played.real,
            fake=played.fake,
            real_logits=played.discriminator.real_logits,
            fake_logits=played.discriminator.fake_logits,
            losses={
                "discriminator": played.discriminator.loss.detach(),
                "generator": played.generator.loss.detach(),
            },
            penalties={**played.discriminator.penalties, **played.generator.penalties},
        )
        answer = _ask(observers, iteration)
        if interrupted:
            answer = INTERRUPTED
        done = spent(recipe, progress)

        # once in a while: measure and picture
        if done or _due(before, progress.images, recipe.evaluation.every_kimg):
            metrics = evaluate(game)
            named = {f"metric/{name}": value for name, value in metrics.items()} | game.said()
            trace.row(progress.step, iteration.kimg, progress.seconds, named)
            picture(game, run_dir, trace, progress.step)
            for observer in observers:
                observer.measured(progress.step, named)

        # once in a while: save (never what a rollback leaves: it would push out where it goes)
        ends = done or isinstance(answer, Stop)
        due = ends or _due(before, progress.images, recipe.checkpoint.every_kimg)
        if due and not isinstance(answer, Rollback):
            save(run_dir, game, progress, recipe.checkpoint.keep)

    return answer


def spent(recipe: Recipe, progress: Progress) -> bool:
    """Whether the budget of reals has been shown; images count the same whatever is edited."""
    return progress.images >= max(1, round(recipe.kimg * 1000))


def _ask(observers: Sequence[Observer], iteration: Iteration) -> Answer:
    """Ask everybody; the first who wants something else than to go on decides."""
    answers = [observer.after(iteration) for observer in observers]
    return next((a for a in answers if not isinstance(a, Continue)), CONTINUE)


def _due(before: int, now: int, every_kimg: float) -> bool:
    """Whether the count of reals has passed a multiple of `every_kimg`."""
    every = max(1, round(every_kimg * 1000))
    return now // every > before // every
