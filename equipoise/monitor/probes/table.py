"""All probes by name."""

from __future__ import annotations

from equipoise.monitor.probes import (
    checkerboard,
    condition,
    curvature,
    dead_units,
    duality,
    forgetting,
    input_gradient,
    leak,
    lipschitz,
    memorization,
    noise,
    overfitting,
    path_angle,
    quantiles,
    rotation,
    sensitivity,
    spectral,
    spectrum,
)
from equipoise.monitor.probes.probe import Probe

_MODULES = (
    spectral,
    lipschitz,
    overfitting,
    forgetting,
    memorization,
    leak,
    condition,
    checkerboard,
    sensitivity,
    input_gradient,
    dead_units,
    quantiles,
    noise,
    path_angle,
    rotation,
    duality,
    curvature,
    spectrum,
)

PROBES: dict[str, Probe] = {module.PROBE.name: module.PROBE for module in _MODULES}
