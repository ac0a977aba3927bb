"""Whether the discriminator knows its training data."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged
from equipoise.monitor.readings import area_under_curve

MARGIN = 0.5  # of the spread of logits: below, the quotient's sign and scale mean nothing


def overfitting(scene: Scene) -> Readings:
    """r_v = (E D_train - E D_held_out) / (E D_train - E D_fake): 0 none, 1 full.

    Training and held-out reals and fakes, 64 each, in evaluation mode. Left out where training
    reals and fakes are less than half a spread of logits apart. overfitting/auc = P(D_train >
    D_held_out) needs no fakes and no scale: 0.5 where nothing is known by heart, 1 where all is.
    logits/held_out/mean = E D_held_out. Karras et al. 2020 (ADA), eq. 1; the margin is ours.
    """
    with staged(scene, training=False) as stage, torch.no_grad():
        assert scene.held_out is not None
        assert scene.reals is not None
        real = stage.take(scene.reals)
        train = stage.scores(real, stage.labels(len(real)))
        theirs = scene.held_out_labels
        own_labels = None if theirs is None else stage.take(theirs)
        held = stage.scores(stage.take(scene.held_out).to(real.dtype), own_labels)
        found = {
            "logits/held_out/mean": held.mean(),
            "overfitting/auc": area_under_curve(train, held),
        }
        return found | (_ratio(stage, train, held) if "generator" in scene.has else {})


def _ratio(stage: Stage, train: Tensor, held: Tensor) -> Readings:
    fakes = stage.fakes()
    of_fake = stage.scores(fakes, stage.labels(len(fakes)))
    gap = train.mean() - of_fake.mean()
    spread = ((train.var(correction=0) + of_fake.var(correction=0)) / 2).sqrt()
    if gap.abs() <= MARGIN * spread:  # NaN goes on
        return {}
    return {"overfitting/ratio": (train.mean() - held.mean()) / gap}


PROBE = Probe("overfitting", overfitting, 0.27, frozenset({"discriminator", "held_out"}))
