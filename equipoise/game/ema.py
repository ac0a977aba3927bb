"""Exponential moving average of a module's weights, and the batch statistics that go with it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def averaged(module: nn.Module) -> nn.Module:
    """A copy of `module` that takes no gradients, in evaluation mode, to hold the average."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def decay_of(half_life_images: float, images: float) -> float:
    """beta = 2^(-images / half_life_images): what is left of the old weights after `images`."""
    return 0.5 ** (images / half_life_images)


def ramped_half_life(half_life_kimg: float, images: float, rampup: float | None = None) -> float:
    """min(1000 half_life_kimg, rampup * images): the half-life, in images, after `images` shown.

    The ramp-up keeps the first, random weights from lingering; 0.05 is usual, None is none. At
    least one image, so that `decay_of` is defined at the start. Karras et al. 2020 (StyleGAN2),
    their released code. Use: `ema_update(average, module, decay_of(ramped_half_life(10, n, 0.05),
    batch))`.

    Raises:
        ValueError: half_life_kimg or rampup not positive.
    """
    if not half_life_kimg > 0 or (rampup is not None and not rampup > 0):
        raise ValueError(
            f"half_life_kimg = {half_life_kimg!r}, rampup = {rampup!r}: both are above 0"
            " (rampup may be None)"
        )
    half_life = half_life_kimg * 1000
    return max(half_life if rampup is None else min(half_life, rampup * images), 1.0)


def ema_update(average: nn.Module, module: nn.Module, beta: float) -> None:
    """average <- beta average + (1 - beta) module; buffers are copied. Karras et al. 2018."""
    following(average, module)(beta)


def following(average: nn.Module, module: nn.Module) -> Callable[[float], None]:
    """`ema_update` of these two as a function of beta, their tensors looked up once.

    For a loop of small networks, where walking through modules costs as much as the average. The
    modules must keep their tensors: no `.to(device)` of parameters afterwards.
    """
    means, weights = list(average.parameters()), list(module.parameters())
    buffers = list(zip(average.buffers(), module.buffers(), strict=True))

    @torch.no_grad()
    def update(beta: float) -> None:
        if means:
            torch._foreach_lerp_(means, weights, 1 - beta)
        for mean, now in buffers:
            mean.copy_(now)

    return update


@torch.no_grad()
def standing_statistics(module: nn.Module, forward: Callable[[int], Tensor], batches: int) -> int:
    """Batch normalization's running statistics anew: the plain mean over `batches` forward passes.

    `forward(i)` runs the i-th pass of `module`, for instance `lambda i: generator(z[i])`; only the
    normalization layers are in training mode meanwhile, and modes and momenta are put back.
    Averaged weights need it: their activations have other statistics than the ones that were
    copied. Returns how many layers were set; with 0, nothing ran. BigGAN, appendix B.

    Raises:
        ValueError: batches is below 1.
    """
    if batches < 1:
        raise ValueError(f"batches = {batches!r}: at least one pass is needed; 16 is usual")
    layers = [
        m
        for m in module.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats
    ]
    if not layers:
        return 0
    modes = [(m, m.training) for m in module.modules()]
    momenta = [m.momentum for m in layers]
    module.eval()
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch: a cumulative mean
            layer.train()
        for index in range(batches):
            forward(index)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for layer, mode in modes:
            layer.training = mode
    return len(layers)
