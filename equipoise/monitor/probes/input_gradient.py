"""The discriminator's slope at data and at samples."""

from __future__ import annotations

import torch

from equipoise.monitor.probes.lipschitz import slopes
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import staged


def input_gradient(scene: Scene) -> Readings:
    """Mean of |dD/dx| over reals, and over fakes; D a sample's mean logit, in evaluation mode.

    R1 holds the first down, R2 the second. Without R2 the slope at fakes grows first. At fakes it
    is what the generator is told; 0 is a vanishing signal. Mescheder et al. 2018.
    """
    with staged(scene, training=False) as stage:
        with torch.no_grad():
            real, fake, labels = stage.pair()
        return {
            "input_gradient/real": slopes(stage, real, labels).mean(),
            "input_gradient/fake": slopes(stage, fake, labels).mean(),
        }


PROBE = Probe("input_gradient", input_gradient, 0.37, frozenset({"generator", "discriminator"}))
