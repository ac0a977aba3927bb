"""Normalization of a player's weights and activations, and surgery from one kind to another."""

from equipoise.game.normalization.batch import (
    ConditionalBatchNorm,
    VirtualBatch,
    VirtualBatchNorm,
    couples_batch,
)
from equipoise.game.normalization.spectral import (
    exact_spectral_norm,
    exact_spectral_norms,
    operator_norm,
    spectral_norm,
)
from equipoise.game.normalization.style import (
    AdaIN,
    ModulatedConv2d,
    PixelNorm,
    adain,
    modulated_conv2d,
    pixel_norm,
)
from equipoise.game.normalization.swap import Change, swap_normalization
from equipoise.game.normalization.table import NORMALIZATIONS, normalized

__all__ = [
    "NORMALIZATIONS",
    "AdaIN",
    "Change",
    "ConditionalBatchNorm",
    "ModulatedConv2d",
    "PixelNorm",
    "VirtualBatch",
    "VirtualBatchNorm",
    "adain",
    "couples_batch",
    "exact_spectral_norm",
    "exact_spectral_norms",
    "modulated_conv2d",
    "normalized",
    "operator_norm",
    "pixel_norm",
    "spectral_norm",
    "swap_normalization",
]
