"""How noisy a batch's gradient is, and which batch size that speaks for."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_noise_scale(gradients: Tensor, batch: int) -> Tensor:
    """B_simple = tr Sigma / |G|^2 from M >= 2 gradients of independent batches: a scalar.

    Args:
        gradients: (M, d), each the mean gradient of `batch` samples.
        batch: b, samples behind each.

    With m the mean and v = sum_i |g_i - m|^2 / (M - 1): tr Sigma = b v and |G|^2 = |m|^2 - v / M,
    both unbiased (their ratio is not). Infinite where no signal is left, |G|^2 <= 0. A batch much
    smaller than B_simple is mostly noise; one much larger repeats itself. McCandlish et al. 2018
    (arXiv 1812.06162), section 2.2 and appendix A.

    Raises:
        ValueError: fewer than 2 gradients, or batch below 1.
    """
    if gradients.dim() != 2 or len(gradients) < 2 or batch < 1:
        raise ValueError(
            f"gradients of shape {tuple(gradients.shape)}, batch = {batch!r}: at least 2 gradients"
            " (M, d) of batches of 1 or more are needed"
        )
    wide = gradients.double()
    mean = wide.mean(0)
    spread = (wide - mean).square().sum() / (len(wide) - 1)
    signal = mean.square().sum() - spread / len(wide)
    none = torch.full_like(signal, torch.inf)
    return torch.where(signal > 0, batch * spread / signal, none)


def expected_cosine(noise_scale: float, batch: int) -> float:
    """About 1 / (1 + B_simple / b): the cosine between the gradients of two batches of b.

    >>> round(expected_cosine(21.0, 16), 3)
    0.432
    """
    return 1 / (1 + noise_scale / batch)
