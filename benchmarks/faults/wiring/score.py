"""One loop under the audit: what it found, after how many iterations and updates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

import equipoise
from equipoise.monitor.audit import auditing


@dataclass(frozen=True)
class Row:
    """A loop, the names that would be right (none for a healthy one), and what was found."""

    name: str
    right: tuple[str, ...]
    found: tuple[str, ...]
    summary: str
    iterations: int
    updates: dict[str, int]
    over: bool

    @property
    def passed(self) -> bool:
        """The first finding has a right name; a healthy loop has none and was seen to the end."""
        if not self.right:
            return not self.found and self.over
        return bool(self.found) and self.found[0] in self.right


def played(loop: Callable[[], None], right: tuple[str, ...], seed: int = 0) -> Row:
    """Run a loop until its audit is over."""
    torch.manual_seed(seed)
    with auditing(equipoise.Monitor) as monitors, contextlib.suppress(equipoise.StopTraining):
        loop()
    findings = monitors[0].diagnose().findings
    state = monitors[0].trace().facts.get("audit", {})
    return Row(
        loop.__name__,
        right,
        tuple(f.failure for f in findings),
        findings[0].summary if findings else "",
        state.get("iterations", 0),
        state.get("updates", {}),
        bool(state.get("over")),
    )
