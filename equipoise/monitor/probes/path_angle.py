"""Whether the weights go towards a point or around it."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.monitor.probes.losses import losses
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged
from equipoise.monitor.probes.vectors import cosine, flat, gradient, unflat

PLACES = {"before": 0.75, "at": 1.0, "after": 1.25}  # alpha; 0 is the earlier weights, 1 these
KEY = "path_angle"


def path_angle(scene: Scene) -> Readings:
    """c(alpha) = cos(w' - w, v(w + alpha (w' - w))), w the weights of the last run, w' these.

    v is the field of gradients, which both players descend; alpha is 0.75 (before), 1 (at), 1.25
    (after). A point that attracts: c turns from negative to positive along the path; rotation: a
    bump at 1, the field standing across the path. Nothing in the first run, nor while nothing has
    moved. Berard et al. 2020.
    """
    with staged(scene) as stage:
        players = list(scene.networks)
        now = [w.detach().clone() for player in players for w in stage.weights(player)]
        before = scene.memory.get(KEY)
        scene.memory[KEY] = now
        if before is None or [w.shape for w in before] != [w.shape for w in now]:
            return {}
        return path_cosines(stage, before, now)


def path_cosines(stage: Stage, before: list[Tensor], now: list[Tensor]) -> Readings:
    """c at the three places, between two lists of all players' weights."""
    start, end = flat(before), flat(now)
    step = end - start
    if not step.any():
        return {}
    found: Readings = {}
    for place, alpha in PLACES.items():
        _put(stage, torch.lerp(start, end, alpha), now)
        found[f"path_angle/{place}"] = cosine(step, _field(stage))
    return found


def _put(stage: Stage, vector: Tensor, like: list[Tensor]) -> None:
    rest = unflat(vector, like)
    for player in stage.names:
        count = len(stage.names[player])
        stage.put(player, rest[:count])
        rest = rest[count:]


def _field(stage: Stage) -> Tensor:
    both = losses(stage)
    theta = [w for player in stage.scene.generators for w in stage.weights(player)]
    psi = [w for player in stage.scene.discriminators for w in stage.weights(player)]
    return torch.cat([gradient(both.generator, theta), gradient(both.discriminator, psi)])


PROBE = Probe(
    "path_angle",
    path_angle,
    3.0,
    frozenset({"generator", "discriminator", "objective", "size"}),
    remembers=True,
)
