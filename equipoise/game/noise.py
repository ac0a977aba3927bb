"""Noise from a generator of the caller's own, wherever the data are."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(shape: tuple[int, ...], like: Tensor, noise: torch.Generator | None = None) -> Tensor:
    """U[0, 1) of `shape`, in the type and on the device of `like`; None: torch's own generator.

    Drawn on the generator's device, so that one seed gives one noise on every device.
    """
    device = like.device if noise is None else noise.device
    return torch.rand(shape, generator=noise, device=device, dtype=like.dtype).to(like.device)


def normal(shape: tuple[int, ...], like: Tensor, noise: torch.Generator | None = None) -> Tensor:
    """N(0, 1) of `shape`, in the type and on the device of `like`; None: torch's own generator."""
    device = like.device if noise is None else noise.device
    return torch.randn(shape, generator=noise, device=device, dtype=like.dtype).to(like.device)
