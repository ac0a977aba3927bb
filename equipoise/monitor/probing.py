"""When probes run, and where what they find goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from equipoise.errors import unknown
from equipoise.game import PENALTIES, WEIGHT_PENALTIES
from equipoise.monitor.capture import Capture
from equipoise.monitor.observation import Observation
from equipoise.monitor.probes import PROBES, Prober, Scene

# Left out unless named: `quantiles` writes a line for each layer, the others cost several steps.
ASKED_FOR = frozenset({"quantiles", "curvature", "spectrum", "duality"})
# What a scene may lack for good, and the signals that then mean nothing.
NEVER = {"labels": ("condition/effect", "condition/judged"), "images": ("checkerboard/ratio",)}
# What rules read; on a fixed schedule the rest is left out too, unless named.
JUDGED = (
    "spectral", "lipschitz", "overfitting", "memorization", "leak", "condition", "noise",
    "checkerboard",
)  # fmt: skip
FIXED_SHARE = 0.02  # of a fixed schedule's steps, that probes may cost by what they usually do
LEAST = 0.5  # steps: on small networks a probe costs its number of operations
DEFAULT = tuple(name for name in PROBES if name not in ASKED_FOR)


def chosen(probes: Sequence[str] | None, fixed: bool = False) -> tuple[str, ...]:
    """The probes to run; None: `DEFAULT`.

    On a fixed schedule None means `JUDGED`, so that what a step finds is a function of the step.

    Raises:
        ValueError: a name that is not in `PROBES`.
    """
    if isinstance(probes, str):
        raise ValueError(f"probes = {probes!r}: a list of names, e.g. [{probes!r}]")
    for name in probes or ():
        if name not in PROBES:
            raise ValueError(unknown("probe", name, PROBES))
    if probes is not None:
        return tuple(probes)
    return JUDGED if fixed else DEFAULT


def interval(probes: Sequence[str], tick: int) -> int:
    """Ticks of a fixed schedule between two probes, so that they cost `FIXED_SHARE` of the steps.

    From the probes' usual costs c, in steps, at least `LEAST`: each runs in proportion to
    1 / sqrt(c), so a run costs sum(sqrt c) / sum(1 / sqrt c) on average.
    """
    if not probes:
        return 1
    roots = [math.sqrt(max(PROBES[name].cost, LEAST)) for name in probes]
    mean = sum(roots) / sum(1 / root for root in roots)
    return math.ceil(mean / (FIXED_SHARE * tick))


def playable(penalties: Mapping[str, float] | None) -> dict[str, float]:
    """Of a discriminator's penalties those that probes can play: they need images alone.

    Raises:
        ValueError: no such penalty.
    """
    penalties = penalties or {}
    for name in penalties:
        if name not in PENALTIES and name not in WEIGHT_PENALTIES:
            raise ValueError(unknown("penalty", name, (*PENALTIES, *WEIGHT_PENALTIES)))
    return {n: g for n, g in penalties.items() if n in PENALTIES and not PENALTIES[n].needs}


class Probing:
    """Runs the next probe on the captured scene when there is time for it."""

    def __init__(
        self,
        capture: Capture,
        probes: Sequence[str],
        every: int,
        budget: Callable[[float], bool],
        sink: Callable[[str, Tensor], None],
        fact: Callable[[str, Any], None],
    ) -> None:
        """Begin to capture.

        Args:
            capture: builds the scene.
            probes: by name.
            every: ticks of a fixed schedule from probe to probe.
            budget: of seconds, whether they fit now.
            sink: takes readings.
            fact: takes what is told once, of probes that broke.
        """
        self._capture = capture
        self._sink, self._fact = sink, fact
        self._prober = Prober(Scene(), budget, {name: PROBES[name] for name in probes})
        self._told: set[str] = set()
        self._off, self._every = not probes, every
        if self._off:
            capture.detach()

    def observe(self, seen: Observation) -> None:
        """Let the capture see an iteration that is read."""
        if not self._off:
            self._capture.observe(seen)

    def want(self, wanted: bool) -> None:
        """Whether the next iteration's calls are to be kept."""
        self._capture.wanted = wanted and not self._off

    def run(
        self,
        objective: str | None,
        rates: Mapping[str, float],
        step_seconds: float,
        ticks: int | None,
    ) -> float:
        """Run the next probe where it fits; its seconds, 0 where none ran.

        `ticks`: on a fixed schedule how many there were, which alone says what runs.
        """
        if ticks is not None and ticks % self._every:
            return 0.0
        scene = None if self._off else self._capture.scene(objective, rates)
        if scene is None:
            return 0.0
        self._prober.scene = scene
        self._tell_inapplicable(scene)
        if ticks is None:
            run = self._prober.run(step_seconds)
        else:
            run = self._prober.run_at(ticks // self._every)
        self._tell_broken()
        if run is None:
            return 0.0
        for name, value in run.values.items():
            self._sink(name, value)
        return run.seconds

    def detach(self) -> None:
        """Remove the capture's hooks; doing so twice does nothing."""
        self._capture.detach()

    def state_dict(self) -> dict[str, Any]:
        """Whose turn it is."""
        return self._prober.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on in the order of a former `state_dict`."""
        self._prober.load_state_dict(state)

    def _tell_inapplicable(self, scene: Scene) -> None:
        known = self._capture.complete and scene.reals is not None
        if not known or "inapplicable" in self._told:
            return
        self._told.add("inapplicable")
        lacks = NEVER.keys() - scene.has
        self._fact("inapplicable", sorted(name for lack in lacks for name in NEVER[lack]))

    def _tell_broken(self) -> None:
        for name in self._prober.broken.keys() - self._told:
            self._told.add(name)
            self._fact(f"probe_failed/{name}", self._prober.broken[name])
