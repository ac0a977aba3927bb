"""The discriminator's slope between data and samples."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.game import blend
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged


def lipschitz(scene: Scene) -> Readings:
    """Slopes |dD/dx| at x = a real + (1 - a) fake, a ~ U(0, 1): their mean and the largest.

    D is a sample's mean logit over its patches and over discriminators, in evaluation mode, so that
    samples are apart. The largest is a lower bound of the Lipschitz constant. A critic that is to
    be 1-Lipschitz reads about 1, or 1 + a / (2 lambda) under a soft penalty of weight lambda at a
    gap a. Gulrajani et al. 2017, algorithm 1 and eq. 3.
    """
    with staged(scene, training=False) as stage:
        with torch.no_grad():
            real, fake, labels = stage.pair()
        share = torch.rand(len(real)).to(real.device)
        lengths = slopes(stage, blend(real, fake.to(real.dtype), share), labels)
        return {"lipschitz/interpolates": lengths.mean(), "lipschitz/largest": lengths.max()}


def slopes(stage: Stage, samples: Tensor, labels: Tensor | None) -> Tensor:
    """|dD/dx_i| of each sample: (N, ...) -> (N,), float32 at least."""
    x = samples.detach().requires_grad_()
    (found,) = torch.autograd.grad(stage.scores(x, labels).sum(), x)
    found = found if found.dtype == torch.float64 else found.float()
    return found.flatten(1).norm(dim=1)


PROBE = Probe("lipschitz", lipschitz, 0.24, frozenset({"generator", "discriminator"}))
