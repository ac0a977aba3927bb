"""How noisy a batch's gradient is, for each player."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.game import gradient_noise_scale
from equipoise.monitor.probes.losses import losses
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged
from equipoise.monitor.probes.vectors import cosine, gradient

PARTS = 4


def noise(scene: Scene) -> Readings:
    """Gradients of 4 parts of the fixed batch, each part a pass of its own.

    gradient_cosine/<player>: cosine between the sums of the first two and of the last two, about
    1 / (1 + B / (N / 2)) for N samples. noise_scale/<player>: B = tr Sigma / |G|^2 in samples, the
    batch size that it recommends: much less than B is mostly noise, much more repeats itself;
    infinite where no signal is left. One run is a rough estimate; take the median of several. With
    batch normalization a part has its own statistics. McCandlish et al. 2018, section 2.2.
    """
    with staged(scene) as stage:
        assert scene.reals is not None
        assert scene.latents is not None
        size = min(len(scene.reals), len(scene.latents), 64) // PARTS
        if size < 1:
            return {}
        parts = [_gradients(stage, i * size, (i + 1) * size) for i in range(PARTS)]
        found: Readings = {}
        for player in scene.networks:
            rows = torch.stack([part[player] for part in parts])
            if not rows.numel():
                continue
            halves = rows[:2].sum(0), rows[2:].sum(0)
            found[f"gradient_cosine/{player}"] = cosine(*halves)
            found[f"noise_scale/{player}"] = _scale(rows, size)
        return found


def _scale(rows: Tensor, size: int) -> Tensor:
    if not torch.isfinite(rows).all():  # an overflow is not the absence of signal
        return torch.full((), torch.nan)
    return gradient_noise_scale(rows, size)


def _gradients(stage: Stage, start: int, stop: int) -> dict[str, Tensor]:
    both = losses(stage, stop, start)
    sides = (
        (stage.scene.generators, both.generator),
        (stage.scene.discriminators, both.discriminator),
    )
    return {p: gradient(loss, stage.weights(p)) for players, loss in sides for p in players}


PROBE = Probe("noise", noise, 0.97, frozenset({"generator", "discriminator", "objective"}))
