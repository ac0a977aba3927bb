"""The adaptive weight: gradient norms of two terms, compared where both meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]


def gradient_norm(loss: Tensor, at: Tensor, scale: float = 1.0) -> Tensor:
    """||d loss / d at|| over all of `at`, in float32 at least, detached: a scalar.

    Keeps the graph for the backward to come. Exactly 0 where the loss does not depend on `at`.

    Args:
        loss: scalar with graph.
        at: the output tensor or a layer's weight; must require gradients.
        scale: the loss is multiplied by it before and the norm divided after: the gradient
            scaler's factor, without which most adversarial gradients underflow in float16.

    Raises:
        ValueError: `at` takes no gradients.
    """
    if not at.requires_grad:
        raise ValueError(
            "at.requires_grad = False: norms are taken of gradients at this tensor; pass the output"
            " with its graph, or the weight of a layer that is trained"
        )
    (found,) = torch.autograd.grad(loss * scale, at, retain_graph=True, materialize_grads=True)
    wide = found if found.dtype == torch.float64 else found.float()
    return torch.linalg.vector_norm(wide) / scale


def adversarial_share(
    weight: Tensor | float, reconstruction_norm: Tensor, adversarial_norm: Tensor
) -> Tensor:
    """||w g_adv|| / ||g_rec||: 1 where both terms pull alike, infinite where one pulls alone.

    Of the whole pull the adversarial term has r / (1 + r). With the adaptive weight clamped at c
    it is disc_weight min(1, c / raw), raw = ||g_rec|| / ||g_adv||.
    """
    return weight * adversarial_norm / reconstruction_norm


@dataclass(frozen=True)
class Adaptive:
    """How the adaptive weight is bounded.

    Attributes:
        disc_weight: s, the share that it aims at; 0.5 to 0.8 in public code.
        largest: w_max, the bound of the ratio of norms before s; 1e4 in public code. Under sum
            reduction healthy ratios exceed it: bound the share instead.
        eps: added to ||g_adv||, 1e-4 in public code; with `relative`, a share of ||g_rec|| below
            which ||g_adv|| does not count: max(||g_adv||, eps ||g_rec||). A common scale of
            both losses does not change it, and the ratio is at most 1 / eps: under sum reduction of
            one loss alone, where ratios of 1e6 are healthy, eps must be as small as 1e-8.
        relative: see eps.
        largest_share: bound of ||w g_adv|| / ||g_rec||; None: none.
        scale: see `gradient_norm`.
    """

    disc_weight: float = 1.0
    largest: float = 1e4
    eps: float = 1e-4
    relative: bool = False
    largest_share: float | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        bounds = {"disc_weight": self.disc_weight, "largest": self.largest, "eps": self.eps}
        bounds["largest_share"] = 0.0 if self.largest_share is None else self.largest_share
        for name, value in bounds.items():
            if not value >= 0:
                raise ValueError(f"{name} = {value!r}: a weight's bound is at least 0")
        if not self.scale > 0:
            raise ValueError(f"scale = {self.scale!r}: the gradient scaler's factor is above 0")


@dataclass(frozen=True)
class Weight:
    """An adaptive weight and how it came about; scalar tensors, detached.

    Attributes:
        weight: w, what the adversarial loss is multiplied by.
        share: ||w g_adv|| / ||g_rec||.
        reconstruction_norm, adversarial_norm: after `reduce`.
        clamped: whether a bound decided (largest, or largest_share).
        eps_share: the part of the denominator that is eps, in [0, 1] (relative: 0 or 1).
    """

    weight: Tensor
    share: Tensor
    reconstruction_norm: Tensor
    adversarial_norm: Tensor
    clamped: Tensor
    eps_share: Tensor


def adaptive_weight(
    reconstruction: Tensor,
    adversarial: Tensor,
    at: Tensor,
    settings: Adaptive | None = None,
    reduce: Reduce | None = None,
) -> Weight:
    """w = s clamp(||g_rec|| / (||g_adv|| + eps), 0, w_max): the weight of taming and its heirs.

    Unclamped, the adversarial gradient is s times as long as the reconstruction's at `at`, whatever
    their scales. Esser et al. 2021 (taming transformers), equation 7; latent diffusion, LlamaGen
    and diffusers compute the same. Costs two partial backward passes.

    Args:
        reconstruction, adversarial: scalar losses with graph.
        at: the output tensor (default of the field's later code), or a layer's weight.
        reduce: (2,) -> (2,), the mean over processes of the squared norms; without it every
            process has its own weight. Compute outside of autocast, or pass `scale`.

    Raises:
        ValueError: `at` takes no gradients.
    """
    settings = settings or Adaptive()
    norms = [gradient_norm(loss, at, settings.scale) for loss in (reconstruction, adversarial)]
    if reduce is not None:
        norms = list(reduce(torch.stack(norms).square()).sqrt())
    return weight_of_norms(norms[0], norms[1], settings)


@torch.no_grad()
def weight_of_norms(
    reconstruction_norm: Tensor, adversarial_norm: Tensor, settings: Adaptive
) -> Weight:
    """The adaptive weight from norms that were measured already (or averaged over steps)."""
    below, eps_share = _denominator(reconstruction_norm, adversarial_norm, settings)
    raw = reconstruction_norm / below
    weight = raw.clamp(0, settings.largest) * settings.disc_weight
    clamped = raw > settings.largest
    if settings.largest_share is not None:
        bound = settings.largest_share * reconstruction_norm / _positive(adversarial_norm)
        clamped = clamped | (weight > bound)
        weight = torch.minimum(weight, bound)
    share = adversarial_share(weight, reconstruction_norm, adversarial_norm)
    return Weight(weight, share, reconstruction_norm, adversarial_norm, clamped, eps_share)


def _denominator(
    reconstruction_norm: Tensor, adversarial_norm: Tensor, settings: Adaptive
) -> tuple[Tensor, Tensor]:
    if settings.relative:
        floor = settings.eps * reconstruction_norm
        governs = (adversarial_norm < floor).to(floor.dtype)
        return _positive(torch.maximum(adversarial_norm, floor)), governs
    below = _positive(adversarial_norm + settings.eps)
    return below, settings.eps / below


def _positive(norm: Tensor) -> Tensor:
    return norm.clamp(min=torch.finfo(norm.dtype).tiny)
