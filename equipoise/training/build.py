"""From a recipe to the objects that play."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from equipoise.data import core_first, divided, open_source
from equipoise.errors import RecipeError, need
from equipoise.game import (
    PLAIN,
    Objective,
    Setting,
    ada,
    averaged,
    couples_batch,
    following,
    instance_noise,
    least_squares,
    objective,
    relabelled,
)
from equipoise.metrics import FAMILIES as METRICS
from equipoise.recipe import Recipe
from equipoise.training.controls import controls_of
from equipoise.training.dials import dials_of
from equipoise.training.fits import check_names
from equipoise.training.game import Game
from equipoise.training.gammas import Gammas
from equipoise.training.players import PLAYERS, Players, build_optimizers, build_players

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def build(recipe: Recipe) -> Game:
    """The objects that `recipe` describes, with weights that depend on its seed alone.

    Raises:
        RecipeError: a name that no table knows (the choices are listed), or parts that do not fit.
        DataError: the data cannot be read.
    """
    check_names(recipe)
    fabric = _fabric(recipe)
    whole = _source(recipe)
    with _fitting(recipe):
        players = build_players(recipe, tuple(whole.shape))
        _placed(recipe, fabric, players)
        game = _assembled(recipe, fabric, whole, players)
        game.dials = dials_of(game)
        game.controls = controls_of(game)
    return game


def _assembled(recipe: Recipe, fabric: Fabric, whole: Any, players: Players) -> Game:
    networks = {"generator": players.generator, "discriminator": players.discriminator}
    reals = whole.reals(recipe.evaluation.samples, recipe.seed)
    source, held_out = divided(whole, recipe.data.limit, recipe.data.held_out, recipe.seed)
    average = averaged(players.generator)
    game = Game(
        recipe=recipe,
        fabric=fabric,
        source=source if recipe.data.curriculum is None else core_first(source),
        held_out=held_out,
        objective=_objective(recipe),
        generator=players.generator,
        network=players.network,
        discriminator=players.discriminator,
        average=average,
        augmented=players.augmented,
        noises=players.noises,
        optimizers=build_optimizers(recipe, networks),
        evaluators=tuple(METRICS[m](reals, whole.mixture) for m in recipe.evaluation.metrics),
        joint=not couples_batch(players.discriminator),
        setting=_setting(recipe),
        gammas=Gammas(recipe.penalties, recipe),
        generator_gammas=Gammas(recipe.generator_penalties, recipe),
        weights={name: list(player.parameters()) for name, player in networks.items()},
        follow=following(average, players.generator),
        scalers=_scalers(recipe, fabric),
    )
    for player in recipe.compute.compile:  # after the average is copied: it stays as it is
        (game.network if player == "discriminator" else game.generator).compile()
    return game


def _placed(recipe: Recipe, fabric: Fabric, players: Players) -> None:
    for module in (players.generator, players.discriminator):
        module.to(fabric.device)
        if recipe.compute.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub lacks it


def _objective(recipe: Recipe) -> Objective:
    o = recipe.objective
    base = objective(o.name) if o.labels is None else least_squares(*o.labels)
    noise = torch.default_generator if o.label_flip else None  # reseeded at every iteration
    return relabelled(base, o.label_smoothing, o.fake_smoothing, o.label_flip, noise)


def _scalers(recipe: Recipe, fabric: Fabric) -> dict[str, torch.amp.GradScaler]:
    if recipe.compute.precision != "16-mixed":
        return {}
    return {player: torch.amp.GradScaler(fabric.device.type) for player in PLAYERS}


def _setting(recipe: Recipe) -> Setting:
    slopes, c = recipe.slopes, recipe.consistency
    plain = not (slopes.per_patch or slopes.per_pixel or c.policy or c.sigma)
    return PLAIN if plain else Setting(None, slopes.per_patch, slopes.per_pixel, _transform(recipe))


def _transform(recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """T of the consistency penalties."""
    c = recipe.consistency

    def transform(images: Tensor) -> Tensor:
        if c.policy:
            images = ada(images, 1.0, policy=c.policy)
        return instance_noise(images, c.sigma)

    return transform


def _source(recipe: Recipe) -> Any:
    data = recipe.data
    return open_source(
        data.kind,
        path=data.path,
        resolution=data.resolution,
        channels=data.channels,
        augment=data.augment if data.augment.active else None,
    )


@contextlib.contextmanager
def _fitting(recipe: Recipe) -> Iterator[None]:
    """What a part refuses is the recipe's fault: say whose."""
    try:
        yield
    except ValueError as error:
        raise RecipeError(f"recipe {recipe.name!r}: {error}") from error


def _fabric(recipe: Recipe) -> Fabric:
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise need("lightning-fabric", "train") from error
    compute = recipe.compute
    torch.set_num_threads(compute.threads)
    try:
        return Fabric(accelerator=compute.device, devices=1)
    except RuntimeError as error:
        raise RecipeError(
            f"recipe {recipe.name!r}: compute.device = {compute.device!r} is not available here;"
            " set it to 'auto' or 'cpu'"
        ) from error


def parameter_count(module: nn.Module) -> int:
    """Numbers that the module learns."""
    return sum(math.prod(p.shape) for p in module.parameters() if p.requires_grad)
