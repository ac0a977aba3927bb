"""Noise on what the discriminator sees."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.game.layers import gaussian_noise


def instance_noise(
    samples: Tensor, sigma: float, generator: torch.Generator | None = None
) -> Tensor:
    """x + sigma e, e ~ N(0, I), for reals and fakes alike; sigma 0 returns the samples themselves.

    Any shape, points too. On the Dirac-GAN the eigenvalues become -s^2/4 +- sqrt(s^4/16 - 1/4):
    the game converges. Usual: sigma from 0.1 down to 0 over the first part of a run, sigma =
    burn_in(0.1, 0, kimg, over). Sonderby et al. 2017; Mescheder et al. 2018, section 3.2.

    Raises:
        ValueError: a negative sigma.
    """
    if not sigma >= 0:
        raise ValueError(f"sigma = {sigma!r}: a standard deviation is at least 0")
    return gaussian_noise(samples, sigma, generator)
