"""Whether the discriminator knows its training data."""

from __future__ import annotations

import torch

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import staged
from equipoise.monitor.readings import area_under_curve

MARGIN = 0.5  # of the spread of logits: below, the quotient's sign and scale mean nothing


def overfitting(scene: Scene) -> Readings:
    """r_v = (E D_train - E D_held_out) / (E D_train - E D_fake): 0 none, 1 full.

    Training and held-out reals and fakes, 64 each, in evaluation mode. Left out where training
    reals and fakes are less than half a spread of logits apart. overfitting/auc = P(D_train >
    D_held_out) needs no fakes and no scale: 0.5 where nothing is known by heart, 1 where all is.
    Karras et al. 2020 (ADA), eq. 1; the margin is ours.
    """
    with staged(scene, training=False) as stage, torch.no_grad():
        assert scene.held_out is not None
        real, fake, labels = stage.pair()
        held_out = stage.take(scene.held_out).to(real.dtype)
        theirs = scene.held_out_labels
        own_labels = None if theirs is None else stage.take(theirs)
        train = stage.scores(real, labels)
        held = stage.scores(held_out, own_labels)
        of_fake = stage.scores(fake, labels)
        found = {"overfitting/auc": area_under_curve(train, held)}
        gap = train.mean() - of_fake.mean()
        spread = ((train.var(correction=0) + of_fake.var(correction=0)) / 2).sqrt()
        if not gap.abs() <= MARGIN * spread:  # NaN goes on
            found["overfitting/ratio"] = (train.mean() - held.mean()) / gap
        return found


PROBE = Probe(
    "overfitting", overfitting, 0.27, frozenset({"generator", "discriminator", "held_out"})
)
