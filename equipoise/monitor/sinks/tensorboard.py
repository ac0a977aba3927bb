"""Readings and findings as TensorBoard scalars and text."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from equipoise.errors import naming_extras
from equipoise.monitor.sinks.sink import PREFIX, folder, is_folder, lacks
from equipoise.record import Finding


class TensorBoardSink:
    """A scalar `<prefix><signal>` per reading, a text `<prefix>finding/<failure>` per finding.

    >>> Monitor(g, d, sinks=[TensorBoardSink("runs/one")])             # doctest: +SKIP
    >>> Monitor(g, d, sinks=[TensorBoardSink(writer)])                 # doctest: +SKIP
    """

    def __init__(self, target: Any, *, prefix: str = PREFIX) -> None:
        """`target`: a `SummaryWriter` of the loop's own, which stays open, or a folder.

        Raises:
            MissingExtraError: a folder was given and TensorBoard is not installed.
            ValueError: the target is neither.
        """
        self._opened = is_folder(target)
        self._prefix = prefix
        self._writer = _open(target) if self._opened else target
        if not callable(getattr(self._writer, "add_scalar", None)):
            raise lacks(target, "add_scalar", "a SummaryWriter")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One scalar per value."""
        for name, value in values.items():
            self._writer.add_scalar(f"{self._prefix}{name}", value, step)

    def finding(self, step: int, finding: Finding) -> None:
        """The summary as text, the confidence as a scalar."""
        name = f"{self._prefix}finding/{finding.failure}"
        self._writer.add_text(name, f"since step {finding.since}: {finding.summary}", step)
        self._writer.add_scalar(f"{name}/confidence", finding.confidence, step)

    def close(self) -> None:
        """Flush; close the writer if this sink made it."""
        self._writer.flush()
        if self._opened:
            self._writer.close()


def _open(target: Any) -> Any:
    with naming_extras():
        import_module("tensorboard")  # torch's own error would not name the extra
        writer = import_module("torch.utils.tensorboard").SummaryWriter
    return writer(str(folder(target)))
