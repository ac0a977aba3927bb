"""From a recipe to its two networks and their optimizers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.data import generator_for
from equipoise.game import (
    AUGMENTATIONS,
    OPTIMIZERS,
    Augmented,
    Noise,
    Packed,
    Switched,
    ada,
    equalize,
    exact_spectral_norms,
    initialize,
)
from equipoise.networks import FAMILIES as NETWORKS
from equipoise.recipe import Network, Optimizer, Recipe, Switch

PLAYERS = ("generator", "discriminator")
CPU = torch.device("cpu")
EXACT = "spectral_exact"  # needs the sizes that a built network sees


@dataclass(frozen=True)
class Players:
    """The networks of a game.

    Attributes:
        generator: z (N, z_dim) -> samples.
        network: the discriminator as its family builds it.
        discriminator: what the players meet: `network` behind augmentation, noise and packing.
        augmented: the layer that augments, None where nothing does.
        noises: the noise layers by place: "input", "hidden", "output".
    """

    generator: nn.Module
    network: nn.Module
    discriminator: nn.Module
    augmented: Augmented | None
    noises: dict[str, list[Noise]]


def build_players(recipe: Recipe, shape: tuple[int, ...]) -> Players:
    """Each player from its own seed, so that changing one leaves the other's first weights.

    Raises:
        ValueError: a part that does not fit the samples or the family.
    """
    with torch.random.fork_rng():
        generator = _generator(recipe, shape)
        network = _discriminator(recipe, shape)
        _check_growth(recipe, generator)
    hidden = [layer for layer in network.modules() if isinstance(layer, Noise)]
    noises: dict[str, list[Noise]] = {"hidden": hidden}
    seen: nn.Module = network
    if recipe.discriminator.pack > 1:
        seen = Packed(seen, recipe.discriminator.pack)
    seen = _noisy(recipe, seen, noises)
    augmented = _augmented(recipe, seen)
    return Players(generator, network, augmented or seen, augmented, noises)


def _generator(recipe: Recipe, shape: tuple[int, ...]) -> nn.Module:
    g = recipe.generator
    seed_layers(recipe.seed, 0, CPU, "weights/generator")
    extras = {"attention": g.attention, "dropout": g.dropout}
    made = NETWORKS[g.family].generator(
        shape, g.z_dim, g.width, g.depth, _plain(g.normalization), **extras
    )
    return _dressed(made, g, recipe.seed, "generator", torch.zeros(2, g.z_dim))


def _discriminator(recipe: Recipe, shape: tuple[int, ...]) -> nn.Module:
    d = recipe.discriminator
    seed_layers(recipe.seed, 0, CPU, "weights/discriminator")
    packed = (shape[0] * d.pack, *shape[1:])
    made = NETWORKS[d.family].discriminator(
        packed,
        d.width,
        d.depth,
        _plain(d.normalization),
        attention=d.attention,
        dropout=d.dropout,
        minibatch=d.minibatch,
        noise=recipe.noise.hidden.sigma > 0,
    )
    return _dressed(made, d, recipe.seed, "discriminator", torch.zeros(2, *packed))


def _plain(normalization: str) -> str:
    return "none" if normalization == EXACT else normalization


def _dressed(
    module: nn.Module, settings: Network, seed: int, player: str, example: Tensor
) -> nn.Module:
    """First weights and what acts on all layers at once."""
    if settings.initializer is not None:
        rng = generator_for(seed, f"initializer/{player}", 0)
        initialize(module, settings.initializer, rng)
    if settings.equalized:
        equalize(module)
    if settings.normalization == EXACT:
        exact_spectral_norms(module, example)
    return module


def _check_growth(recipe: Recipe, generator: nn.Module) -> None:
    if recipe.growth is None:
        return
    for player in PLAYERS:
        family = getattr(recipe, player).family
        if not NETWORKS[family].grows:
            growing = sorted(name for name, f in NETWORKS.items() if f.grows)
            raise ValueError(
                f"growth with {player}.family = {family!r}, which cannot grow; use one of"
                f" {', '.join(growing)}, or leave growth out"
            )
    side = 4 << int(generator.stages)  # type: ignore[arg-type]  # a grown family has stages
    if recipe.growth.start >= side:
        raise ValueError(
            f"growth.start = {recipe.growth.start} with images of {side} pixels: there is nothing"
            " to grow; start smaller or leave growth out"
        )


def _noisy(recipe: Recipe, seen: nn.Module, noises: dict[str, list[Noise]]) -> nn.Module:
    """The discriminator with noise on its logits and on what it sees."""
    layers = [seen]
    for place, at in (("output", len(layers)), ("input", 0)):
        if getattr(recipe.noise, place).sigma > 0:
            noises[place] = [Noise(0.0)]
            layers.insert(at, noises[place][0])
    return nn.Sequential(*layers) if len(layers) > 1 else seen


def _augmented(recipe: Recipe, seen: nn.Module) -> Augmented | None:
    kind, policy = recipe.augmentation.name, recipe.augmentation.policy
    if kind == "none":
        return None
    transform: Callable[..., Tensor] = AUGMENTATIONS[kind]
    named = {} if policy is None else {"policy": policy}
    if transform is ada:
        return Augmented(seen, Struck(recipe.augmentation.p or 0.0, named))
    return Augmented(seen, functools.partial(_without_p, transform, named))


def _without_p(
    transform: Callable[..., Tensor],
    named: dict[str, Any],
    images: Tensor,
    generator: torch.Generator | None,
) -> Tensor:
    return transform(images, generator, **named)


class Struck:
    """ADA at the present strength `p`."""

    def __init__(self, p: float, named: dict[str, Any]) -> None:
        self.p, self._named = p, named

    def __call__(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        return ada(images, self.p, generator, **self._named)


def seed_layers(seed: int, images: int, device: torch.device, purpose: str = "layers") -> None:
    """Let all that draws from torch's global generators depend on the position alone."""
    key = generator_for(seed, purpose, images).initial_seed()
    torch.default_generator.manual_seed(key)  # torch.manual_seed formats a stack trace: 150 us
    if device.type == "cuda":
        torch.cuda.manual_seed(key)
    elif device.type == "mps":
        torch.mps.manual_seed(key)


def build_optimizers(
    recipe: Recipe, players: dict[str, nn.Module]
) -> dict[str, torch.optim.Optimizer]:
    """Each player's optimizer; with a switch, both of them behind one face.

    Raises:
        ValueError: a setting that the optimizer refuses.
    """
    return {name: _optimizer(players[name], getattr(recipe.optimizer, name)) for name in PLAYERS}


def _optimizer(module: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    first = _of(module, settings)
    return first if settings.switch is None else Switched(first, _of(module, settings.switch))


def _of(module: nn.Module, settings: Optimizer | Switch) -> torch.optim.Optimizer:
    return OPTIMIZERS[settings.name](
        [p for p in module.parameters() if p.requires_grad],
        lr=settings.lr,
        beta1=settings.beta1,
        beta2=settings.beta2,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )
