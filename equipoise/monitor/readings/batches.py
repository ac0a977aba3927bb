"""What batches of reals and of fakes tell. Tensors are (K, N, ...): K iterations' batches."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_SAMPLES = 32
MOST_PIXELS = 1024
NEAR = 0.01  # of the reals' range: this close to an end counts as at it


def batch_readings(samples: Tensor, side: str) -> dict[str, Tensor]:
    """Mean, spread and extreme over each batch."""
    wide = samples.detach().float().flatten(1)
    mean = wide.mean(1)
    away = torch.linalg.vector_norm(wide - mean[:, None], dim=1)  # std() is many times slower
    return {
        f"batch/{side}/mean": mean,
        f"batch/{side}/std": away / wide.shape[1] ** 0.5,
        f"batch/{side}/extreme": wide.abs().amax(1),
    }


def diversity_readings(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Distances among fakes over distances among reals: median pair, median nearest neighbour."""
    count = min(real.shape[1], fake.shape[1], MOST_SAMPLES)
    if count < 3:
        return {}
    near_real, pairs_real = _distances(real[:, :count])
    near_fake, pairs_fake = _distances(fake[:, :count])
    return {
        "diversity/pairwise": pairs_fake / pairs_real.clamp_min(1e-12),
        "diversity/nearest": near_fake / near_real.clamp_min(1e-12),
    }


def _distances(samples: Tensor) -> tuple[Tensor, Tensor]:
    """(median nearest-neighbour distance, median pair distance), on at most MOST_PIXELS values."""
    flat = samples.detach().float().reshape(*samples.shape[:2], -1)
    flat = flat[..., :: -(-flat.shape[2] // MOST_PIXELS)]
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest = distances.amin(2).median(1).values
    count = flat.shape[1]
    row, column = torch.triu_indices(count, count, 1, device=flat.device)
    pairs = distances[:, row, column]
    return nearest, pairs.kthvalue((pairs.shape[1] + 1) // 2, dim=1).values


def contrast_readings(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Simple statistics by which reals and fakes can be told apart without learning.

    batch/shift: the largest difference between their channels' means, in standard deviations of
    the reals' channel. saturation/<side>: share of values within 1 % of the range from the lowest
    or highest value of the reals.
    """
    r, f = _by_channel(real), _by_channel(fake)
    if r.shape[1] != f.shape[1]:
        return {}
    spread = r.std(2, correction=0).clamp_min(1e-12)
    low, high = r.amin((1, 2), keepdim=True), r.amax((1, 2), keepdim=True)
    margin = NEAR * (high - low)
    shares = {
        f"saturation/{side}": ((x <= low + margin) | (x >= high - margin)).float().mean((1, 2))
        for side, x in (("real", r), ("fake", f))
    }
    return {"batch/shift": ((f.mean(2) - r.mean(2)).abs() / spread).amax(1), **shares}


def _by_channel(samples: Tensor) -> Tensor:
    """(K, N, C, ...) -> (K, C, M), of at most MOST_SAMPLES samples, float32."""
    few = samples.detach()[:, :MOST_SAMPLES].float()
    few = few[..., None] if few.dim() == 2 else few
    return few.transpose(1, 2).flatten(2)
