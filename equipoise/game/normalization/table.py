"""The normalizations that a recipe may name, each put after or into one layer."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from equipoise.errors import unknown
from equipoise.game.normalization.batch import VirtualBatchNorm
from equipoise.game.normalization.spectral import spectral_norm
from equipoise.game.normalization.style import PixelNorm

GROUPS = 32  # Wu and He 2018
GROUP_CHANNELS = 4  # fewer a group leave dense layers little but signs


def no_norm(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer as it is."""
    return [layer]


def batch_norm(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer, then batch normalization, which ties a batch's samples (Ioffe, Szegedy 2015)."""
    layer.register_parameter("bias", None)  # the mean takes it away: it would learn rounding noise
    dense = isinstance(layer, nn.Linear)
    return [layer, nn.BatchNorm1d(channels) if dense else nn.BatchNorm2d(channels)]


class WeightNorm(nn.Module):
    """(g, v) -> g v / |v|, norms over all but dimension `dim`.

    Written out: the fused kernel behind torch's own has a wrong second derivative by the weights on
    the CPU (2.13), which consensus and unrolled steps would use without a word.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def _length(self, v: Tensor) -> Tensor:
        others = [d for d in range(v.dim()) if d != self.dim]
        return torch.linalg.vector_norm(v, dim=others, keepdim=True)

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / self._length(v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return self._length(weight), weight


def weight_norm(layer: nn.Module, channels: int = 0) -> list[nn.Module]:
    """The layer with weight g v / |v| per output. Salimans and Kingma 2016, eq. 2."""
    norm = WeightNorm(1 if _is_transposed(layer) else 0)
    parametrize.register_parametrization(layer, "weight", norm, unsafe=True)
    return [layer]


def _is_transposed(layer: nn.Module) -> bool:
    return isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)


def layer_norm(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer, then (x - mu) / sigma over all of a sample, affine per channel. Ba et al. 2016."""
    return [layer, nn.GroupNorm(1, channels)]


def instance_norm(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer, then (x - mu) / sigma over each channel's pixels. Ulyanov et al. 2016.

    Raises:
        ValueError: a dense layer, whose channels are one number each: all would become 0.
    """
    if isinstance(layer, nn.Linear):
        raise ValueError(
            "normalization = 'instance' after a dense layer: a channel is one number there, which"
            " minus its own mean is 0; use 'layer', 'group' or 'spectral', or a convolutional"
            " family"
        )
    layer.register_parameter("bias", None)  # as in batch_norm
    return [layer, nn.InstanceNorm2d(channels, affine=True)]


def group_norm(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer, then (x - mu) / sigma over each of `groups_of(channels)` groups. Wu, He 2018."""
    return [layer, nn.GroupNorm(groups_of(channels), channels)]


def groups_of(channels: int) -> int:
    """The most groups up to 32 that divide the channels and hold 4 or more each; else 1.

    >>> [groups_of(c) for c in (6, 16, 96, 512)]
    [1, 4, 16, 32]
    """
    groups = math.gcd(GROUPS, channels)
    while groups > 1 and channels // groups < GROUP_CHANNELS:
        groups //= 2
    return groups


def pixel_normalization(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer, then the pixel norm. Karras et al. 2018, section 4.2."""
    return [layer, PixelNorm()]


def virtual_batch_norm(layer: nn.Module, channels: int) -> list[nn.Module]:
    """The layer, then virtual batch normalization; the first batch is the reference.

    Wrap the whole model in `VirtualBatch` to refresh the reference's statistics at every pass.
    """
    return [layer, VirtualBatchNorm(channels)]


NORMALIZATIONS: dict[str, Callable[[nn.Module, int], list[nn.Module]]] = {
    "none": no_norm,
    "batch": batch_norm,
    "spectral": spectral_norm,
    "weight": weight_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
    "pixel": pixel_normalization,
    "virtual_batch": virtual_batch_norm,
}


def normalized(kind: str, layer: nn.Module, channels: int) -> list[nn.Module]:
    """`layer` with the normalization called `kind`, as modules in order, the layer first.

    Raises:
        ValueError: no such normalization, or one that the layer cannot take.
    """
    if kind not in NORMALIZATIONS:
        raise ValueError(unknown("normalization", kind, NORMALIZATIONS))
    return NORMALIZATIONS[kind](layer, channels)
