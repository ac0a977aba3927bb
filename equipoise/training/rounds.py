"""One iteration: which player moves when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from equipoise.game import Extragradient, Move, consensus
from equipoise.training.controls import Rest
from equipoise.training.game import Game
from equipoise.training.step import (
    answered,
    discriminator_gradient,
    generator_gradient,
    held,
    judged,
    ready,
    shown,
    step,
)


@dataclass(frozen=True)
class Played:
    """What an iteration left: the last move of each player, and the images of it."""

    discriminator: Move
    generator: Move
    real: Tensor
    fake: Tensor


def alternating(game: Game, images: int, iteration: int) -> Played:
    """The discriminator's updates, then the generator's answers to its new weights."""
    b = game.recipe.balance
    rest = game.control("hold", Rest)
    d, real, fake = _discriminator_updates(game, images, iteration, rest)
    if rest is not None and rest.rests("generator"):
        return Played(d, answered(game, images, real), real, fake)
    for repeat in range(b.generator_steps):
        gammas = game.generator_gammas.at(images, iteration * b.generator_steps + repeat)
        g = generator_gradient(game, images, repeat, real, gammas)
        step(game, "generator")
    return Played(d, g, real, fake)


def _discriminator_updates(
    game: Game, images: int, iteration: int, rest: Rest | None
) -> tuple[Move, Tensor, Tensor]:
    steps, batch = game.recipe.balance.discriminator_steps, game.recipe.batch
    for k in range(steps):
        at = images + k * batch
        real, fake = shown(game, at)
        if rest is not None and rest.rests("discriminator"):
            move = judged(game, real, fake)
        else:
            gammas = game.gammas.at(images, iteration * steps + k)
            move = discriminator_gradient(game, at, real, fake, gammas)
            step(game, "discriminator")
        for control in game.controls.values():
            control.seen(move, batch)
    return move, real, fake


def simultaneous(game: Game, images: int, iteration: int) -> Played:
    """Both gradients at one point, then both steps."""
    played = _gradients(game, images, iteration)
    if game.recipe.balance.consensus > 0:
        _agree(game, images, played.real)
    step(game, "discriminator")
    step(game, "generator")
    _tell(game, played.discriminator)
    return played


def extragradient(game: Game, images: int, iteration: int) -> Played:
    """Both look a step ahead, then step from where they stood with the gradients found there."""
    players = {name: Extragradient(o) for name, o in game.optimizers.items()}
    played = _gradients(game, images, iteration)
    for name, player in players.items():
        ready(game, name)
        player.extrapolate()
    _gradients(game, images, iteration)
    for name, player in players.items():
        ready(game, name)
        player.step()
        held(game, name)
    _tell(game, played.discriminator)
    return played


def _gradients(game: Game, images: int, iteration: int) -> Played:
    real, fake = shown(game, images)
    gammas = game.gammas.at(images, iteration)
    d = discriminator_gradient(game, images, real, fake, gammas)
    g = generator_gradient(game, images, 0, real, game.generator_gammas.at(images, iteration))
    return Played(d, g, real, fake)


def _agree(game: Game, images: int, real: Tensor) -> None:
    """Add the gradient of gamma / 2 |v|^2, v of the adversarial losses alone, to both players'."""
    z = game.latents("z/generator/0", images, game.recipe.batch)
    with game.autocast():
        fake = game.generator(z)
        on_real, on_fake = game.discriminator(real), game.discriminator(fake)
        losses = (
            (game.objective.discriminator(on_real, on_fake).mean(), game.discriminator),
            (game.objective.generator(on_fake, on_real).mean(), game.generator),
        )
    pull = consensus([(loss, list(player.parameters())) for loss, player in losses])
    (game.recipe.balance.consensus * pull).backward()


def _tell(game: Game, move: Move) -> None:
    for control in game.controls.values():
        control.seen(move, game.recipe.batch)


ROUNDS: dict[str, Callable[[Game, int, int], Played]] = {
    "alternating": alternating,
    "simultaneous": simultaneous,
    "extragradient": extragradient,
}
