"""The gradient of each player at the present weights, and the step along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from equipoise.game import (
    CONSTRAINTS,
    PLAIN,
    WEIGHT_PENALTIES,
    Move,
    Setting,
    clip_by_norm,
    clip_by_value,
    discriminator_loss,
    frozen,
    pseudo_real,
)
from equipoise.game.logits import joined
from equipoise.training.controls import Anchors, Strength
from equipoise.training.game import Game
from equipoise.training.terms import generator_move

Weights = Mapping[str, float]


def shown(game: Game, images: int) -> tuple[Tensor, Tensor]:
    """The next reals, as they are to be seen, and fresh fakes without gradient."""
    batch = game.recipe.batch
    real = game.source.batch(game.recipe.seed, images, batch).to(game.device)
    if game.recipe.growth is not None:
        real = game.faded(real)
    with torch.no_grad(), game.autocast():
        fake = game.generator(game.latents("z/discriminator", images, batch))
    strength = game.control("pseudo_real", Strength)
    if strength is not None:
        real = pseudo_real(real, fake, strength.p)
    return real, fake


def discriminator_gradient(
    game: Game, images: int, real: Tensor, fake: Tensor, gammas: Weights
) -> Move:
    """Fill the discriminator's gradients; nothing steps."""
    on_weights = {n: g for n, g in gammas.items() if n in WEIGHT_PENALTIES}
    on_images = {n: g for n, g in gammas.items() if n not in on_weights}
    game.optimizers["discriminator"].zero_grad(set_to_none=True)
    moves = []
    for part in range(game.recipe.accumulate):
        mine, its = _part(game, real, part), _part(game, fake, part)
        move = _discriminator_move(game, images, part, mine, its, on_images)
        _backward(game, "discriminator", move.loss / game.recipe.accumulate)
        moves.append(move)
    move = _whole(moves)
    return _with_weights(game, move, on_weights) if on_weights else move


def _discriminator_move(
    game: Game, images: int, part: int, real: Tensor, fake: Tensor, gammas: Weights
) -> Move:
    setting, gammas = _setting(game, images, part, gammas)
    with game.autocast():
        return discriminator_loss(
            game.discriminator, game.objective, real, fake, gammas, game.joint, setting
        )


def _setting(game: Game, images: int, part: int, gammas: Weights) -> tuple[Setting, Weights]:
    """What the active penalties need beside the images."""
    setting = game.setting
    anchors = game.control("lecam", Anchors)
    if anchors is not None:
        setting = replace(setting, lecam=anchors.now)
        if anchors.now.updates == 0:
            gammas = {n: g for n, g in gammas.items() if n != "lecam"}
    if "zcr" in gammas:
        z = game.latents("z/discriminator", images, game.recipe.batch)
        step = game.z("z/nearby", images, game.recipe.batch) * game.recipe.consistency.latent_sigma
        with torch.no_grad(), game.autocast():
            setting = replace(setting, nearby=game.generator(_part(game, z + step, part)))
    return setting, gammas


def _with_weights(game: Game, move: Move, gammas: Weights) -> Move:
    """The move with penalties on the network's weights, in float32."""
    values = {name: WEIGHT_PENALTIES[name](game.network) for name in gammas}
    extra = torch.stack([gammas[name] * value for name, value in values.items()]).sum()
    _backward(game, "discriminator", extra)
    seen = {name: value.detach() for name, value in values.items()}
    return replace(move, loss=move.loss + extra, penalties={**move.penalties, **seen})


def judged(game: Game, real: Tensor, fake: Tensor) -> Move:
    """What the discriminator says while it rests: no penalty, no gradient."""
    with torch.no_grad(), game.autocast():
        return discriminator_loss(
            game.discriminator, game.objective, real, fake, None, game.joint, PLAIN
        )


def generator_gradient(game: Game, images: int, repeat: int, real: Tensor, gammas: Weights) -> Move:
    """Fill the generator's gradients against the discriminator as it stands; nothing steps."""
    game.optimizers["generator"].zero_grad(set_to_none=True)
    z = game.latents(f"z/generator/{repeat}", images, game.recipe.batch)
    moves = []
    with frozen(game.weights["discriminator"]):
        for part in range(game.recipe.accumulate):
            mine, its = _part(game, z, part), _part(game, real, part)
            move = generator_move(game, images, mine, its, gammas)
            _backward(game, "generator", move.loss / game.recipe.accumulate)
            moves.append(move)
    return _whole(moves)


def answered(game: Game, images: int, real: Tensor) -> Move:
    """What the generator would lose while it rests."""
    z = game.latents("z/generator/0", images, game.recipe.batch)
    with torch.no_grad():
        return generator_move(game, images, z, real, {}, plain=True)


def step(game: Game, player: str) -> None:
    """Move a player along the gradients that lie ready, clipped and unscaled."""
    ready(game, player)
    scaler = game.scalers.get(player)
    if scaler is None:
        game.optimizers[player].step()
    else:
        scaler.step(game.optimizers[player])
        scaler.update()
    held(game, player)


def ready(game: Game, player: str) -> None:
    """Unscale and clip the gradients."""
    optimizer, settings = game.optimizers[player], getattr(game.recipe.optimizer, player)
    scaler = game.scalers.get(player)
    if scaler is not None:
        scaler.unscale_(optimizer)
    if settings.clip_value is not None:
        clip_by_value(game.weights[player], settings.clip_value)
    if settings.clip_norm is not None:
        clip_by_norm(game.weights[player], settings.clip_norm)


def held(game: Game, player: str) -> None:
    """Hold the discriminator's weights to the recipe's constraint."""
    constraint = game.recipe.constraint
    if constraint is not None and player == "discriminator":
        CONSTRAINTS[constraint.name](game.network, constraint.bound)


def _backward(game: Game, player: str, loss: Tensor) -> None:
    scaler = game.scalers.get(player)
    (loss if scaler is None else scaler.scale(loss)).backward()


def _part(game: Game, whole: Tensor, part: int) -> Tensor:
    if game.recipe.accumulate == 1:
        return whole
    size = len(whole) // game.recipe.accumulate
    return whole[part * size : (part + 1) * size]


def _whole(moves: Sequence[Move]) -> Move:
    """One move of its parts: means of losses and penalties, logits one after the other."""
    if len(moves) == 1:
        return moves[0]
    first = moves[0]
    return Move(
        loss=torch.stack([m.loss.detach() for m in moves]).mean(),
        adversarial=torch.stack([m.adversarial for m in moves]).mean(),
        fake_logits=joined([m.fake_logits for m in moves]),
        real_logits=None
        if first.real_logits is None
        else joined([m.real_logits for m in moves if m.real_logits is not None]),
        penalties={
            name: torch.stack([m.penalties[name] for m in moves]).mean() for name in first.penalties
        },
    )
