"""Measurements with a pass of their own, which leave everything as they found it.

A `Scene` says what there is to look at; `PROBES` are functions of it; a `Prober` runs them in turn.
"""

from equipoise.monitor.probes.checkerboard import checkerboard_readings, nyquist_ratio
from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.prober import Prober, Run
from equipoise.monitor.probes.scene import Network, Past, Scene
from equipoise.monitor.probes.stage import Stage, staged
from equipoise.monitor.probes.table import PROBES

__all__ = [
    "PROBES",
    "Network",
    "Past",
    "Probe",
    "Prober",
    "Readings",
    "Run",
    "Scene",
    "Stage",
    "checkerboard_readings",
    "nyquist_ratio",
    "staged",
]
