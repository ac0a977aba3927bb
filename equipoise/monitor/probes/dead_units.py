"""Units on which nothing depends any more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged

KINDS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def dead_units(scene: Scene) -> Readings:
    """dead_units/<player>: share of units whose derivative is exactly 0 in every sample and pixel.

    A unit is an output of a dense layer or a channel of a convolution; the derivative is that of
    the network's output, weighted at random, by the layer's output, so any activation counts, as a
    module or as a function. A ReLU that never fires is dead; a leaky one cannot be. Layers with
    dead units are named: dead_units/<player>/<layer>. A branch that enters with weight 0 is dead as
    a whole. Lu et al. 2020 (dying ReLU). In evaluation mode, on reals and fakes.
    """
    found: Readings = {}
    with staged(scene, training=False) as stage:
        for player, network in scene.networks.items():
            slopes = _slopes(stage, player, network.module)
            dead = {name: _dead(parts) for name, parts in slopes.items()}
            if not dead:
                continue
            found[f"dead_units/{player}"] = torch.cat(list(dead.values())).mean()
            for name, units in dead.items():
                if name and units.nansum() > 0:
                    found[f"dead_units/{player}/{name}"] = units.mean()
    return found


def _slopes(stage: Stage, player: str, module: nn.Module) -> dict[str, list[Tensor]]:
    """d output / d layer's output, for each pass through each dense or convolution layer."""
    seen: list[tuple[str, Tensor]] = []

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            if output.requires_grad:
                seen.append((name, output))

        return hook

    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, KINDS)]
    handles = [layer.register_forward_hook(note(name)) for name, layer in layers]
    try:
        outputs = _outputs(stage, player)
    finally:
        for handle in handles:
            handle.remove()
    if not seen or not outputs:
        return {}
    weighted = torch.stack([(o * torch.randn_like(o)).sum() for o in outputs]).sum()
    slopes = torch.autograd.grad(weighted, [o for _, o in seen], materialize_grads=True)
    found: dict[str, list[Tensor]] = {}
    for (name, _), slope in zip(seen, slopes, strict=True):
        found.setdefault(name, []).append(_by_unit(dict(layers)[name], slope))
    return found


def _outputs(stage: Stage, player: str) -> list[Tensor]:
    """What the player gives on the fixed batches; nothing for one that they do not reach."""
    scene = stage.scene
    if player in scene.discriminators and "discriminator" in scene.has:
        assert scene.reals is not None
        real = stage.take(scene.reals)
        found = stage.discriminate(real, stage.labels(len(real)), player)
        if "generator" in scene.has:
            with torch.no_grad():
                fake = stage.fakes()
            found += stage.discriminate(fake, stage.labels(len(fake)), player)
        return found
    if player == next(iter(scene.generators), None) and "generator" in scene.has:
        return [stage.fakes()]
    return []


def _by_unit(layer: nn.Module, slope: Tensor) -> Tensor:
    """(units, rest)."""
    axis = -1 if isinstance(layer, nn.Linear) else 1
    return slope.movedim(axis, 0).flatten(1)


def _dead(parts: list[Tensor]) -> Tensor:
    """1 for a unit without slope in all passes, 0 for a live one, NaN where slopes are NaN."""
    size = torch.stack([part.abs().amax(1) for part in parts]).amax(0)
    return torch.where(size.isnan(), torch.nan, (size == 0).float())


PROBE = Probe("dead_units", dead_units, 0.6, frozenset({"players"}))
