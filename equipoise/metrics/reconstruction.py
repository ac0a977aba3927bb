"""How near images lie to the images they should be: PSNR, and distances in features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from equipoise.errors import unknown
from equipoise.metrics.averages import mean_measure, standard_error
from equipoise.metrics.images import (
    Images,
    Range,
    from_zero,
    image_batch,
    pair_chunks,
    same_shape,
)
from equipoise.metrics.measure import Measure, with_error
from equipoise.metrics.structural import image_pair

FeatureStack = Callable[[Tensor], Sequence[Tensor]]
EPSILON = 1e-10  # beside the channels' length, as in the original LPIPS


def psnr(
    first: Images,
    second: Images,
    *,
    data_range: Range,
    average: Literal["image", "pooled"] = "image",
) -> Measure:
    """Peak signal-to-noise ratio in dB of paired images (N, C, H, W): 10 log10(L^2 / MSE).

    L is the width of `data_range`: 2 for (-1, 1), 255 for bytes. It is infinite for equal images.
    average "image": the mean of each image's PSNR, as papers on restoration report; "pooled": the
    PSNR of the mean squared error (torchmetrics without `dim`), never above it by Jensen.
    error: over images; for "pooled" 10 / ln 10 se(MSE) / MSE.

    Raises:
        ValueError: shapes differ, a value is not finite or outside the range.
    """
    if average not in ("image", "pooled"):
        raise ValueError(unknown("average", average, ("image", "pooled")))
    mse = mse_values(first, second, data_range=data_range)
    each = -10 * mse.log10()
    pooled = float(-10 * mse.mean().log10())
    equal = int((mse == 0).sum())
    said = (f"{equal} of {len(mse)} pairs are equal: their PSNR is infinite",) if equal else ()
    convention = {"data_range": data_range, "unit": "dB", "average": average}
    parts = {"pooled": pooled, "mse": float(mse.mean())}
    if average == "image":
        return mean_measure("psnr", each, convention=convention, parts=parts, warnings=said)
    error = 10 / math.log(10) * standard_error(mse) / float(mse.mean()) if mse.any() else math.nan
    told = convention | {"n": len(mse), "bias": "none"}
    return with_error("psnr", pooled, error, convention=told, parts=parts, warnings=said)


def psnr_values(first: Images, second: Images, *, data_range: Range) -> Tensor:
    """PSNR of each pair in dB: float64 (N,), infinite for equal images."""
    return -10 * mse_values(first, second, data_range=data_range).log10()


def mse_values(first: Images, second: Images, *, data_range: Range) -> Tensor:
    """Mean squared error of each pair, `data_range` brought to [0, 1]: float64 (N,)."""
    one, two = image_pair(first, second, data_range)
    values = [
        (from_zero(x, data_range) - from_zero(y, data_range)).square().flatten(1).mean(dim=1)
        for x, y in pair_chunks(one, two)
    ]
    return torch.cat(values)


def feature_distance(
    first: Images,
    second: Images,
    features: FeatureStack,
    *,
    features_name: str,
    weights: Sequence[Tensor] | None = None,
) -> Measure:
    """Mean distance of paired images in a stack of feature maps, built as LPIPS is built.

    d = sum_l mean_{h,w} sum_c w_lc (a_lc / |a_l| - b_lc / |b_l|)^2, a_l and b_l the maps
    (N, C_l, H_l, W_l) that `features` gives; without `weights` w = 1 and each layer is in [0, 4].
    It is LPIPS only with the original's network, preprocessing and weights, and it is called so
    only where weights are given; the caller vouches that they are the original's. Cosine-like: a
    change that scales all channels at a place alike is not seen.
    error: standard error over pairs.

    Args:
        features: images -> maps; it does its own preprocessing.
        features_name: what they are, with a version ("vgg16_random_seed0").
        weights: one tensor of C_l numbers >= 0 for each layer.

    Raises:
        ValueError: shapes differ, a value is not finite, the weights do not fit the maps, or a
            name with "lpips" without weights.

    Source: arXiv 1801.03924, eq. 1.
    """
    if "lpips" in features_name.lower() and weights is None:
        raise ValueError(
            f"features_name = {features_name!r}: a distance without LPIPS's own weights is not"
            " LPIPS; name it after its features, or give weights="
        )
    one, two = image_batch(first, "first"), image_batch(second, "second")
    same_shape(one, two, "first and second")
    with torch.no_grad():
        values = [
            feature_distance_values(x, y, features, weights).cpu() for x, y in pair_chunks(one, two)
        ]
    convention = {
        "features": features_name,
        "weights": "none" if weights is None else "given",
        "channels": "unit length",
    }
    return mean_measure(f"feature_distance_{features_name}", torch.cat(values),
                        convention=convention)  # fmt: skip


def feature_distance_values(
    first: Tensor,
    second: Tensor,
    features: FeatureStack,
    weights: Sequence[Tensor] | None = None,
) -> Tensor:
    """The distance of each pair: float64 (N,); serves `path_length` as its distance.

    Raises:
        ValueError: maps that are not (N, C, H, W) or not finite, or weights that do not fit them.
    """
    a, b = list(features(first)), list(features(second))
    if weights is not None and len(weights) != len(a):
        raise ValueError(
            f"weights has {len(weights)} layers and features gives {len(a)}; give one tensor for"
            " each layer"
        )
    total = torch.zeros(len(first), dtype=torch.float64)
    for layer, (x, y) in enumerate(zip(a, b, strict=True)):
        gap = (_unit(x, layer, len(first)) - _unit(y, layer, len(first))).square()
        if weights is not None:
            gap = gap * _weight(weights[layer], layer, gap.shape[1])
        total += gap.sum(dim=1).mean(dim=(1, 2))
    return total


def _unit(maps: Tensor, layer: int, n: int) -> Tensor:
    if maps.dim() != 4 or len(maps) != n:
        raise ValueError(
            f"features: layer {layer} gives shape {tuple(maps.shape)} for {n} images; must be"
            " (N, C, H, W); reshape tokens to a map, and vectors to (N, C, 1, 1)"
        )
    x = maps.cpu().double()
    if not torch.isfinite(x).all():
        raise ValueError(
            f"features: layer {layer} holds NaN or infinity for finite images; run the network in"
            " float32 and in eval mode"
        )
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)


def _weight(weight: Tensor, layer: int, channels: int) -> Tensor:
    flat = weight.detach().cpu().double().flatten()
    if len(flat) != channels or not bool((flat >= 0).all()):
        raise ValueError(
            f"weights: layer {layer} has {len(flat)} numbers, the least {float(flat.min()):.4g}:"
            f" must be {channels} numbers >= 0, one for each channel"
        )
    return flat.view(1, -1, 1, 1)
