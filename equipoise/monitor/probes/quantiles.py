"""How the entries of weights and gradients are spread, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.monitor.probes.losses import losses
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged
from equipoise.monitor.probes.vectors import gradient, unflat

LEVELS = (0.01, 0.25, 0.5, 0.75, 0.99)
MOST_ENTRIES = 4096
MOST_TENSORS = 8


def quantiles(scene: Scene) -> Readings:
    """weights/<player>/<tensor>/q01, q25, q50, q75, q99, and gradients/... of the player's loss.

    Of the weight tensors (two dimensions or more), at most 8 a player, evenly spaced; quantiles,
    with linear interpolation, of an even selection of at most 4096 entries, exact below that. The
    gradients are those of the fixed batch; without an objective there are none.
    """
    found: Readings = {}
    with staged(scene) as stage:
        slopes = _slopes(stage) if {"generator", "discriminator", "objective"} <= scene.has else {}
        for player in scene.networks:
            for name, weight in chosen(stage, player):
                where = f"{player}/{name}"
                found |= _levels(f"weights/{where}", weight)
                if name in slopes.get(player, {}):
                    found |= _levels(f"gradients/{where}", slopes[player][name])
    return found


def chosen(stage: Stage, player: str) -> list[tuple[str, Tensor]]:
    """Name and tensor of the weights that are shown."""
    pairs = zip(stage.names[player], stage.weights(player), strict=True)
    wide = [(name.split(".", 2)[2], w) for name, w in pairs if w.dim() > 1]
    if len(wide) <= MOST_TENSORS:
        return wide
    return [wide[round(i * (len(wide) - 1) / (MOST_TENSORS - 1))] for i in range(MOST_TENSORS)]


def _slopes(stage: Stage) -> dict[str, dict[str, Tensor]]:
    both = losses(stage)
    found = {}
    for players, loss in (
        (stage.scene.generators, both.generator),
        (stage.scene.discriminators, both.discriminator),
    ):
        for player in players:
            shown = dict(chosen(stage, player))
            slopes = gradient(loss, list(shown.values()))
            parts = unflat(slopes, list(shown.values()))
            found[player] = dict(zip(shown, parts, strict=True))
    return found


def _levels(stem: str, tensor: Tensor) -> Readings:
    flat = tensor.detach().flatten()
    flat = flat[:: -(-len(flat) // MOST_ENTRIES)].double()
    values = torch.quantile(flat, torch.tensor(LEVELS).to(flat))
    return {f"{stem}/q{100 * q:02.0f}": v for q, v in zip(LEVELS, values, strict=True)}


PROBE = Probe("quantiles", quantiles, 0.9, frozenset({"players"}))
