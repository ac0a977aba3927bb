"""How sharp each player's own loss is."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.monitor.probes.losses import losses
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import staged
from equipoise.monitor.probes.vectors import (
    Product,
    arnoldi,
    direction,
    eigenvalues,
    flat,
    gradient,
)

MOST_SAMPLES = 32
STEPS = 8


def curvature(scene: Scene) -> Readings:
    """Extreme eigenvalues of each player's Hessian, by 8 steps of Lanczos; exact where dim <= 8.

    curvature_max/<player> from below, curvature_min/<player> from above: Ritz values lie inside the
    spectrum. Descent at rate h leaves a minimum whose largest eigenvalue is over 2 / h; a generator
    at a saddle of its own loss (least below 0) is common in healthy runs. Berard et al. 2020;
    Lanczos with full reorthogonalization after Saad 2011.
    """
    found: Readings = {}
    with staged(scene) as stage:
        both = losses(stage, MOST_SAMPLES)
        sides = ((scene.generators, both.generator), (scene.discriminators, both.discriminator))
        for players, loss in sides:
            for player in players:
                weights = stage.weights(player)
                if not weights:
                    continue
                product = _hessian(gradient(loss, weights, graph=True), weights)
                like = flat([w.detach() for w in weights])
                start = direction(len(like), like)
                values = eigenvalues(arnoldi(product, start, STEPS), symmetric=True)
                found[f"curvature_max/{player}"] = values.max()
                found[f"curvature_min/{player}"] = values.min()
    return found


def _hessian(slope: Tensor, weights: list[Tensor]) -> Product:
    def product(vector: Tensor) -> Tensor:
        if not slope.requires_grad:
            return torch.zeros_like(vector)
        return flat(
            torch.autograd.grad(slope, weights, vector, retain_graph=True, materialize_grads=True)
        )

    return product


PROBE = Probe(
    "curvature",
    curvature,
    7.0,
    frozenset({"generator", "discriminator", "objective", "size"}),
)
