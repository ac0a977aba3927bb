"""Whether the condition changes anything."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Network, Scene
from equipoise.monitor.probes.stage import Stage, staged


def condition(scene: Scene) -> Readings:
    """What another label does, in units of what else varies, over samples whose label differs.

    condition/effect: mean |G(z, y') - G(z, y)| / mean |G(z', y) - G(z, y)|, y' and z' those of the
    next sample. 0: labels are ignored; about 1: they do as much as the latent. condition/judged:
    mean |D(x, y') - D(x, y)| / standard deviation of D(x, y) over the reals; 0: the discriminator
    does not look. In evaluation mode. Left out where all labels are equal: a bug of the data.
    """
    found: Readings = {}
    with staged(scene, training=False) as stage, torch.no_grad():
        if _takes(scene.generators) and "generator" in scene.has:
            found |= _of_generator(stage)
        if _takes(scene.discriminators) and "discriminator" in scene.has:
            found |= _of_discriminator(stage)
    return found


def _takes(networks: Mapping[str, Network]) -> bool:
    return any(n.condition is not None for n in networks.values())


def _differing(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The next sample's labels, and where they differ: (N, ...), (N,)."""
    other = labels.roll(1, 0)
    return other, (labels != other).flatten(1).any(1) if labels.dim() > 1 else labels != other


def _labelled(stage: Stage, batch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """A fixed batch, its labels, the next sample's, and where they differ; None if nowhere."""
    samples = stage.take(batch)
    labels = stage.labels(len(samples))
    assert labels is not None
    other, differs = _differing(labels)
    return (samples[: len(labels)], labels, other, differs) if differs.any() else None


def _of_generator(stage: Stage) -> Readings:
    assert stage.scene.latents is not None
    found = _labelled(stage, stage.scene.latents)
    if found is None:
        return {}
    z, labels, other, differs = found
    same = stage.generate(z, labels)
    moved = [stage.generate(z, other), stage.generate(z.roll(1, 0), labels)]
    effect, latent = ((m - same).float().flatten(1).norm(dim=1)[differs].mean() for m in moved)
    return {"condition/effect": effect / latent.clamp_min(1e-12)}


def _of_discriminator(stage: Stage) -> Readings:
    assert stage.scene.reals is not None
    found = _labelled(stage, stage.scene.reals)
    if found is None:
        return {}
    real, labels, other, differs = found
    same, moved = stage.scores(real, labels), stage.scores(real, other)
    spread = same.std(correction=0).clamp_min(1e-12)
    return {"condition/judged": (moved - same).abs()[differs].mean() / spread}


PROBE = Probe("condition", condition, 0.3, frozenset({"labels"}))
