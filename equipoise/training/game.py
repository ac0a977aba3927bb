"""The live objects of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from equipoise.data import generator_for
from equipoise.game import Augmented, Move, Noise, Objective, Setting, instance_noise
from equipoise.networks import faded
from equipoise.recipe import Recipe
from equipoise.training.gammas import Gammas

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Dial = Callable[[int], None]  # sets one thing from the images shown
State = Mapping[str, Any]


class Control(Protocol):
    """Something with numbers of its own."""

    def seen(self, move: Move, images: int) -> None:
        """The discriminator moved, shown `images` reals."""

    def state(self) -> State:
        """Plain numbers."""

    def load(self, state: State) -> None:
        """Take them back."""

    def said(self) -> Mapping[str, float]:
        """What the trace is told."""


class Layered(Protocol):
    """What every family of discriminators is."""

    hidden: list[nn.Module]


class Growing(Protocol):
    """What a network of a growing family is: `stage` of `stages` doublings are played."""

    stage: float
    stages: int


MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
C = TypeVar("C", bound=Control)


@dataclass
class Game:
    """The live objects of one run; `recipe` says what they are.

    Attributes:
        source: where reals come from; `held_out`: reals that are never trained on, or None.
        generator, average: the player that samples, and its moving average.
        network: the discriminator as its family builds it, without what stands before it.
        discriminator: what both players' losses see: `network` behind augmentation, noise, packing.
        joint: whether reals and fakes pass the discriminator together.
        dials: what follows the images shown alone; `controls`: what follows the game.
        gammas, generator_gammas: weights of the penalties.
        weights: each player's parameters, looked up once; `follow` moves the average by its decay.
        scalers: each player's loss scaler in float16, else empty.
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
    scalers: dict[str, torch.amp.GradScaler]
    held_out: Tensor | None = None
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
        return cast(Layered, self.network).hidden

    @property
    def stages(self) -> int:
        """How often a growing game doubles its size."""
        return cast(Growing, self.network).stages

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

    def faded(self, real: Tensor) -> Tensor:
        """Reals as they look at the size that a growing game plays at."""
        return faded(real, cast(Growing, self.network).stage, self.stages)

    def said(self) -> dict[str, float]:
        """What controls and dials would have known, for the trace."""
        found = {
            f"control/{name}/{what}": value
            for name, control in self.controls.items()
            for what, value in control.said().items()
        }
        if self.recipe.growth is not None:
            found["control/growth/stage"] = float(cast(Growing, self.network).stage)
        if self.recipe.data.curriculum is not None:
            found["control/curriculum/share"] = self.source.share
        return found
