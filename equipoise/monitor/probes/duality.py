"""How much each player could still gain if the other stood still."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equipoise.monitor.probes.losses import losses
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged

STEPS = 10
RATE = 1e-3  # where the scene does not know the player's
BETAS = (0.9, 0.999)


def duality_gap(scene: Scene, steps: int = STEPS) -> Readings:
    """DG = max_psi' M(theta, psi') - min_theta' M(theta', psi) >= 0, M = -L_D, in the loss's unit.

    Each side takes `steps` steps of Adam on copies of the weights, at the player's learning rate,
    and keeps the best it met, so the gap is at least 0 and grows with the steps: compare it with
    itself, not with other runs. Judged on held-out reals where there are enough. At an equilibrium
    it is 0; a gap beside samples that get better is no failure. Grnarova et al. 2019.
    """
    with staged(scene) as stage:
        reals = _judged(stage)
        highest = -_descend(stage, list(scene.discriminators), -1.0, reals, steps)
        lowest = _descend(stage, list(scene.generators), 1.0, reals, steps)
        return {"duality_gap": highest - lowest}


def _judged(stage: Stage) -> Tensor:
    real, _, _ = stage.pair()
    held_out = stage.scene.held_out
    if held_out is None or len(held_out) < len(real) or stage.scene.labels is not None:
        return real
    return stage.take(held_out, len(real)).to(real.dtype)


def _descend(
    stage: Stage, players: Sequence[str], sign: float, reals: Tensor, steps: int
) -> Tensor:
    """The least sign M that the players reach; they stand where they stood afterwards."""
    origin = {player: stage.weights(player) for player in players}
    names = [player for player in players for _ in stage.names[player]]
    rates = [stage.scene.learning_rates.get(player, RATE) for player in names]
    moments: list[tuple[Tensor, Tensor]] = []
    least: Tensor | None = None
    for step in range(steps + 1):
        value = -sign * losses(stage, reals=reals).adversarial
        least = value.detach() if least is None else torch.minimum(least, value.detach())
        weights = [w for player in players for w in stage.weights(player)]
        if step == steps or not weights or not value.requires_grad:
            break
        slopes = torch.autograd.grad(value, weights, materialize_grads=True)
        moments = _moments(moments, slopes)
        moved = [
            w.detach() - rate * _adam(*pair, step + 1)
            for w, rate, pair in zip(weights, rates, moments, strict=True)
        ]
        for player in players:
            count = len(stage.names[player])
            stage.put(player, moved[:count])
            moved = moved[count:]
    for player, original in origin.items():
        stage.put(player, original)
    assert least is not None
    return least


def _moments(
    old: list[tuple[Tensor, Tensor]], slopes: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    pairs = old or [(torch.zeros_like(g), torch.zeros_like(g)) for g in slopes]
    return [
        (torch.lerp(g, m, BETAS[0]), torch.lerp(g.square(), v, BETAS[1]))
        for (m, v), g in zip(pairs, slopes, strict=True)
    ]


def _adam(mean: Tensor, square: Tensor, step: int) -> Tensor:
    """Adam's direction (Kingma and Ba 2015, algorithm 1), written out: an optimizer has hooks."""
    root = (square / (1 - BETAS[1] ** step)).sqrt()
    return mean / (1 - BETAS[0] ** step) / (root + 1e-8)


PROBE = Probe(
    "duality",
    duality_gap,
    10.4,
    frozenset({"generator", "discriminator", "objective", "size"}),
)
