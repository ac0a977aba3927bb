"""What gradients and the optimizer's moments tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

MOST_ENTRIES = 1 << 15  # of all gradients; shares are taken of an even selection
TINY = 2.0**-24  # the least positive float16: what is below becomes 0 there


def total_norm(tensors: list[Tensor]) -> Tensor:
    """L2 norm over all tensors together, in one fused pass, in float32 at least."""
    wide = any(t.dtype == torch.float64 for t in tensors)
    norms = torch._foreach_norm(tensors, 2, torch.float64 if wide else torch.float32)
    home = norms[0].device  # a player may be spread over several devices
    return torch.linalg.vector_norm(torch.stack([n.to(home) for n in norms])).float()


def emptiness_readings(gradients: Sequence[Tensor], player: str) -> dict[str, Tensor]:
    """Shares of the gradient's entries that are exactly 0, and that float16 would round to 0.

    Entries are an even selection of each tensor. gradient_zero counts zeros (dead units, cut
    graphs); gradient_underflow what is not 0 and below 2^-24, the least float16.
    """
    entries = torch.cat([_thinned(g, len(gradients)) for g in gradients])
    size = entries.abs()
    return {
        f"gradient_zero/{player}": (size == 0).float().mean(),
        f"gradient_underflow/{player}": ((size > 0) & (size < TINY)).float().mean(),
    }


def _thinned(gradient: Tensor, tensors: int) -> Tensor:
    most = max(MOST_ENTRIES // tensors, 64)
    flat = gradient.detach().flatten()
    return flat[:: -(-len(flat) // most)].float() if len(flat) > most else flat.float()


def certainty_reading(
    states: Sequence[Mapping[str, Tensor]], betas: tuple[float, float], updates: int, player: str
) -> dict[str, Tensor]:
    """RMS of Adam's m / sqrt(v) over what pure noise gives, sqrt((1 - b1) / (1 + b1)).

    About 1 where the gradient changes sign at random from step to step; more where steps agree, up
    to the inverse of the floor. With b1 = 0 it is 1 throughout and tells nothing: left out. Bias
    corrections are those of `updates`, at least 1. Kingma and Ba 2015; the floor is that of an
    average of independent numbers with weights (1 - b1) b1^k.
    """
    if betas[0] == 0 or not states or updates < 1:
        return {}
    parts = []
    for state in states:
        mean = _thinned(state["exp_avg"], len(states)) / (1 - betas[0] ** updates)
        square = _thinned(state["exp_avg_sq"], len(states)) / (1 - betas[1] ** updates)
        parts.append((mean.square() / square.clamp_min(1e-30))[square > 0])
    floor = (1 - betas[0]) / (1 + betas[0])
    return {f"certainty/{player}": (torch.cat(parts).mean() / floor).sqrt()}


def pull_readings(gradient: Tensor) -> dict[str, Tensor]:
    """The generator's loss by its fakes, (N, ...): mean size per sample, and alignment.

    pull/norm: mean_i |s_i| N, s_i = d mean-loss / d y_i, so that the batch size does not enter.
    pull/alignment: (|sum u_i|^2 - N) / (N (N - 1)), u_i = s_i / |s_i|: 1 where all fakes are pushed
    the same way, 0 where the pushes are unrelated. Early on it is high in healthy runs too.
    """
    flat = gradient.detach().float().flatten(1)
    sizes = flat.norm(dim=1)
    n = len(flat)
    found = {"pull/norm": sizes.mean() * n}
    if n > 1:
        units = flat / sizes.clamp_min(1e-30)[:, None]
        found["pull/alignment"] = (units.sum(0).square().sum() - n) / (n * (n - 1))
    return found
