"""Means with their standard errors: over pairs, images, videos or batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equipoise.metrics.measure import Measure, with_error


def standard_error(values: Tensor) -> float:
    """s / sqrt(n) of independent values (n,), s with n - 1; NaN for one value or infinite ones."""
    finite = len(values) > 1 and bool(torch.isfinite(values).all())
    return float(values.double().std()) / math.sqrt(len(values)) if finite else math.nan


def mean_measure(
    name: str,
    values: Tensor,
    *,
    convention: Mapping[str, Any],
    parts: Mapping[str, float] | None = None,
    warnings: tuple[str, ...] = (),
) -> Measure:
    """The mean of independent values (n,), with s / sqrt(n) as its error and n in its convention.

    The way to stream: collect the per-image values of batches (`ssim_values`, `psnr_values`, ...),
    concatenate, and take this once.
    """
    return with_error(
        name,
        float(values.double().mean()),
        standard_error(values),
        convention=dict(convention) | {"n": len(values), "bias": "none"},
        parts=dict(parts or {}),
        warnings=warnings,
    )


def ratio_of_means(
    name: str,
    above: Tensor,
    below: Tensor,
    *,
    convention: Mapping[str, Any],
    parts: Mapping[str, float] | None = None,
    warnings: tuple[str, ...] = (),
) -> Measure:
    """mean(above) / mean(below) of two independent samples, error by the delta method.

    error^2 = (se_above / mean_below)^2 + (ratio se_below / mean_below)^2.
    """
    top, bottom = float(above.mean()), float(below.mean())
    ratio = top / bottom
    error = math.hypot(standard_error(above) / bottom, ratio * standard_error(below) / bottom)
    return with_error(
        name,
        ratio,
        error,
        convention=dict(convention) | {"n_fake": len(above), "n_real": len(below)},
        parts={"fake": top, "real": bottom} | dict(parts or {}),
        warnings=warnings,
    )
