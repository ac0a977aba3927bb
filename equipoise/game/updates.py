"""How a player's weights follow its gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn


def adam(
    parameters: Iterable[nn.Parameter],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), one fused kernel for all tensors."""
    return torch.optim.Adam(
        parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True
    )


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": adam}


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """`module` takes no gradients inside: none are paid for, none leak into its next update."""
    live = [p for p in module.parameters() if p.requires_grad]
    for parameter in live:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in live:
            parameter.requires_grad_(True)
