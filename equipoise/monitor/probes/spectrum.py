"""Extreme eigenvalues of the game's Jacobian."""

from __future__ import annotations

from equipoise.monitor.probes.field import Field
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import staged
from equipoise.monitor.probes.vectors import arnoldi, direction, eigenvalues

STEPS = 6


def spectrum(scene: Scene) -> Readings:
    """Ritz values l of J = dv / dw from 6 products: outer eigenvalues, exact where dim w <= 6.

    spectrum/real: the least Re l; below 0 the point repels. spectrum/angle: the largest
    |Im l| / |l|, in [0, 1]; near 1 the game turns. A step h is stable only below
    2 Re l / |l|^2 = (1 / Re l) 2 / (1 + (Im l / Re l)^2), so a large angle asks for a small one.
    Dirac-GAN with R1: l = gamma / 2 +- sqrt(gamma^2 / 4 - f'(0)^2). Mescheder, Nowozin and Geiger
    2017, lemma 4.
    """
    with staged(scene) as stage:
        field = Field(stage)
        start = direction(len(field.value), field.value)
        values = eigenvalues(arnoldi(field.times, start, STEPS))
        angle = values.imag.abs() / values.abs().clamp_min(1e-30)
        return {"spectrum/real": values.real.min(), "spectrum/angle": angle.max()}


PROBE = Probe(
    "spectrum",
    spectrum,
    7.7,
    frozenset({"generator", "discriminator", "objective", "size"}),
)
