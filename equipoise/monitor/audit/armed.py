"""Auditing every monitor that some code attaches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def auditing(kind: Any, steps: int = 2) -> Iterator[list[Any]]:
    """Within, each new monitor of class `kind` is audited from its first iteration.

    Yields the list of them. `observe` raises `StopTraining` when its audit is over.
    """
    attached: list[Any] = []

    def arm(monitor: Any) -> None:
        attached.append(monitor)
        monitor.audit(steps, stop=True)

    kind.on_attach = arm
    try:
        yield attached
    finally:
        kind.on_attach = None
