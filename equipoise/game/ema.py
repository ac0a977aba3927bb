"""Exponential moving average of a module's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


def averaged(module: nn.Module) -> nn.Module:
    """A copy of `module` that takes no gradients, in evaluation mode, to hold the average."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def decay_of(half_life_images: float, images: float) -> float:
    """beta = 2^(-images / half_life_images): what is left of the old weights after `images`."""
    return 0.5 ** (images / half_life_images)


@torch.no_grad()
def ema_update(average: nn.Module, module: nn.Module, beta: float) -> None:
    """average <- beta average + (1 - beta) module; buffers are copied. Karras et al. 2018."""
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - beta)
    for mean, now in zip(average.buffers(), module.buffers(), strict=True):
        mean.copy_(now)
