"""Readings and findings in a Weights & Biases run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from equipoise.errors import naming_extras
from equipoise.monitor.sinks.sink import PREFIX, folder, is_folder, keeping_chance, lacks
from equipoise.record import Finding


class WandbSink:
    """Logs `<prefix><signal>` against an axis of its own, `<prefix>step`.

    W&B drops what is logged at a step below the newest one, and every log counts as a step. So the
    monitor's step is a value beside the others and the run's own counter is left to the loop.

    >>> Monitor(g, d, sinks=[WandbSink(wandb.init(project="mine"))])   # doctest: +SKIP
    """

    def __init__(self, target: Any, *, prefix: str = PREFIX) -> None:
        """`target`: the loop's own run, which stays open, or a folder for a run kept offline.

        A folder's run is sent later, by `wandb sync`, or never.

        Raises:
            MissingExtraError: a folder was given and wandb is not installed.
            ValueError: the target is neither.
        """
        self._opened = is_folder(target)
        self._prefix = prefix
        self._run = _open(target) if self._opened else target
        if not callable(getattr(self._run, "log", None)):
            raise lacks(target, "log", "what wandb.init() returned")
        if callable(getattr(self._run, "define_metric", None)):
            self._run.define_metric(f"{prefix}step", hidden=True)
            self._run.define_metric(f"{prefix}*", step_metric=f"{prefix}step")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        row = {f"{self._prefix}{name}": value for name, value in values.items()}
        self._run.log({**row, f"{self._prefix}step": step})

    def finding(self, step: int, finding: Finding) -> None:
        """The confidence as a value, the sentence in the run's summary."""
        name = f"finding/{finding.failure}"
        self.write(step, {f"{name}/confidence": finding.confidence})
        self._run.summary[f"{self._prefix}{name}"] = (
            f"since step {finding.since}: {finding.summary}"
        )

    def close(self) -> None:
        """Finish the run if this sink began it."""
        if self._opened:
            self._run.finish()


def _open(target: Any) -> Any:
    with naming_extras():
        wandb = import_module("wandb")
    settings = wandb.Settings(silent=True, console="off")
    place = str(folder(target))
    with keeping_chance():
        return wandb.init(project="equipoise", dir=place, mode="offline", settings=settings)
