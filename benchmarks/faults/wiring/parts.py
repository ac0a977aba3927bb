"""What every loop is made of: data, two small players, their optimizers, the monitor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import equipoise

BATCH, Z, PIXELS = 16, 4, 12
ITERATIONS = 70  # more than the audit takes: it ends the loop


def data(count: int = BATCH) -> Tensor:
    """Smooth curves within [-1, 1], (count, PIXELS)."""
    phase = 6.3 * torch.rand(count, 1)
    return 0.9 * torch.sin(torch.linspace(0, 6.3, PIXELS) + phase)


def latent(count: int = BATCH) -> Tensor:
    """Standard normal noise, (count, Z)."""
    return torch.randn(count, Z)


def generator(*end: nn.Module) -> nn.Sequential:
    """Z -> PIXELS, ending in `end`, tanh if none."""
    last = end or (nn.Tanh(),)
    return nn.Sequential(nn.Linear(Z, 32), nn.ReLU(), nn.Linear(32, PIXELS), *last)


def discriminator(*end: nn.Module, norm: Callable[[int], nn.Module] | None = None) -> nn.Sequential:
    """PIXELS -> one logit, (N, 1), with `end` behind it."""
    between = [norm(32)] if norm is not None else []
    first, second = nn.Linear(PIXELS, 32), nn.Linear(32, 1)
    return nn.Sequential(first, *between, nn.LeakyReLU(0.2), second, *end)


def adam(module: nn.Module, lr: float = 2e-3) -> torch.optim.Adam:
    """Adam as GANs have it."""
    return torch.optim.Adam(module.parameters(), lr=lr, betas=(0.5, 0.99))


def game() -> tuple[nn.Module, nn.Module, torch.optim.Adam, torch.optim.Adam]:
    """Generator, discriminator and an optimizer of each."""
    g, d = generator(), discriminator()
    return g, d, adam(g), adam(d)


def watch(*players: Any, **options: Any) -> equipoise.Monitor:
    """The monitor, as a user attaches it."""
    return equipoise.Monitor(*players, **options)
