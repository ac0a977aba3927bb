"""Which probe runs when, and what it cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.table import PROBES

CYCLE = 16


class Run(NamedTuple):
    """One run of a probe: its name, scalar tensors by signal name, and the host's seconds."""

    name: str
    values: Readings
    seconds: float


class Prober:
    """Runs probes in turn, each as often as its cost allows.

    A round robin in which a probe waits in proportion to the square root of its cost: of all orders
    with one budget that keeps the readings youngest, summed over probes. The order follows from the
    probes' costs alone, not from a clock; only whether there is time now does.

    Attributes:
        scene: what is looked at; may be replaced between runs (`dataclasses.replace` keeps the
            memory).
        broken: probes that raised, with what they said; they do not run again.
    """

    def __init__(
        self,
        scene: Scene,
        budget: Callable[[float], bool],
        probes: Mapping[str, Probe] = PROBES,
    ) -> None:
        """`budget(seconds)` says whether work of about that length fits now."""
        self.scene = scene
        self.broken: dict[str, str] = {}
        self._budget = budget
        self._probes = dict(probes)
        self._turn = {name: math.sqrt(probe.cost) for name, probe in probes.items()}
        self._now = 0.0
        self._cycles: dict[tuple[str, ...], list[str]] = {}
        self._seconds: dict[str, float] = {}

    @property
    def missing(self) -> dict[str, frozenset[str]]:
        """What each probe that cannot run lacks."""
        lacks = {name: probe.missing(self.scene) for name, probe in self._probes.items()}
        return {name: lack for name, lack in lacks.items() if lack}

    def run(self, step_seconds: float) -> Run | None:
        """The next probe's run; None while it does not fit, or where none can run.

        `step_seconds`: time of one step of both players, from which the cost of a probe that has
        not run yet is guessed. An error of a probe is noted in `broken`, never raised.
        """
        name = self._next()
        if name is None or not self._budget(self._expected(name, step_seconds)):
            return None
        self._now = max(self._now, self._turn[name])
        self._turn[name] = self._now + math.sqrt(self._probes[name].cost)
        return self._run(name, self.scene)

    def run_at(self, turn: int) -> Run | None:
        """The run that belongs to turn number `turn`, a function of that and of who can run.

        The order is that of `run` where every probe fits. A probe keeps nothing from its
        last run, but one that says nothing without.
        """
        ready = tuple(self._ready())
        if not ready:
            return None
        if ready not in self._cycles:
            self._cycles[ready] = _cycle({name: self._probes[name] for name in ready})
        cycle = self._cycles[ready]
        name = cycle[turn % len(cycle)]
        afresh = not self._probes[name].remembers
        return self._run(name, replace(self.scene, memory={}) if afresh else self.scene)

    def _run(self, name: str, scene: Scene) -> Run:
        began = time.perf_counter()
        values: Readings = {}
        try:
            values = {k: v.detach() for k, v in self._probes[name].measure(scene).items()}
        except Exception as error:
            self.broken[name] = f"{type(error).__name__}: {error}"
        self._seconds[name] = time.perf_counter() - began
        return Run(name, values, self._seconds[name])

    def state_dict(self) -> dict[str, Any]:
        """Whose turn it is. What probes remember stays in the scene."""
        return {"turn": dict(self._turn), "now": self._now}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on in the order of a former `state_dict`."""
        self._turn |= {k: float(v) for k, v in state["turn"].items() if k in self._turn}
        self._now = float(state["now"])

    def _ready(self) -> list[str]:
        missing = self.missing
        return [n for n in self._probes if n not in missing and n not in self.broken]

    def _next(self) -> str | None:
        """Who waited longest; one that could not run so far queues up behind the present."""
        return min(self._ready(), key=lambda n: max(self._turn[n], self._now), default=None)

    def _expected(self, name: str, step_seconds: float) -> float:
        return self._seconds.get(name, self._probes[name].cost * step_seconds)


def _cycle(probes: Mapping[str, Probe]) -> list[str]:
    """The order of `CYCLE` runs for each probe, each in proportion to 1 / sqrt(cost)."""
    turn = {name: math.sqrt(probe.cost) for name, probe in probes.items()}
    order = []
    for _ in range(CYCLE * len(turn)):
        name = min(turn, key=turn.__getitem__)
        turn[name] += math.sqrt(probes[name].cost)
        order.append(name)
    return order
