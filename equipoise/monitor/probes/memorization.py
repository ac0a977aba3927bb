"""Whether fakes lie nearer to the training data than other reals do."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import staged

MOST_REALS = 4096
MOST_PIXELS = 1024


def memorization(scene: Scene) -> Readings:
    """memorization/ratio: median distance fake to nearest training real / the same of held-out.

    About 1 for samples of the data's law; towards 0 where training data are copied; above 1 where
    fakes are off the data. Distances are Euclidean, in pixels (of more than 1024 values an even
    selection), against up to 4096 of the scene's reals: the more it holds, the more it sees. As the
    nearest-neighbour tests of Meehan et al. 2020, with a quotient in place of a rank test.
    """
    with staged(scene) as stage, torch.no_grad():
        assert scene.reals is not None
        assert scene.held_out is not None
        reals = _points(scene.reals.detach()[:MOST_REALS].to(stage.device))
        fake = nearest(_points(stage.fakes()), reals)
        held_out = nearest(_points(stage.take(scene.held_out)), reals)
        return {"memorization/ratio": fake.median() / held_out.median().clamp_min(1e-12)}


def _points(samples: Tensor) -> Tensor:
    flat = samples.reshape(len(samples), -1)
    return flat[:, :: -(-flat.shape[1] // MOST_PIXELS)].float()


def nearest(points: Tensor, data: Tensor) -> Tensor:
    """Distance from each of (N, d) to the nearest of (M, d), without matrix products: (N,)."""
    return torch.cdist(points, data, compute_mode="donot_use_mm_for_euclid_dist").min(1).values


PROBE = Probe("memorization", memorization, 0.11, frozenset({"generator", "reals", "held_out"}))
