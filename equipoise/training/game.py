"""From a recipe to the objects that play."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from equipoise.data import SOURCES, generator_for, open_source
from equipoise.errors import RecipeError, need, unknown
from equipoise.game import (
    NORMALIZATIONS,
    OBJECTIVES,
    OPTIMIZERS,
    PENALTIES,
    Objective,
    averaged,
    couples_batch,
    factor,
    objective,
)
from equipoise.metrics import FAMILIES as METRICS
from equipoise.networks import FAMILIES as NETWORKS
from equipoise.recipe import Optimizer, Recipe, Schedule
from equipoise.record import SIGNALS

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PLAYERS = ("generator", "discriminator")


@dataclass
class Game:
    """The live objects of one run; `recipe` says what they are."""

    recipe: Recipe
    fabric: Fabric
    source: Any
    objective: Objective
    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module
    optimizers: dict[str, torch.optim.Optimizer]
    evaluators: tuple[Callable[[Tensor], Mapping[str, float]], ...]
    joint: bool

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Everything with weights, by name."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
        }

    @property
    def device(self) -> torch.device:
        """Where the players live."""
        return self.fabric.device

    def z(self, purpose: str, position: int, n: int) -> Tensor:
        """n latent vectors ~ N(0, I), a function of (seed, purpose, position)."""
        shape = (n, self.recipe.generator.z_dim)
        rng = generator_for(self.recipe.seed, purpose, position)
        return torch.randn(shape, generator=rng).to(self.device)

    def settle(self, images: int) -> dict[str, float]:
        """Set the learning rates for `images` shown so far; return each penalty's gamma."""
        recipe = self.recipe
        for player, settings in _optimizers(recipe).items():
            rate = settings.lr * scheduled(settings.schedule, images, recipe)
            for group in self.optimizers[player].param_groups:
                group["lr"] = rate
        return {
            name: penalty.gamma * scheduled(penalty.schedule, images, recipe)
            for name, penalty in recipe.penalties.items()
        }


def scheduled(schedule: Schedule, images: int, recipe: Recipe) -> float:
    """The schedule's factor when `images` reals have been shown."""
    span = (schedule.kimg or recipe.kimg) * 1000
    return factor(schedule.shape, schedule.start, schedule.end, images / span)


def build(recipe: Recipe) -> Game:
    """The objects that `recipe` describes, with weights that depend on its seed alone.

    Raises:
        RecipeError: a name that no table knows (the choices are listed), or parts that do not fit.
        DataError: the data cannot be read.
    """
    check_names(recipe)
    fabric = _fabric(recipe)
    data = recipe.data
    source = open_source(
        data.kind,
        path=data.path,
        resolution=data.resolution,
        channels=data.channels,
        augment=data.augment if data.augment.active else None,
    )
    with _fitting(recipe):
        generator, discriminator = _players(recipe, tuple(source.shape))
    generator, discriminator = fabric.to_device(generator), fabric.to_device(discriminator)
    average = averaged(generator)
    players = {"generator": generator, "discriminator": discriminator}
    optimizers = {name: _optimizer(players[name], _optimizers(recipe)[name]) for name in PLAYERS}
    reals = source.reals(recipe.evaluation.samples, recipe.seed)
    evaluators = tuple(METRICS[m](reals, source.mixture) for m in recipe.evaluation.metrics)
    game = Game(
        recipe=recipe,
        fabric=fabric,
        source=source,
        objective=objective(recipe.objective.name, recipe.objective.label_smoothing),
        generator=generator,
        discriminator=discriminator,
        average=average,
        optimizers=optimizers,
        evaluators=evaluators,
        joint=not couples_batch(discriminator),
    )
    with _fitting(recipe):
        game.settle(0)
    return game


def check_names(recipe: Recipe) -> None:
    """Refuse a recipe that names a part which does not exist; cheap, nothing is built.

    Raises:
        RecipeError: with the path, the nearest name and all choices.
    """
    named: list[tuple[str, str, Mapping[str, Any]]] = [
        ("data.kind", recipe.data.kind, SOURCES),
        ("generator.family", recipe.generator.family, NETWORKS),
        ("generator.normalization", recipe.generator.normalization, NORMALIZATIONS),
        ("discriminator.family", recipe.discriminator.family, NETWORKS),
        ("discriminator.normalization", recipe.discriminator.normalization, NORMALIZATIONS),
        ("objective.name", recipe.objective.name, OBJECTIVES),
        ("optimizer.generator.name", recipe.optimizer.generator.name, OPTIMIZERS),
        ("optimizer.discriminator.name", recipe.optimizer.discriminator.name, OPTIMIZERS),
    ]
    named += [("penalties", name, PENALTIES) for name in recipe.penalties]
    named += [("evaluation.metrics", name, METRICS) for name in recipe.evaluation.metrics]
    if recipe.evaluation.primary is not None:
        measured = [n.removeprefix("metric/") for n in SIGNALS if n.startswith("metric/")]
        named.append(("evaluation.primary", recipe.evaluation.primary, dict.fromkeys(measured)))
    for path, name, table in named:
        if name not in table:
            raise RecipeError(f"recipe {recipe.name!r}: {unknown(path, name, table)}")
    for name in recipe.penalties:
        needs = " and ".join(PENALTIES[name].needs)
        if needs:
            raise RecipeError(
                f"recipe {recipe.name!r}: penalties.{name} needs {needs}, which recipes cannot give"
                f" yet; use equipoise.game.PENALTIES[{name!r}] in a loop of your own"
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
        return Fabric(accelerator=compute.device, devices=1, precision=compute.precision)
    except RuntimeError as error:
        raise RecipeError(
            f"recipe {recipe.name!r}: compute.device = {compute.device!r} is not available here;"
            " set it to 'auto' or 'cpu'"
        ) from error


def _players(recipe: Recipe, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """Each player from its own seed, so that changing one leaves the other's first weights."""
    g, d = recipe.generator, recipe.discriminator
    with torch.random.fork_rng():
        _seed_layers(recipe.seed, "weights/generator", 0)
        generator = NETWORKS[g.family].generator(shape, g.z_dim, g.width, g.depth, g.normalization)
        _seed_layers(recipe.seed, "weights/discriminator", 0)
        discriminator = NETWORKS[d.family].discriminator(shape, d.width, d.depth, d.normalization)
    return generator, discriminator


def _seed_layers(seed: int, purpose: str, position: int) -> None:
    torch.manual_seed(generator_for(seed, purpose, position).initial_seed())


def seed_layers(game: Game, images: int) -> None:
    """Let layers that draw from torch's global generator (dropout) depend on the position alone."""
    _seed_layers(game.recipe.seed, "layers", images)


def _optimizers(recipe: Recipe) -> dict[str, Optimizer]:
    return {
        "generator": recipe.optimizer.generator,
        "discriminator": recipe.optimizer.discriminator,
    }


def _optimizer(module: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    return OPTIMIZERS[settings.name](
        [p for p in module.parameters() if p.requires_grad],
        lr=settings.lr,
        beta1=settings.beta1,
        beta2=settings.beta2,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )


def parameter_count(module: nn.Module) -> int:
    """Numbers that the module learns."""
    return sum(math.prod(p.shape) for p in module.parameters() if p.requires_grad)
