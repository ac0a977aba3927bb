"""What a probe is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from equipoise.monitor.probes.scene import Scene

Readings = dict[str, Tensor]


@dataclass(frozen=True)
class Probe:
    """A measurement with a pass of its own.

    Attributes:
        name: its key in `PROBES`.
        measure: scene -> scalar tensors by signal name, on any device. NaN in the networks gives
            NaN; what cannot be known (too few samples, no earlier run) is left out.
        cost: in steps of both players, as measured on a small DCGAN: a first guess of its time and
            its weight in the order.
        needs: what must be in `Scene.has`.
        remembers: whether a run says nothing without the one before.
    """

    name: str
    measure: Callable[[Scene], Readings]
    cost: float
    needs: frozenset[str]
    remembers: bool = False

    def missing(self, scene: Scene) -> frozenset[str]:
        """What the scene lacks; empty where the probe can run."""
        return self.needs - scene.has
