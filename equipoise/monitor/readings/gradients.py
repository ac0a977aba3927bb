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
    return {name: share[0] for name, share in _emptiness(entries[None], player).items()}


def _emptiness(entries: Tensor, player: str) -> dict[str, Tensor]:
    """Of entries (K, M), K shares each."""
    size, count = entries.abs(), entries.shape[1]
    zero = count - size.count_nonzero(1)
    tiny = (size < TINY).sum(1) - zero
    return {f"gradient_zero/{player}": zero / count, f"gradient_underflow/{player}": tiny / count}


def update_readings(
    gradients: Tensor,
    before: Tensor,
    after: Tensor | None,
    shapes: Sequence[int],
    player: str,
) -> dict[str, Tensor]:
    """All that K updates tell of one player, from its flattened tensors, (K, M) each.

    The fast twin of `total_norm` and `emptiness_readings`: gradients and weights as each update
    found them, and the weights `after` it; `shapes` are the numbers of each gradient's tensor.
    """
    weights, norm = (torch.linalg.vector_norm(rows, dim=1) for rows in (before, gradients))
    found = {
        f"parameter_norm/{player}": weights,
        f"gradient_norm/{player}": norm,
        f"nonfinite/{player}": (~torch.isfinite(norm)).float(),
    }
    found |= _emptiness(_thinned_rows(gradients, shapes), player)
    if after is not None:
        moved = torch.linalg.vector_norm(after - before, dim=1)
        found[f"update_ratio/{player}"] = moved / weights.clamp_min(1e-12)
    return found


def _thinned_rows(rows: Tensor, numbers: Sequence[int]) -> Tensor:
    """`_thinned` of each tensor in a row, the tensors having so many numbers."""
    most = _most(len(numbers))
    if max(numbers) <= most:
        return rows
    parts = rows.split(list(numbers), dim=1)
    return torch.cat([p[:, :: -(-p.shape[1] // most)] for p in parts], dim=1)


def _thinned(gradient: Tensor, tensors: int) -> Tensor:
    most = _most(tensors)
    flat = gradient.detach().flatten()
    return flat[:: -(-len(flat) // most)].float() if len(flat) > most else flat.float()


def _most(tensors: int) -> int:
    """Entries looked at in each of so many tensors."""
    return max(MOST_ENTRIES // tensors, 64)


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


def certainty_rows(
    mean: Tensor, square: Tensor, corrections: Tensor, numbers: Sequence[int], beta1: float
) -> Tensor:
    """The fast twin of `certainty_reading`: of moments (K, M), flattened, K certainties.

    `corrections`, (K, 2): 1 - b1^t and 1 - b2^t; `numbers` are those of each moment's tensor.
    """
    size = _thinned_rows(mean, numbers) / corrections[:, :1]
    spread = _thinned_rows(square, numbers) / corrections[:, 1:]
    known = spread > 0
    ratios = torch.where(known, size.square() / spread.clamp_min(1e-30), 0.0)
    floor = (1 - beta1) / (1 + beta1)
    return (ratios.sum(1) / known.sum(1) / floor).sqrt()


def pull_readings(gradient: Tensor) -> dict[str, Tensor]:
    """The generator's loss by its fakes, (K, N, ...): mean size per sample, and alignment.

    pull/norm: mean_i |s_i| N, s_i = d mean-loss / d y_i, so that the batch size does not enter.
    pull/alignment: (|sum u_i|^2 - N) / (N (N - 1)), u_i = s_i / |s_i|: 1 where all fakes are pushed
    the same way, 0 where the pushes are unrelated. Early on it is high in healthy runs too. One of
    each for every one of the K iterations.
    """
    flat = gradient.detach().float().reshape(*gradient.shape[:2], -1)
    sizes = flat.norm(dim=2)
    n = flat.shape[1]
    found = {"pull/norm": sizes.mean(1) * n}
    if n > 1:
        units = flat / sizes.clamp_min(1e-30)[..., None]
        found["pull/alignment"] = (units.sum(1).square().sum(1) - n) / (n * (n - 1))
    return found
