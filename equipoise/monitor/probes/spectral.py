"""The largest singular value of every layer, by power iteration that goes on from run to run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.game.normalization.spectral import Convolution, Operator, Transposed
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged
from equipoise.monitor.probes.vectors import direction

MOST_LAYERS = 16  # of each player, evenly spaced, with the first and the last
FIRST_STEPS, STEPS = 15, 2  # iterations in a layer's first run, and in later ones
KEY = "sigma"


def spectral(scene: Scene) -> Readings:
    """sigma/<player>/<layer>: max |W x| / |x| of the weight as the pass uses it.

    Convolutions are reshaped to (out, rest), as spectral normalization has it (its layers read 1).
    sigma_exact/<player>/<layer> is a convolution's own norm on one input of the size that it last
    saw, padding included: up to sqrt(k_h k_w) times as large. Persistent power iteration: 15 steps
    at first, then 2 a run; from below. Miyato et al. 2018, algorithm 1; the exact
    norm: Sedghi et al. 2019.
    """
    found: Readings = {}
    with staged(scene, training=False) as stage, torch.no_grad():
        sizes = _sizes(stage)
        for player, network in scene.networks.items():
            for name, layer in _chosen(network.module):
                where = f"{player}/{name}" if name else player
                weight = stage.within(partial(_weight, layer))
                found[f"sigma/{where}"] = _reshaped(scene, where, layer, weight)
                if layer in sizes and not isinstance(layer, nn.Linear):
                    exact = _exact(scene, where, layer, weight, sizes[layer])
                    found[f"sigma_exact/{where}"] = exact
    return found


def _weight(layer: Any) -> Tensor:
    return layer.weight.detach().clone()


def _chosen(module: nn.Module) -> list[tuple[str, Any]]:
    kinds = (nn.Linear, *Convolution.__args__, *Transposed.__args__)
    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, kinds)]
    if len(layers) <= MOST_LAYERS:
        return layers
    last = len(layers) - 1
    return [layers[round(i * last / (MOST_LAYERS - 1))] for i in range(MOST_LAYERS)]


def _sizes(stage: Stage) -> dict[nn.Module, tuple[int, ...]]:
    """What enters each convolution, from one pass of one sample."""
    sizes: dict[nn.Module, tuple[int, ...]] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes[layer] = tuple(inputs[0].shape[2:])

    kinds = (*Convolution.__args__, *Transposed.__args__)
    networks = stage.scene.networks.values()
    layers = [m for n in networks for m in n.module.modules() if isinstance(m, kinds)]
    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        for _ in _passes(stage) if layers else ():
            pass
    finally:
        for handle in handles:
            handle.remove()
    return sizes


def _passes(stage: Stage) -> Iterator[Any]:
    if "generator" in stage.scene.has:
        yield stage.fakes(1)
    if "discriminator" in stage.scene.has:
        assert stage.scene.reals is not None
        yield stage.discriminate(stage.take(stage.scene.reals, 1), stage.labels(1))


def _reshaped(scene: Scene, where: str, layer: nn.Module, weight: Tensor) -> Tensor:
    rows = weight.transpose(0, 1) if isinstance(layer, Transposed) else weight
    matrix = rows.reshape(len(rows), -1)
    matrix = matrix if matrix.dtype == torch.float64 else matrix.float()
    key = f"{KEY}/{where}"
    known = scene.memory.get(key)
    v = known if known is not None and len(known) == matrix.shape[1] else None
    steps = FIRST_STEPS if v is None else STEPS
    v = direction(matrix.shape[1], matrix) if v is None else v
    for _ in range(steps):
        u = matrix @ v
        v = nn.functional.normalize(matrix.T @ u, dim=0)
    scene.memory[key] = v if torch.isfinite(v).all() else None
    return (matrix @ v).norm()


def _exact(
    scene: Scene, where: str, layer: nn.Module, weight: Tensor, size: tuple[int, ...]
) -> Tensor:
    operator = Operator(layer, size)
    key = f"{KEY}_exact/{where}"
    v = scene.memory.get(key)
    steps = STEPS
    if v is None or tuple(v.shape) != operator.shape:
        count = torch.Size(operator.shape).numel()
        v, steps = direction(count, weight).view(operator.shape), FIRST_STEPS
    for _ in range(steps):
        _, v = operator.iterate(weight, v)
    scene.memory[key] = v if torch.isfinite(v).all() else None
    return operator(weight, v).norm()


PROBE = Probe("spectral", spectral, 0.06, frozenset({"players"}))
