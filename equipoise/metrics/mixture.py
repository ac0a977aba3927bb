"""How well samples of a known mixture of Gaussians find its modes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array, rows, same_width
from equipoise.metrics.intervals import share_measure
from equipoise.metrics.measure import Measure

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


def mode_measures(
    samples: Array, centers: Array, sigma: float, *, name: str = "mixture"
) -> dict[str, Measure]:
    """`mode_count` as measures: modes, fair_modes, mode_coverage, high_quality, mode_kl.

    Each is named {field}_{name}. high_quality has Wilson's interval and in parts the
    ceiling P(chi_d <= 3), 1 - exp(-4.5) in the plane; mode_kl has its floor (`mode_kl_floor`). The
    convention says 3 sigma and n: other papers count to 4 or 10 sigma; 2,500 samples are usual.

    Raises:
        ValueError: as `mode_count`.
    """
    found = mode_count(samples, centers, sigma)
    n, (k, d) = len(samples), torch.as_tensor(centers).shape
    told = {"reach": REACH, "fair": FAIR, "modes": k, "dimensions": d, "n": n}
    quality = share_measure(
        f"high_quality_{name}",
        round(found.high_quality * n),
        n,
        convention=told,
        # chi distribution: the mass of N(0, I_d) within 3
        parts={
            "ceiling": float(torch.special.gammainc(*torch.tensor([d / 2, REACH**2 / 2]).double()))
        },
    )
    floor = {"floor": mode_kl_floor(k, n)}
    return {
        field: quality
        if field == "high_quality"
        else Measure(
            f"{field}_{name}", value, convention=told, parts=floor if field == "mode_kl" else {}
        )
        for field, value in found._asdict().items()
    }
