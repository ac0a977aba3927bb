"""The discriminator some steps ahead, differentiable by the generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

Score = Callable[..., Tensor]


def unrolled(
    discriminator: nn.Module,
    loss: Callable[[Score], Tensor],
    steps: int,
    lr: float,
    through: bool = True,
) -> Score:
    """x -> D(x) with the weights psi_K after `steps` gradient steps psi <- psi - lr dL_D/dpsi.

    `loss(score)` is the discriminator's scalar loss of a scoring function, with the fakes in the
    graph, not detached: `lambda score: hinge(score(real), score(fake)).mean()`. The generator then
    descends its own loss of `unrolled(...)(fake)`. With `through` its gradient has the second term
    dL_G/dpsi_K dpsi_K/dtheta, by higher-order autograd; without, psi_K is constant. The
    discriminator's weights, buffers and gradients stay as they are; it is trained as ever, by its
    own step. Memory and time grow with `steps`. Metz et al. 2017, eq. 7-9. Example:

    >>> D = nn.Linear(2, 1)
    >>> fake = torch.ones(3, 2, requires_grad=True)
    >>> ahead = unrolled(D, lambda score: score(fake).mean(), steps=5, lr=0.1)
    >>> (-ahead(fake)).mean().backward()

    Raises:
        ValueError: steps negative or lr not positive.
    """
    if steps < 0 or not lr > 0:
        raise ValueError(f"steps = {steps!r}, lr = {lr!r}: steps is at least 0, lr above 0")
    weights = {
        name: p.detach().clone().requires_grad_() for name, p in discriminator.named_parameters()
    }
    buffers = {name: b.clone() for name, b in discriminator.named_buffers()}
    with torch.enable_grad():
        for _ in range(steps):
            value = loss(_score(discriminator, weights, buffers))
            gradients = torch.autograd.grad(
                value, list(weights.values()), create_graph=through, materialize_grads=True
            )
            moved = zip(weights.items(), gradients, strict=True)
            weights = {name: weight - lr * gradient for (name, weight), gradient in moved}
            if not through:
                weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
    return _score(discriminator, weights, buffers)


def _score(
    discriminator: nn.Module, weights: dict[str, Tensor], buffers: dict[str, Tensor]
) -> Score:
    return lambda *inputs: functional_call(discriminator, (weights, buffers), inputs)
