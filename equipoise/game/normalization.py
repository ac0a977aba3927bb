"""Normalization of a player's layers."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torch.nn.utils import parametrizations

from equipoise.errors import unknown


def no_norm(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer as it is."""
    return [layer]


def batch_norm(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer, then batch normalization, which ties a batch's samples (Ioffe, Szegedy 2015)."""
    layer.register_parameter("bias", None)  # the mean takes it away: it would learn rounding noise
    dense = isinstance(layer, nn.Linear)
    return [layer, nn.BatchNorm1d(channels) if dense else nn.BatchNorm2d(channels)]


def spectral_norm(layer: nn.Module, channels: int = 0, steps: int = 1) -> list[nn.Module]:
    """The layer with weight W / sigma(W), sigma by `steps` power iterations per training forward.

    W is reshaped to (out, rest), as usual; a strided convolution's own norm can be larger.
    Miyato et al. 2018, algorithm 1.
    """
    return [parametrizations.spectral_norm(layer, n_power_iterations=steps)]


NORMALIZATIONS: dict[str, Callable[[nn.Module, int], list[nn.Module]]] = {
    "none": no_norm,
    "batch": batch_norm,
    "spectral": spectral_norm,
}


def normalized(kind: str, layer: nn.Module, channels: int) -> list[nn.Module]:
    """`layer` with the normalization called `kind`, as modules in order.

    Raises:
        ValueError: no such normalization.
    """
    if kind not in NORMALIZATIONS:
        raise ValueError(unknown("normalization", kind, NORMALIZATIONS))
    return NORMALIZATIONS[kind](layer, channels)


def couples_batch(module: nn.Module) -> bool:
    """Whether one sample's output depends on the others of its batch (batch normalization)."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())
