"""First weights, from a generator of random numbers alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from equipoise.errors import unknown
from equipoise.game.layers import Equalized, Transposed, Weighted, fan_in

Initializer = Callable[[nn.Module, torch.Generator | None], Tensor]


def _normal(layer: nn.Module, std: float, generator: torch.Generator | None) -> Tensor:
    device = generator.device if generator else "cpu"
    return torch.randn(layer.weight.shape, generator=generator, device=device) * std


def he(layer: nn.Module, generator: torch.Generator | None = None, slope: float = 0.0) -> Tensor:
    """N(0, 2 / ((1 + slope^2) fan_in)): keeps variance through (leaky) ReLU. He 2015, eq. 15."""
    return _normal(layer, math.sqrt(2 / (1 + slope**2) / fan_in(layer)), generator)


def orthogonal(layer: nn.Module, generator: torch.Generator | None = None) -> Tensor:
    """The weight as (out, rest) with orthonormal rows, or columns where these are fewer.

    Transposed convolutions have the layout (in, out, ...), and are turned first. Saxe et al. 2014;
    BigGAN, section 3.1.
    """
    shape = layer.weight.shape
    if isinstance(layer, Transposed):
        shape = torch.Size((shape[1], shape[0], *shape[2:]))
    device = generator.device if generator else "cpu"
    value = torch.empty(shape, device=device)
    nn.init.orthogonal_(value, generator=generator)
    return value.transpose(0, 1) if isinstance(layer, Transposed) else value


def dcgan(layer: nn.Module, generator: torch.Generator | None = None) -> Tensor:
    """N(0, 0.02^2). Radford, Metz and Chintala 2016, section 4."""
    return _normal(layer, 0.02, generator)


INITIALIZERS: dict[str, Initializer] = {"he": he, "orthogonal": orthogonal, "normal": dcgan}


@torch.no_grad()
def initialize(
    module: nn.Module,
    kind: str,
    generator: torch.Generator | None = None,
    branches: Sequence[nn.Module] | None = None,
) -> nn.Module:
    """Draw the weights of all dense and convolution layers anew, in place; return the module.

    "he", "orthogonal", "normal" (DCGAN), or "fixup": see `fixup`. Biases become 0; embeddings and
    normalization layers stay as they are. Layers are drawn in the order of `module.modules()`, on
    the generator's device (the CPU without one), so equal generators give equal weights. Of a
    parametrized weight (spectral, weight norm, equalized) the value beneath is set.

    Raises:
        ValueError: no such initializer; "fixup" without residual branches.
    """
    if kind not in (*INITIALIZERS, "fixup"):
        raise ValueError(unknown("initializer", kind, [*INITIALIZERS, "fixup"]))
    draw = INITIALIZERS.get(kind, he)
    found = _residual_branches(module, branches) if kind == "fixup" else []
    for layer in weighted_layers(module):
        set_weight(layer, draw(layer, generator))
        if layer.bias is not None:
            layer.bias.zero_()
    if kind == "fixup":
        fixup(found)
    return module


def weighted_layers(module: nn.Module) -> list[Weighted]:
    """Dense and convolution layers, in the order of `module.modules()`."""
    return [layer for layer in module.modules() if isinstance(layer, Weighted)]


@torch.no_grad()
def set_weight(layer: nn.Module, value: Tensor) -> None:
    """Write the weight, through its parametrizations if it has any."""
    value = value.to(layer.weight)
    if parametrize.is_parametrized(layer, "weight"):
        layer.weight = value
    else:
        layer.weight.copy_(value)


@torch.no_grad()
def fixup(branches: Sequence[nn.Module]) -> None:
    """Scale the weights of L residual branches so that depth changes nothing at the start.

    Of a branch with m weighted layers the last becomes 0, the others are multiplied by
    L^(-1 / (2m - 2)); the layers must have been drawn by He before. Zhang et al. 2019, section 3;
    R3GAN, section 3.4, does the same.

    Raises:
        ValueError: a branch has no weighted layer, or one whose scale a normalization undoes.
    """
    for branch in branches:
        layers = weighted_layers(branch)
        for layer in layers:
            _refuse_normalized(layer)
        if not layers:
            raise ValueError(
                f"branch {type(branch).__name__} has no dense or convolution layer to scale; pass"
                " the modules whose output is added to the skip connection"
            )
        for layer in layers[:-1]:
            set_weight(layer, layer.weight * len(branches) ** (-1 / (2 * len(layers) - 2)))
        set_weight(layers[-1], torch.zeros_like(layers[-1].weight))


def _refuse_normalized(layer: Weighted) -> None:
    if not parametrize.is_parametrized(layer, "weight"):
        return
    parts = [p for p in layer.parametrizations["weight"] if not isinstance(p, Equalized)]
    if parts:
        raise ValueError(
            f"{type(layer).__name__}.weight has the parametrization {type(parts[0]).__name__},"
            " which undoes a scale and cannot hold 0: fix-up is for layers without normalization"
        )


def _residual_branches(
    module: nn.Module, branches: Sequence[nn.Module] | None
) -> Sequence[nn.Module]:
    """The given branches, or every submodule that is its parent's `branch`."""
    if branches is None:
        named = [getattr(parent, "branch", None) for parent in module.modules()]
        branches = [found for found in named if isinstance(found, nn.Module)]
    if not branches:
        raise ValueError(
            "branches = None, and no submodule is called 'branch': fix-up scales residual branches;"
            " pass branches=[...], or use 'he'"
        )
    return branches
