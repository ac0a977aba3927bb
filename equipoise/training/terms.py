"""The generator's loss: the game, feature matching, how they are weighed, penalties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from equipoise.game import (
    WEIGHT_PENALTIES,
    Adaptive,
    Balancer,
    Move,
    Objective,
    adaptive_weight,
    balanced_gradient,
    captured,
    fixed_weight,
    generator_loss,
    latent_spread,
    mean_feature_matching,
    path_length,
    path_length_update,
    path_lengths,
    top_k_count,
    unrolled,
)
from equipoise.game.penalties import single_precision
from equipoise.training.controls import Balance, PathLengths, Settled
from equipoise.training.game import Game

Weights = Mapping[str, float]
MILLE = 1000  # a ramp counts whole images


def generator_move(
    game: Game, images: int, z: Tensor, real: Tensor, gammas: Weights, plain: bool = False
) -> Move:
    """What the generator descends for latents z; `plain` leaves all but the game out."""
    with game.autocast():
        fake = game.generator(z)
        if plain:
            return generator_loss(game.discriminator, game.objective, fake, real)
        move = _played(game, images, fake, real)
        for name, gamma in gammas.items():
            value = GENERATOR_PENALTIES[name](game, z, fake)
            penalties = {**move.penalties, name: value.detach()}
            move = replace(move, loss=move.loss + gamma * value, penalties=penalties)
    return move


def _played(game: Game, images: int, fake: Tensor, real: Tensor) -> Move:
    recipe = game.recipe
    if recipe.feature_matching.gamma == 0:
        return _answer(game, images, fake, real)
    with captured(game.hidden) as seen:
        move = _answer(game, images, fake, real)
        if recipe.balance.unroll is not None:  # its passes were of weights ahead
            seen.clear()
            game.discriminator(fake)
        on_fake = seen[: len(game.hidden)]
    with torch.no_grad(), captured(game.hidden) as on_real:
        game.discriminator(real)
    layers = zip(on_real, on_fake, strict=True)
    distance = torch.stack([mean_feature_matching(r, f) for r, f in layers]).mean()
    matching = recipe.feature_matching.gamma * distance
    loss = WEIGHED[recipe.weighting.name](game, images, fake, move.loss, matching)
    return replace(move, loss=loss, penalties={"feature_matching": distance.detach()})


def _answer(game: Game, images: int, fake: Tensor, real: Tensor) -> Move:
    """The adversarial loss, against the discriminator as it is or some steps ahead."""
    best, score = 1.0, game.discriminator
    chosen = game.recipe.balance.top_k
    if chosen is not None:
        epoch = images / MILLE / chosen.epoch_kimg
        best = top_k_count(len(fake), epoch, chosen.gamma, chosen.floor) / len(fake)
    ahead = game.recipe.balance.unroll
    if ahead is not None:
        loss = _discriminator_view(game.objective, real, fake)
        score = unrolled(game.discriminator, loss, ahead.steps, ahead.lr, ahead.through)  # type: ignore[assignment]  # a score scores
    return generator_loss(score, game.objective, fake, real, best)


def _discriminator_view(
    objective: Objective, real: Tensor, fake: Tensor
) -> Callable[[Callable[..., Tensor]], Tensor]:
    return lambda score: objective.discriminator(score(real), score(fake)).mean()


def _ramped(game: Game, images: int, other: Tensor) -> float:
    """The weight after its ramp, from `start_kimg` or from where the other term has settled."""
    w = game.recipe.weighting
    settled = game.control("plateau", Settled)
    if settled is not None:
        return w.weight * settled.ramp(images, other)
    start, length = round(w.start_kimg * MILLE), round(w.ramp_kimg * MILLE)
    return fixed_weight(w.weight, images, start, length)


def _fixed(game: Game, images: int, fake: Tensor, adversarial: Tensor, other: Tensor) -> Tensor:
    return _ramped(game, images, other) * adversarial + other


def _adaptive(game: Game, images: int, fake: Tensor, adversarial: Tensor, other: Tensor) -> Tensor:
    w = game.recipe.weighting
    settings = Adaptive(_ramped(game, images, other), w.largest, largest_share=w.largest_share)
    with torch.autocast(game.device.type, enabled=False):
        found = adaptive_weight(other, adversarial, fake, settings)
    return found.weight * adversarial + other


def _balanced(game: Game, images: int, fake: Tensor, adversarial: Tensor, other: Tensor) -> Tensor:
    """A loss with the balancer's gradient at the output and the plain sum's value."""
    gamma = game.recipe.feature_matching.gamma
    shares = {"adversarial": _ramped(game, images, other), "matching": gamma}
    control = game.control("balancer", Balance)
    assert control is not None
    losses = {"adversarial": adversarial, "matching": other}
    gradient, control.now = balanced_gradient(losses, fake, Balancer(shares), control.now)
    pull = (fake * gradient).sum()
    return pull + (adversarial + other - pull).detach()


WEIGHED: dict[str, Callable[[Game, int, Tensor, Tensor, Tensor], Tensor]] = {
    "fixed": _fixed,
    "adaptive": _adaptive,
    "balancer": _balanced,
}


def _path_length(game: Game, z: Tensor, fake: Tensor) -> Tensor:
    """(||J_z' y|| - a)^2, a the running mean; see `game.path_length`."""
    control = game.control("path_length", PathLengths)
    assert control is not None
    with single_precision(z) as (wide,):
        z = wide.detach().requires_grad_()
        lengths = path_lengths(game.generator(z), z)
    control.now = path_length_update(control.now, lengths)
    return path_length(lengths, control.now).mean()


def _latent_spread(game: Game, z: Tensor, fake: Tensor) -> Tensor:
    """-(G(z) - G(z + dz))^2; see `game.latent_spread`."""
    step = torch.randn_like(z) * game.recipe.consistency.latent_sigma
    return latent_spread(fake, game.generator(z + step)).mean()


def _on_weights(name: str) -> Callable[[Game, Tensor, Tensor], Tensor]:
    def value(game: Game, z: Tensor, fake: Tensor) -> Tensor:
        with torch.autocast(game.device.type, enabled=False):
            return WEIGHT_PENALTIES[name](game.generator)

    value.__doc__ = WEIGHT_PENALTIES[name].__doc__
    return value


GENERATOR_PENALTIES: dict[str, Callable[[Game, Tensor, Tensor], Tensor]] = {
    "path_length": _path_length,
    "latent_spread": _latent_spread,
    **{name: _on_weights(name) for name in WEIGHT_PENALTIES},
}
