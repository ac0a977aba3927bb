"""From a recipe to the objects that play."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from equipoise.data import core_first, generator_for, open_source
from equipoise.errors import RecipeError, need
from equipoise.game import (
    PLAIN,
    Augmented,
    Noise,
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
from equipoise.networks import faded
from equipoise.recipe import Recipe
from equipoise.training.controls import Control, Scaler, controls_of
from equipoise.training.dials import Dial, Gammas, dials_of
from equipoise.training.fits import check_names
from equipoise.training.players import Players, build_optimizers, build_players

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
C = TypeVar("C", bound=Control)


@dataclass
class Game:
    """The live objects of one run; `recipe` says what they are.

    Attributes:
        source: where reals come from.
        generator, average: the player that samples, and its moving average.
        network: the discriminator as its family builds it, without what stands before it.
        discriminator: what both players' losses see: `network` behind augmentation, noise, packing.
        joint: whether reals and fakes pass the discriminator together.
        dials: what follows the images shown alone; `controls`: what follows the game.
        gammas, generator_gammas: weights of the penalties.
        weights: each player's parameters, looked up once; `follow` moves the average by its decay.
        latent_noise: standard deviation of the noise on z in training.
    """

    recipe: Recipe
    fabric: Fabric
    source: Any
    objective: Objective
    generator: nn.Module
    network: nn.Module
    discriminator: nn.Module
    average: nn.Module
    augmented: Augmented | None
    noises: dict[str, list[Noise]]
    optimizers: dict[str, torch.optim.Optimizer]
    evaluators: tuple[Callable[[Tensor], Mapping[str, float]], ...]
    joint: bool
    setting: Setting
    gammas: Gammas
    generator_gammas: Gammas
    weights: dict[str, list[nn.Parameter]]
    follow: Callable[[float], None]
    latent_noise: float = 0.0
    dials: tuple[Dial, ...] = ()
    controls: dict[str, Control] = field(default_factory=dict)

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

    @property
    def hidden(self) -> list[nn.Module]:
        """The discriminator's layers whose outputs are its features."""
        return self.network.hidden  # type: ignore[return-value]  # every family has them

    @property
    def stages(self) -> int:
        """How often a growing game doubles its size."""
        return int(self.network.stages)  # type: ignore[arg-type]  # a growing family has them

    def z(self, purpose: str, position: int, n: int) -> Tensor:
        """n latent vectors ~ N(0, I), a function of (seed, purpose, position)."""
        shape = (n, self.recipe.generator.z_dim)
        rng = generator_for(self.recipe.seed, purpose, position)
        return torch.randn(shape, generator=rng).to(self.device)

    def latents(self, purpose: str, position: int, n: int) -> Tensor:
        """The latents of training: z with the recipe's noise."""
        z = self.z(purpose, position, n)
        if self.latent_noise == 0:
            return z
        rng = generator_for(self.recipe.seed, f"{purpose}/noise", position)
        return instance_noise(z, self.latent_noise, rng)

    def settle(self, images: int) -> None:
        """Turn every dial to where it stands with `images` shown so far."""
        for turn in self.dials:
            turn(images)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The recipe's mixed precision, or nothing."""
        dtype = MIXED.get(self.recipe.compute.precision)
        if dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=dtype)

    def control(self, name: str, kind: type[C]) -> C | None:
        """The control called `name`, None where the recipe has none."""
        found = self.controls.get(name)
        assert found is None or isinstance(found, kind)
        return found

    def scaler(self, player: str) -> torch.amp.GradScaler | None:
        """The player's loss scaler, None unless float16."""
        found = self.control(f"scaler/{player}", Scaler) if self.controls else None
        return None if found is None else found.scaler

    def faded(self, real: Tensor) -> Tensor:
        """Reals as they look at the size that a growing game plays at."""
        return faded(real, self.network.stage, self.stages)  # type: ignore[arg-type]  # it grows

    def said(self) -> dict[str, float]:
        """What controls and dials would have known, for the trace."""
        found = {
            f"control/{name}/{what}": value
            for name, control in self.controls.items()
            for what, value in control.said().items()
        }
        if self.recipe.growth is not None:
            found["control/growth/stage"] = float(self.network.stage)  # type: ignore[arg-type]  # it grows
        if self.recipe.data.curriculum is not None:
            found["control/curriculum/share"] = self.source.share
        return found


def build(recipe: Recipe) -> Game:
    """The objects that `recipe` describes, with weights that depend on its seed alone.

    Raises:
        RecipeError: a name that no table knows (the choices are listed), or parts that do not fit.
        DataError: the data cannot be read.
    """
    check_names(recipe)
    fabric = _fabric(recipe)
    source = _source(recipe)
    with _fitting(recipe):
        players = build_players(recipe, tuple(source.shape))
        _placed(recipe, fabric, players)
        game = _assembled(recipe, fabric, source, players)
        game.dials = dials_of(game)
        game.controls = controls_of(game)
    return game


def _assembled(recipe: Recipe, fabric: Fabric, source: Any, players: Players) -> Game:
    networks = {"generator": players.generator, "discriminator": players.discriminator}
    reals = source.reals(recipe.evaluation.samples, recipe.seed)
    average = averaged(players.generator)
    game = Game(
        recipe=recipe,
        fabric=fabric,
        source=source,
        objective=_objective(recipe),
        generator=players.generator,
        network=players.network,
        discriminator=players.discriminator,
        average=average,
        augmented=players.augmented,
        noises=players.noises,
        optimizers=build_optimizers(recipe, networks),
        evaluators=tuple(METRICS[m](reals, source.mixture) for m in recipe.evaluation.metrics),
        joint=not couples_batch(players.discriminator),
        setting=_setting(recipe),
        gammas=Gammas(recipe.penalties, recipe),
        generator_gammas=Gammas(recipe.generator_penalties, recipe),
        weights={name: list(player.parameters()) for name, player in networks.items()},
        follow=following(average, players.generator),
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
    source = open_source(
        data.kind,
        path=data.path,
        resolution=data.resolution,
        channels=data.channels,
        augment=data.augment if data.augment.active else None,
    )
    return source if data.curriculum is None else core_first(source)


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
