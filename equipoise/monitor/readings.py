"""What can be read from tensors at hand: pure functions, tensors in, scalar tensors out.

Nothing here waits for the device: results stay where they are until the tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

MOST_LOGITS = 2048  # per side, evenly spaced; patches of one image are near copies of each other
MOST_SAMPLES = 32
MOST_PIXELS = 1024


def flat_logits(logits: Any) -> Tensor:
    """Logits in any of the shapes that discriminators return, as one detached vector.

    A tensor of any shape; a list or mapping of such; a (logits, features) tuple, of which the first
    counts. Several discriminators are concatenated. Of many, an even selection stands for all.

    Raises:
        TypeError: something else.
    """
    return _thinned(whole_logits(logits), MOST_LOGITS)


def whole_logits(logits: Any) -> Tensor:
    """As `flat_logits`, every value kept."""
    parts = _logit_parts(logits)
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _logit_parts(logits: Any) -> list[Tensor]:
    if isinstance(logits, Tensor):
        wide = logits.detach().flatten()
        return [wide if wide.dtype == torch.float64 else wide.float()]
    if isinstance(logits, Mapping) and logits:
        return [part for value in logits.values() for part in _logit_parts(value)]
    if isinstance(logits, tuple) and logits:
        return _logit_parts(logits[0])
    if isinstance(logits, list) and logits:
        return [part for value in logits for part in _logit_parts(value)]
    raise TypeError(
        f"logits are {type(logits).__name__}: pass a tensor, a list or mapping of tensors, or"
        " (logits, features)"
    )


def _thinned(values: Tensor, most: int) -> Tensor:
    return values[:: -(-len(values) // most)] if len(values) > most else values


def side_readings(logits: Tensor, side: str) -> dict[str, Tensor]:
    """Mean, spread and sign rate of one side's logits."""
    readings = {
        f"logits/{side}/mean": logits.mean(),
        f"logits/{side}/std": logits.std(correction=0),
    }
    if side == "real":
        readings["sign_rate/real"] = logits.sign().mean()
    return readings


def pair_readings(real: Tensor, fake: Tensor, neutral: float | None = 0.0) -> dict[str, Tensor]:
    """AUC, accuracy, gap and extreme of a pair of logit vectors.

    gap = (mean r - mean g) / sqrt((var r + var g) / 2). Accuracy counts r above and g below
    `neutral`, the logit of not knowing (0.5 for least squares with labels 0 and 1); None: the
    midpoint of the means, where a common drift of the logits means nothing.
    """
    spread = ((real.var(correction=0) + fake.var(correction=0)) / 2).sqrt()
    gap = real.mean() - fake.mean()
    middle = (real.mean() + fake.mean()) / 2 if neutral is None else neutral
    right = ((real > middle).float().mean() + (fake < middle).float().mean()) / 2
    return {
        "auc/discriminator": area_under_curve(real, fake),
        "accuracy/discriminator": right,
        "logits/gap": gap / spread.clamp_min(1e-12),
        "logits/extreme": torch.maximum(real.abs().max(), fake.abs().max()),
    }


def area_under_curve(real: Tensor, fake: Tensor) -> Tensor:
    """P(r > g) + P(r = g) / 2 over all pairs, by sorting. Logits that are not finite give NaN."""
    ordered = fake.sort().values
    below = torch.searchsorted(ordered, real, right=False)
    through = torch.searchsorted(ordered, real, right=True)
    auc = (below + through).to(real.dtype).mean() / (2 * len(ordered))
    return torch.where(
        torch.isfinite(real.sum() + fake.sum()), auc, torch.full_like(auc, torch.nan)
    )


def batch_readings(samples: Tensor, side: str) -> dict[str, Tensor]:
    """Mean, spread and extreme over a batch."""
    wide = samples.detach().float()
    return {
        f"batch/{side}/mean": wide.mean(),
        f"batch/{side}/std": wide.std(correction=0),
        f"batch/{side}/extreme": wide.abs().max(),
    }


def diversity_readings(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Distances among fakes over distances among reals: median pair, median nearest neighbour."""
    count = min(len(real), len(fake), MOST_SAMPLES)
    if count < 3:
        return {}
    near_real, pairs_real = _distances(real[:count])
    near_fake, pairs_fake = _distances(fake[:count])
    return {
        "diversity/pairwise": pairs_fake / pairs_real.clamp_min(1e-12),
        "diversity/nearest": near_fake / near_real.clamp_min(1e-12),
    }


def _distances(samples: Tensor) -> tuple[Tensor, Tensor]:
    """(median nearest-neighbour distance, median pair distance), on at most MOST_PIXELS values."""
    flat = samples.detach().float().reshape(len(samples), -1)
    flat = flat[:, :: -(-flat.shape[1] // MOST_PIXELS)]
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    nearest = distances.min(1).values.median()
    pairs = len(flat) * (len(flat) - 1)  # the diagonal, at infinity, sorts behind them
    return nearest, distances.flatten().kthvalue((pairs + 1) // 2).values


def total_norm(tensors: list[Tensor]) -> Tensor:
    """L2 norm over all tensors together, in one fused pass, in float32 at least."""
    wide = any(t.dtype == torch.float64 for t in tensors)
    norms = torch._foreach_norm(tensors, 2, torch.float64 if wide else torch.float32)
    home = norms[0].device  # a player may be spread over several devices
    return torch.linalg.vector_norm(torch.stack([n.to(home) for n in norms])).float()
