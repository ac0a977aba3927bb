"""What a run turns as a function of the images shown: rates, weights, noise, share, size.

A dial is a function of the images shown that sets one thing. Only what changes has one, so a
recipe without schedules pays for none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from equipoise.game import Switched, burn_in, decay_of, factor, ramped_half_life
from equipoise.recipe import BurnIn, Optimizer, Recipe, Sigma
from equipoise.training.game import Dial, Game
from equipoise.training.gammas import STILL, scheduled


def burnt_in(value: float, settings: BurnIn | None, images: int) -> float:
    """`value`, or what has burnt in of it when `images` reals have been shown."""
    if settings is None:
        return value
    return burn_in(settings.start, value, images / 1000, settings.kimg, settings.shape)


def dials_of(game: Game) -> tuple[Dial, ...]:
    """Every dial that the game's recipe asks for; each was turned to 0 images once.

    Raises:
        ValueError: a schedule that cannot be followed.
    """
    found = (*_rates(game), *_noises(game), *_growth(game), *_curriculum(game))
    for turn in found:
        turn(0)
    return tuple(turn for turn in found if not getattr(turn, "still", False))


def _once(turn: Dial) -> Dial:
    turn.still = True  # type: ignore[attr-defined]  # a function's own attribute
    return turn


def _rates(game: Game) -> Iterator[Dial]:
    for player, optimizer in game.optimizers.items():
        settings: Optimizer = getattr(game.recipe.optimizer, player)
        if settings.switch is not None:
            yield _switch(optimizer, settings)
        turn = _rate(optimizer, settings, game.recipe)
        constant = settings.schedule == STILL and settings.switch is None
        yield _once(turn) if constant else turn
        if settings.beta2_burn_in is not None:
            yield _second_moment(optimizer, settings)


def _switch(optimizer: torch.optim.Optimizer, settings: Optimizer) -> Dial:
    assert isinstance(optimizer, Switched)
    assert settings.switch is not None
    at = round(settings.switch.kimg * 1000)

    def turn(images: int) -> None:
        if (images >= at) != optimizer.second_is_on:
            optimizer.turn(images >= at)

    return turn


def _rate(optimizer: torch.optim.Optimizer, settings: Optimizer, recipe: Recipe) -> Dial:
    def turn(images: int) -> None:
        second = isinstance(optimizer, Switched) and optimizer.second_is_on
        base = settings.switch.lr if second and settings.switch else settings.lr
        rate = base * scheduled(settings.schedule, images, recipe)
        for group in optimizer.param_groups:
            group["lr"] = rate

    return turn


def _second_moment(optimizer: torch.optim.Optimizer, settings: Optimizer) -> Dial:
    def turn(images: int) -> None:
        if isinstance(optimizer, Switched) and optimizer.second_is_on:
            return
        beta2 = burnt_in(settings.beta2, settings.beta2_burn_in, images)
        for group in optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (group["betas"][0], beta2)
            else:
                group["alpha"] = beta2  # torch's name in RMSprop

    return turn


def _noises(game: Game) -> Iterator[Dial]:
    for place, layers in game.noises.items():
        settings: Sigma = getattr(game.recipe.noise, place)
        yield _noise(layers, settings, game.recipe)
    if game.recipe.noise.latent.sigma > 0:
        yield _latent(game)


def _noise(layers: list[Any], settings: Sigma, recipe: Recipe) -> Dial:
    def turn(images: int) -> None:
        sigma = settings.sigma * scheduled(settings.schedule, images, recipe)
        for layer in layers:
            layer.strength = sigma

    return _once(turn) if settings.schedule == STILL else turn


def _latent(game: Game) -> Dial:
    settings = game.recipe.noise.latent

    def turn(images: int) -> None:
        game.latent_noise = settings.sigma * scheduled(settings.schedule, images, game.recipe)

    return turn


def _growth(game: Game) -> Iterator[Dial]:
    if game.recipe.growth is not None:
        players: tuple[Any, ...] = (game.generator, game.network, game.average)

        def turn(images: int) -> None:
            now = stage(game.recipe, game.stages, images)
            for player in players:
                player.stage = now

        yield turn


def stage(recipe: Recipe, stages: int, images: int) -> float:
    """The size at which a growing game plays: j for 4 x 2^j pixels, fractions while one fades in.

    Each size from `growth.start` on plays for `stage_kimg`, then the next fades in over
    `fade_kimg`; the last, j = `stages`, plays to the end.
    """
    growth = recipe.growth
    if growth is None:
        return float(stages)
    first = (growth.start // 4).bit_length() - 1
    cycle, place = divmod(images / 1000, growth.stage_kimg + growth.fade_kimg)
    faded = max(place - growth.stage_kimg, 0.0) / growth.fade_kimg
    return min(first + cycle + faded, float(stages))


def _curriculum(game: Game) -> Iterator[Dial]:
    settings = game.recipe.data.curriculum
    if settings is not None:
        source, span = game.source, settings.kimg * 1000

        def turn(images: int) -> None:
            source.share = factor("linear", settings.start, 1.0, images / span)

        yield turn


def ema_decay(recipe: Recipe, images: int) -> float:
    """What the average keeps of itself in one iteration, `images` reals having been shown."""
    ema = recipe.ema
    if ema.half_life_kimg is None:
        return 0.0
    half_life = burnt_in(ema.half_life_kimg, ema.burn_in, images)
    kept = ramped_half_life(half_life, images, ema.rampup)
    return decay_of(kept, recipe.images_per_iteration)
