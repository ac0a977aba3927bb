"""Measurements with a pass of their own, which leave everything as they found it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from equipoise.monitor.readings import flat_logits

MOST_HELD_OUT = 64


@contextlib.contextmanager
def undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """`module` in evaluation mode without gradients; mode of every part and RNG restored."""
    modes = [(part, part.training) for part in module.modules()]
    devices = [device] if device.type == "cuda" else []  # unasked, all devices would be woken up
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        try:
            module.eval()
            yield
        finally:
            for part, mode in modes:
                part.training = mode


def held_out_logits(discriminator: nn.Module, held_out: Tensor) -> Tensor:
    """D on held-out reals in evaluation mode, as a vector."""
    device = next((p.device for p in discriminator.parameters()), held_out.device)
    with undisturbed(discriminator, device):
        return flat_logits(discriminator(held_out[:MOST_HELD_OUT].to(device)))
