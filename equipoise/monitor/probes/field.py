"""The game's vector field and products with its Jacobian, exact and without a matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.monitor.probes.losses import losses
from equipoise.monitor.probes.stage import Stage
from equipoise.monitor.probes.vectors import flat, gradient

MOST_SAMPLES = 32  # the graph is kept twice over


class Field:
    """v(w) = (grad_theta L_G, grad_psi L_D) at w = (theta, psi), each player descending its own.

    One pass of the networks serves all products. J = dv / dw is not symmetric: its antisymmetric
    part is what the players do to each other. Mescheder, Nowozin and Geiger 2017.
    """

    def __init__(self, stage: Stage) -> None:
        both = losses(stage, MOST_SAMPLES)
        theta = [w for player in stage.scene.generators for w in stage.weights(player)]
        psi = [w for player in stage.scene.discriminators for w in stage.weights(player)]
        self._by = [*theta, *psi]
        parts = (gradient(both.generator, theta, True), gradient(both.discriminator, psi, True))
        self._field = flat(parts)
        self.value = self._field.detach()
        self._dual = torch.zeros_like(self.value, requires_grad=True)
        self._back = self._transposed(self._dual, graph=True)

    def times(self, vector: Tensor) -> Tensor:
        """J x: the derivative of J'u by u, which does not depend on u, applied to x."""
        if not self._back.requires_grad:
            return torch.zeros_like(vector)
        (found,) = torch.autograd.grad(
            self._back, self._dual, vector, retain_graph=True, materialize_grads=True
        )
        return found

    def transposed_times(self, vector: Tensor) -> Tensor:
        """J'x."""
        return self._transposed(vector, graph=False)

    def _transposed(self, vector: Tensor, graph: bool) -> Tensor:
        if not self._field.requires_grad:
            return torch.zeros_like(vector)
        found = torch.autograd.grad(
            self._field,
            self._by,
            vector,
            retain_graph=True,
            create_graph=graph,
            materialize_grads=True,
        )
        return flat(found)
