"""Readings and findings in a trackio run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from equipoise.errors import naming_extras
from equipoise.monitor.sinks.sink import PREFIX, keeping_chance, lacks
from equipoise.record import Finding


class TrackioSink:
    """Logs `<prefix><signal>` at the monitor's step.

    trackio keeps all runs in the one place that its TRACKIO_DIR names when it is imported, so there
    is no folder to give: a project's name begins a run there.

    >>> Monitor(g, d, sinks=[TrackioSink(trackio.init(project="mine"))])   # doctest: +SKIP
    """

    def __init__(self, target: Any, *, prefix: str = PREFIX) -> None:
        """`target`: the loop's own run, which stays open, or a project's name for a local run.

        Raises:
            MissingExtraError: a name was given and trackio is not installed.
            ValueError: the target is neither.
        """
        self._opened = isinstance(target, str)
        self._prefix = prefix
        self._run = _open(target) if isinstance(target, str) else target
        if not callable(getattr(self._run, "log", None)):
            raise lacks(target, "log", "what trackio.init() returned", "a project's name")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        self._run.log({f"{self._prefix}{name}": v for name, v in values.items()}, step=step)

    def finding(self, step: int, finding: Finding) -> None:
        """The confidence as a number, the sentence as text, in one row."""
        name = f"{self._prefix}finding/{finding.failure}"
        words = f"since step {finding.since}: {finding.summary}"
        self._run.log({f"{name}/confidence": finding.confidence, name: words}, step=step)

    def close(self) -> None:
        """Finish the run if this sink began it."""
        if self._opened:
            self._run.finish()


def _open(project: str) -> Any:
    with naming_extras():
        trackio = import_module("trackio")
    with keeping_chance():
        return trackio.init(project=project, embed=False, auto_log_gpu=False, auto_log_cpu=False)
