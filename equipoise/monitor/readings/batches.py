"""What a batch of reals and a batch of fakes tell."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_SAMPLES = 32
MOST_PIXELS = 1024
NEAR = 0.01  # of the reals' range: this close to an end counts as at it


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


def contrast_readings(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Simple statistics by which reals and fakes can be told apart without learning.

    batch/shift: the largest difference between their channels' means, in standard deviations of
    the reals' channel. saturation/<side>: share of values within 1 % of the range from the lowest
    or highest value of the reals.
    """
    r, f = _by_channel(real), _by_channel(fake)
    if r.shape[0] != f.shape[0]:
        return {}
    spread = r.std(1, correction=0).clamp_min(1e-12)
    low, high = r.min(), r.max()
    margin = NEAR * (high - low)
    shares = {
        f"saturation/{side}": ((x <= low + margin) | (x >= high - margin)).float().mean()
        for side, x in (("real", r), ("fake", f))
    }
    return {"batch/shift": ((f.mean(1) - r.mean(1)).abs() / spread).max(), **shares}


def _by_channel(samples: Tensor) -> Tensor:
    """(N, C, ...) -> (C, M), of at most MOST_SAMPLES samples, float32."""
    few = samples.detach()[:MOST_SAMPLES].float()
    return few.transpose(0, 1).reshape(few.shape[1], -1)
