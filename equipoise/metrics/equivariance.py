"""Equivariance: does moving or turning a generator's input move or turn its image?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

from equipoise.errors import unknown
from equipoise.metrics.images import Range, image_batch
from equipoise.metrics.measure import Measure, with_error
from equipoise.metrics.warps import limit_as_turned, shift_fraction, shift_whole, turn

Shifted = Callable[[Tensor, tuple[float, float]], Tensor]
Turned = Callable[[Tensor, float], Tensor]

SHIFT = 0.125  # of the image's side; arXiv 2106.12423, appendix E


def translation_equivariance(
    generate: Shifted,
    latents: Iterable[Tensor],
    *,
    fractional: bool = False,
    data_range: Range = (-1.0, 1.0),
    shift: float = SHIFT,
    seed: int = 0,
) -> Measure:
    """EQ-T in dB: PSNR between the image of a moved input and the moved image; higher is better.

    EQ-T = 10 log10(L^2 / MSE), the MSE over all pixels that stay in view, of all batches; L is the
    width of `data_range`. `fractional` gives EQ-T_frac: any shift, images moved by a Lanczos filter
    of 3 lobes, which itself leaves an ideal generator at 50 to 60 dB for detail below .3 cycles a
    pixel. An image that does not depend on its place (flat, or cropped noise) scores infinite.
    error: over batches, each with one random shift; 10 / ln 10 times the relative error of the MSE.

    Args:
        generate: (latents, (right, down)) -> images (N, C, H, W) whose content should lie that
            share of the width and height further right and down; (0, 0) is the image as it is.
            For StyleGAN3: input.transform = identity with [:2, 2] = (-right, -down).
            The same latents must give the same noise.
        latents: batches, one shift for each; StyleGAN3 takes 50 000 images.
        shift: largest share to either side, uniform.

    Raises:
        ValueError: no batch, shift not in (0, .5), images that change shape or are not finite.

    Source: arXiv 2106.12423, appendix E.1 and E.2.
    """
    if not 0 < shift < 0.5:
        raise ValueError(f"shift = {shift}: must be above 0 and below .5 of a side; .125 is usual")
    random = torch.Generator().manual_seed(seed)

    def compare(z: Tensor) -> tuple[Tensor, Tensor]:
        still = _images(generate(z, (0.0, 0.0)))
        height, width = still.shape[2:]
        x, y = ((torch.rand(2, generator=random, dtype=torch.float64) * 2 - 1) * shift).tolist()
        right, down = x * width, y * height
        if fractional:
            moved, mask = shift_fraction(still, right, down)
        else:
            right, down = round(right), round(down)
            moved, mask = shift_whole(still, right, down)
        drawn = _images(generate(z, (right / width, down / height)), still)
        return (drawn - moved).square(), mask

    convention = {"transform": "translation", "fractional": fractional, "shift": shift}
    name = "eq_t_frac" if fractional else "eq_t"
    return _psnr(name, compare, latents, data_range, convention | {"seed": seed})


def rotation_equivariance(
    generate: Turned,
    latents: Iterable[Tensor],
    *,
    data_range: Range = (-1.0, 1.0),
    turn_by: float = 1.0,
    limiter: Literal["exact", "stylegan3"] = "exact",
    seed: int = 0,
) -> Measure:
    """EQ-R in dB: PSNR between the image of a turned input and the turned image; higher is better.

    Angles are uniform within `turn_by` half turns to either side. The image is turned by a filter
    limited to both grids; the one drawn turned passes the same limit, by `limiter`: "exact", or
    "stylegan3" as that code has it, which amplifies fine detail by up to 1.8 and so holds an ideal
    generator lower (see `limit_as_turned`); take it beside published numbers alone.
    error: over batches, each with one random angle, as for `translation_equivariance`.

    Args:
        generate: (latents, angle) -> images (N, C, H, W) whose content should be turned about the
            centre by that many radians from right to down; 0 is the image as it is.
            For StyleGAN3: input.transform[:2, :2] = [[cos, sin], [-sin, cos]].
        latents: batches, one angle for each.

    Raises:
        ValueError: no batch, turn_by not in (0, 1], images too small for the filter (13 pixels and
            more after turning), that change shape or are not finite.

    Source: arXiv 2106.12423, appendix E.3.
    """
    if not 0 < turn_by <= 1:
        raise ValueError(f"turn_by = {turn_by}: must be above 0 and at most 1 half turn")
    if limiter not in ("exact", "stylegan3"):
        raise ValueError(unknown("limiter", limiter, ("exact", "stylegan3")))
    random = torch.Generator().manual_seed(seed)

    def compare(z: Tensor) -> tuple[Tensor, Tensor]:
        still = _images(generate(z, 0.0))
        share = float(torch.rand((), generator=random, dtype=torch.float64)) * 2 - 1
        angle = share * turn_by * math.pi
        turned, turned_mask = turn(still, angle)
        drawn = _images(generate(z, angle), still)
        limited, limited_mask = limit_as_turned(drawn, angle, aliased=limiter == "stylegan3")
        return (limited - turned).square(), turned_mask & limited_mask

    convention = {"transform": "rotation", "turn_by": turn_by, "limiter": limiter, "seed": seed}
    return _psnr("eq_r", compare, latents, data_range, convention)


def _images(images: Tensor, like: Tensor | None = None) -> Tensor:
    batch = image_batch(images, "generated").cpu().double()
    if like is not None and batch.shape != like.shape:
        raise ValueError(
            f"generate gave {tuple(like.shape)} for the still and {tuple(batch.shape)} for the"
            " moved input; both must agree"
        )
    return batch


def _psnr(
    name: str,
    compare: Callable[[Tensor], tuple[Tensor, Tensor]],
    latents: Iterable[Tensor],
    data_range: Range,
    convention: dict[str, object],
) -> Measure:
    sums, counts, n = [], [], 0
    with torch.no_grad():
        for z in latents:
            squared, mask = compare(z)
            if not mask.any():
                raise ValueError(
                    f"generated images of {tuple(mask.shape)} pixels leave none to compare; give"
                    " larger images, or smaller shifts"
                )
            sums.append(float(squared[..., mask].sum()))
            counts.append(float(mask.sum()) * squared.shape[0] * squared.shape[1])
            n += len(squared)
    if not sums:
        raise ValueError("latents is empty: give at least one batch, and two for an interval")
    mse, error = _ratio(torch.tensor(sums).double(), torch.tensor(counts).double())
    width = data_range[1] - data_range[0]
    value = 10 * math.log10(width**2 / mse) if mse > 0 else math.inf
    told = {"data_range": data_range, "unit": "dB", "n": n, "bias": "none"}
    return with_error(
        name,
        value,
        10 / math.log(10) * error / mse if mse > 0 else math.nan,
        convention=convention | told,
        parts={"mse": mse, "batches": len(sums)},
    )


def _ratio(sums: Tensor, counts: Tensor) -> tuple[float, float]:
    """sum / count over batches, and its error: the ratio estimator's linearization."""
    ratio = float(sums.sum() / counts.sum())
    k = len(sums)
    if k < 2:
        return ratio, math.nan
    residual = (sums - ratio * counts) / counts.mean()
    return ratio, float((residual.square().sum() / (k - 1) / k).sqrt())
