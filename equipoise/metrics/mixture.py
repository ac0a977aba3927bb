"""How well samples of a known mixture of Gaussians find its modes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array, rows, same_width

REACH = 3.0  # sigma; PacGAN, arXiv 1712.04086, and VEEGAN, arXiv 1705.07761
FAIR = 0.2  # of a mode's equal share


class ModeCount(NamedTuple):
    """What samples found of K modes; see `mode_count`."""

    modes: float
    fair_modes: float
    mode_coverage: float
    high_quality: float
    mode_kl: float


def mode_count(samples: Array, centers: Array, sigma: float) -> ModeCount:
    """Count modes over samples (n, d) of K equal Gaussians N(centers_k, sigma^2 I).

    A sample belongs to its nearest centre, and is of high quality within 3 sigma of it.
    modes = centres with at least 1 high-quality sample; mode_coverage = modes / K; fair_modes =
    centres with at least 20 % of their share n / K in high-quality samples; high_quality = share
    of high-quality samples; mode_kl = sum_k p_k ln(K p_k) in nats, p_k the share of all samples
    that belong to k.
    A perfect sampler in 2-D has high_quality 1 - exp(-4.5) = .98889 and mode_kl about
    (K - 1) / 2n (`mode_kl_floor`); one mode alone has mode_kl ln K.

    Raises:
        ValueError: no sample, a row that is not finite, different d, sigma not above 0.

    Source: arXiv 1712.04086, section 4.1.
    """
    x, c = rows(samples, "samples"), rows(centers, "centers")
    same_width(x, c, "samples and centers")
    if not sigma > 0:
        raise ValueError(f"sigma = {sigma}: must be above 0")
    modes = len(c)
    nearest = torch.cdist(x, c, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    high = nearest.values <= REACH * sigma
    found = torch.bincount(nearest.indices[high], minlength=modes)
    hit = int((found > 0).sum())
    fair = int((found >= FAIR * len(x) / modes).sum())
    quality = float(high.double().mean())
    share = torch.bincount(nearest.indices, minlength=modes).double() / len(x)
    return ModeCount(float(hit), float(fair), hit / modes, quality, _kl_to_uniform(share))


def mode_kl_floor(modes: int, n: int) -> float:
    """Expected `mode_kl` of a perfect sampler over n samples: (K - 1) / 2n nats, for n >> K."""
    return (modes - 1) / (2 * n)


def _kl_to_uniform(share: Tensor) -> float:
    return float(torch.special.xlogy(share, share * len(share)).sum())
