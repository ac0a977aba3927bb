"""Whether the discriminator still knows the fakes of earlier."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.game import OBJECTIVES
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Past, Scene
from equipoise.monitor.probes.stage import Stage, staged

KEY = "forgetting"


def forgetting(scene: Scene) -> Readings:
    """F = accuracy on old fakes now - accuracy on them then, in [-1, 1], in evaluation mode.

    Accuracy: share placed below the logit of not knowing (below the midpoint of the present reals'
    and fakes' means for relativistic objectives). Old fakes are the scene's `past`, else those of
    this probe's last run. Below 0 again and again: what was learnt is lost and the players go in
    circles. Catastrophic forgetting in GANs: Thanh-Tung and Tran 2020. The first run has no past.
    """
    with staged(scene, training=False) as stage, torch.no_grad():
        real, fake, labels = stage.pair()
        middle = _middle(stage, real, fake, labels)
        past = scene.past or scene.memory.get(KEY)
        present = _accuracy(stage, fake, labels, middle)
        scene.memory[KEY] = Past(fake.detach().clone(), labels, float(present))
        if past is None:
            return {}
        old = stage.take(past.fakes)
        old_labels = None if past.labels is None else stage.take(past.labels)
        return {"forgetting": _accuracy(stage, old, old_labels, middle) - past.accuracy}


def _middle(stage: Stage, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor | float:
    name = stage.scene.objective
    if name is not None and not OBJECTIVES[name].pairs:
        return OBJECTIVES[name].neutral
    return (stage.scores(real, labels).mean() + stage.scores(fake, labels).mean()) / 2


def _accuracy(stage: Stage, fakes: Tensor, labels: Tensor | None, middle: Tensor | float) -> Tensor:
    scores = stage.scores(fakes, labels)
    right = (scores < middle).float().mean()
    return torch.where(torch.isfinite(scores.sum()), right, torch.nan)


PROBE = Probe(
    "forgetting", forgetting, 0.22, frozenset({"generator", "discriminator"}), remembers=True
)
