"""Penalties on the discriminator, per sample; the caller multiplies by gamma / 2 and averages.

A penalty is a function of a `Pair`: the images and logits of one discriminator update. Input
gradients are computed once per pair, however many penalties ask for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Pair:
    """Real and fake images (N, ...) with the logits that the discriminator gave them.

    Images must require gradients where a penalty differentiates by them, and the batch must not be
    coupled (batch normalization): d sum_i D(x_i) / d x_j is then sample j's own gradient.
    """

    discriminator: nn.Module
    real: Tensor
    fake: Tensor
    real_logits: Tensor
    fake_logits: Tensor
    _gradients: dict[str, Tensor] = field(default_factory=dict)

    def gradient(self, side: str) -> Tensor:
        """dD/dx at "real" or "fake" images, shape as the images, itself differentiable."""
        if side not in self._gradients:
            wanted = [s for s in ("real", "fake") if getattr(self, s).requires_grad]
            if side not in wanted:
                raise ValueError(
                    f"{side}.requires_grad = False: a gradient penalty differentiates by these"
                    f" images; call {side}.requires_grad_() before the discriminator sees them"
                )
            total = self.real_logits.sum() + self.fake_logits.sum()
            found = torch.autograd.grad(
                total, [getattr(self, s) for s in wanted], create_graph=True
            )
            self._gradients.update(zip(wanted, found, strict=True))
        return self._gradients[side]


def squared_norm(gradient: Tensor) -> Tensor:
    """||gradient_i||^2 of each sample, in float32 at least: (N, ...) -> (N,)."""
    wide = gradient if gradient.dtype == torch.float64 else gradient.float()
    return wide.flatten(1).square().sum(1)


def r1(pair: Pair) -> Tensor:
    """||dD/dx||^2 at the reals. Mescheder, Geiger and Nowozin 2018, eq. 9."""
    return squared_norm(pair.gradient("real"))


def r2(pair: Pair) -> Tensor:
    """||dD/dx||^2 at the fakes. Mescheder, Geiger and Nowozin 2018, eq. 10."""
    return squared_norm(pair.gradient("fake"))


@dataclass(frozen=True)
class Penalty:
    """A penalty and the images that it differentiates by ("real", "fake")."""

    value: Callable[[Pair], Tensor]
    differentiates: tuple[str, ...] = ()


PENALTIES: dict[str, Penalty] = {
    "r1": Penalty(r1, ("real",)),
    "r2": Penalty(r2, ("fake",)),
}
