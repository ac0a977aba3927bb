"""One update of each player."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from equipoise.game import Move, discriminator_loss, frozen, generator_loss
from equipoise.training.game import Game


def discriminator_update(
    game: Game, images: int, gammas: Mapping[str, float]
) -> tuple[Move, Tensor, Tensor]:
    """Show the next reals and fresh fakes to the discriminator; step it.

    Returns (move, real, fake).
    """
    batch = game.recipe.batch
    real = game.source.batch(game.recipe.seed, images, batch).to(game.device)
    with game.fabric.autocast():
        with torch.no_grad():
            fake = game.generator(game.z("z/discriminator", images, batch))
        move = discriminator_loss(
            game.discriminator, game.objective, real, fake, gammas, joint=game.joint
        )
    _descend(game, "discriminator", move)
    return move, real, fake


def generator_update(game: Game, images: int, repeat: int, real: Tensor) -> Move:
    """Move the generator against the discriminator as it stands."""
    batch = game.recipe.batch
    with game.fabric.autocast(), frozen(game.discriminator):
        fake = game.generator(game.z(f"z/generator/{repeat}", images, batch))
        move = generator_loss(game.discriminator, game.objective, fake, real)
        _descend(game, "generator", move)
    return move


def _descend(game: Game, player: str, move: Move) -> None:
    optimizer = game.optimizers[player]
    optimizer.zero_grad(set_to_none=True)
    game.fabric.backward(move.loss)
    optimizer.step()
