"""How far the players turn around each other instead of descending."""

from __future__ import annotations

from equipoise.monitor.probes.field import Field
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import staged
from equipoise.monitor.probes.vectors import direction


def rotation(scene: Scene) -> Readings:
    """rho = |A x| / (|A x| + |S x|), A = (J - J') / 2, S = (J + J') / 2, in [0, 1].

    x has random signs, the same in each run. 1: pure rotation, as in the bilinear game and in the
    Dirac-GAN without a penalty, where simultaneous descent circles or leaves; 0: J is symmetric, as
    where one function is descended. NaN where J x = 0. The penalties known to the scene count. For
    the split of J: Balduzzi et al. 2018; Mescheder et al. 2018 for the Dirac-GAN.
    """
    with staged(scene) as stage:
        field = Field(stage)
        x = direction(len(field.value), field.value)
        forward, backward = field.times(x), field.transposed_times(x)
        turning, straight = (forward - backward).norm(), (forward + backward).norm()
        return {"rotation": turning / (turning + straight)}


PROBE = Probe(
    "rotation",
    rotation,
    3.0,
    frozenset({"generator", "discriminator", "objective", "size"}),
)
