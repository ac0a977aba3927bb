"""Lazy penalties: every k steps, k times as strong."""

from __future__ import annotations


def lazy_weight(gamma: float, every: int) -> float:
    """gamma k: the weight of a penalty that is paid every k steps, for the same mean pull.

    Karras et al. 2020 (StyleGAN2), appendix B, k = 16 for R1 and 8 for path length; match the
    optimizer with `lazy_adam`.

    Warning: fails where the penalty has to hold the game at every step. R3GAN (Huang et al. 2024,
    appendix E) saw complete failure to converge with k = 8 on toys (25 Gaussians) and on stacked
    digits. Pay it at every step there.

    Raises:
        ValueError: gamma < 0 or every < 1.

    >>> lazy_weight(10.0, 16)
    160.0
    """
    if not gamma >= 0:
        raise ValueError(f"gamma = {gamma!r}: a penalty's weight is at least 0")
    return gamma * _interval(every)


def lazy_adam(lr: float, beta1: float, beta2: float, every: int) -> tuple[float, float, float]:
    """(c lr, beta1^c, beta2^c) with c = k / (k + 1), for a penalty in a step of its own.

    A separate step for the penalty makes k + 1 steps of k; this keeps Adam's pace and memory.
    Karras et al. 2020 (StyleGAN2), appendix B.

    Raises:
        ValueError: every < 1.
    """
    share = _interval(every) / (every + 1)
    return lr * share, beta1**share, beta2**share


def _interval(every: int) -> int:
    if every < 1:
        raise ValueError(f"every = {every!r}: a penalty is paid every k >= 1 steps; 16 is usual")
    return every
