"""EnCodec's balancer: each loss has its share of the gradient at the output, whatever its scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from equipoise.game.weighting.adaptive import Reduce


@dataclass(frozen=True)
class Balancer:
    """How several losses share the gradient at the output.

    Attributes:
        weights: lambda_i by name, shares of the gradient rather than factors of the loss.
        total: R, the norm of the whole gradient for one sample.
        decay: beta of the norms' moving averages; 0.999 in EnCodec.
        floor: an average below this part of the largest average counts as that much, so that a
            loss whose gradient vanishes is amplified by at most 1 / floor; 0 is EnCodec's.
        eps: added to each average; 1e-12 in EnCodec.
    """

    weights: Mapping[str, float]
    total: float = 1.0
    decay: float = 0.999
    floor: float = 0.01
    eps: float = 1e-12

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights.values()) < 0 or not sum(self.weights.values()) > 0:
            raise ValueError(
                f"weights = {dict(self.weights)!r}: shares are at least 0, and one is above 0"
            )
        if not (0 <= self.decay < 1 and 0 <= self.floor <= 1):
            raise ValueError(
                f"decay = {self.decay!r}, floor = {self.floor!r}: decay is in [0, 1), floor in"
                " [0, 1]; 0.999 and 0.01 are sound"
            )


@dataclass(frozen=True)
class BalancerState:
    """Moving averages of gradient norms by loss, times (1 - beta^updates).

    Save it with `to_dict`; empty before the first step.
    """

    norms: Mapping[str, Tensor] = field(default_factory=dict)
    updates: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Plain numbers for a checkpoint; waits for the device."""
        norms = {name: norm.item() for name, norm in self.norms.items()}
        return {"norms": norms, "updates": dict(self.updates)}

    @classmethod
    def from_dict(
        cls, saved: Mapping[str, Mapping[str, float]], like: Tensor | None = None
    ) -> BalancerState:
        """The state that `to_dict` saved, on the device of the output `like`, bit for bit."""
        device = None if like is None else like.device
        exact = like is not None and like.dtype == torch.float64
        dtype = torch.float64 if exact else torch.float32
        norms = {k: torch.tensor(v, dtype=dtype, device=device) for k, v in saved["norms"].items()}
        return cls(norms, {k: int(v) for k, v in saved["updates"].items()})


def balanced_gradient(
    losses: Mapping[str, Tensor],
    at: Tensor,
    settings: Balancer,
    state: BalancerState | None = None,
    reduce: Reduce | None = None,
) -> tuple[Tensor, BalancerState]:
    """(G, new state): G = sum_i R lambda_i / sum lambda g_i / <||g_i||>, for `at.backward(G)`.

    g_i = d l_i / d at, <.> a moving average over steps of the norm of a sample's gradient, averaged
    over the batch. Losses then have their shares whatever their scales. `at` (N, ...) must be the
    losses' only path to the generator; what passes elsewhere needs a backward of its own, first
    and with retain_graph=True. Defossez et al. 2022 (EnCodec), section 3.4.

    Args:
        losses: scalars with graph, by the names of `settings.weights`; a subset may be given.
        reduce: (K,) -> (K,), the mean over processes of the norms of the K losses.

    Raises:
        ValueError: a loss without a weight, or none at all.
    """
    state = state or BalancerState()
    if not losses or not set(losses) <= set(settings.weights):
        raise ValueError(
            f"losses = {sorted(losses)}: each needs a weight, and there are weights for"
            f" {sorted(settings.weights)}; name them alike"
        )
    gradients = {
        name: torch.autograd.grad(loss, at, retain_graph=True, materialize_grads=True)[0]
        for name, loss in losses.items()
    }
    norms = torch.stack([_norm_of_samples(g) for g in gradients.values()])
    norms = norms if reduce is None else reduce(norms)
    state = _averaged(state, dict(zip(gradients, norms, strict=True)), settings.decay)
    return _combined(gradients, state, settings), state


def _norm_of_samples(gradient: Tensor) -> Tensor:
    wide = gradient if gradient.dtype == torch.float64 else gradient.float()
    return torch.linalg.vector_norm(wide.flatten(1), dim=1).mean()


def _averaged(state: BalancerState, norms: Mapping[str, Tensor], decay: float) -> BalancerState:
    kept, updates = dict(state.norms), dict(state.updates)
    for name, norm in norms.items():
        kept[name] = decay * kept.get(name, torch.zeros_like(norm)) + (1 - decay) * norm
        updates[name] = updates.get(name, 0) + 1
    return BalancerState(kept, updates)


def _combined(gradients: Mapping[str, Tensor], state: BalancerState, settings: Balancer) -> Tensor:
    averages = torch.stack(
        [state.norms[k] / (1 - settings.decay ** state.updates[k]) for k in gradients]
    )
    below = torch.maximum(averages, settings.floor * averages.max()) + settings.eps
    whole = sum(settings.weights[name] for name in gradients)
    if not whole > 0:
        raise ValueError(
            f"losses = {sorted(gradients)}: all have weight 0; give one of them a share"
        )
    parts = [
        settings.total * settings.weights[name] / whole / low * gradient
        for (name, gradient), low in zip(gradients.items(), below, strict=True)
    ]
    return torch.stack(parts).sum(0).to(parts[0].dtype)
