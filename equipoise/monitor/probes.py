"""Measurements with a pass of their own, which leave everything as they found it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from equipoise.monitor.readings import flat_logits

MOST_HELD_OUT = 64


@contextlib.contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """`module` in evaluation mode without gradients; mode of every part and RNG restored."""
    modes = [(part, part.training) for part in module.modules()]
    with torch.random.fork_rng(), torch.no_grad():
        try:
            module.eval()
            yield
        finally:
            for part, mode in modes:
                part.training = mode


def held_out_logits(discriminator: nn.Module, held_out: Tensor) -> Tensor:
    """D on held-out reals in evaluation mode, as a vector."""
    device = next(iter(discriminator.parameters())).device
    with undisturbed(discriminator):
        return flat_logits(discriminator(held_out[:MOST_HELD_OUT].to(device)))
