"""How often the monitor may read, so that watching stays under its share of the step time."""

from __future__ import annotations

import time
from typing import Literal

GRACE = 4  # iterations that are always read: wiring faults show at once


class Governor:
    """Keeps time spent watching under `overhead` x time elapsed, or reads on a fixed stride."""

    def __init__(
        self, overhead: float, schedule: Literal["adaptive", "fixed"], stride: int
    ) -> None:
        self.overhead = overhead
        self.schedule = schedule
        self.stride = stride
        self.spent = 0.0
        self._costliest = 0.0
        self._began: float | None = None

    def start(self) -> None:
        """The first iteration has been seen: the clock runs from here."""
        if self._began is None:
            self._began = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Wall seconds since the first iteration."""
        return 0.0 if self._began is None else time.perf_counter() - self._began

    @property
    def share(self) -> float:
        """Time spent watching over time elapsed."""
        return self.spent / self.elapsed if self.elapsed > 0 else 0.0

    def charge(self, seconds: float, reading: bool) -> None:
        """Account for time spent; a slowly forgotten maximum foretells the next reading's cost."""
        self.spent += seconds
        if reading:
            self._costliest = max(seconds, 0.9 * self._costliest)

    def reads(self, iteration: int) -> bool:
        """Whether iteration number `iteration` (from 0) is to be read."""
        if self.schedule == "fixed":
            return iteration % self.stride == 0
        if iteration < GRACE:
            return True
        return self.spent + self._costliest <= self.overhead * self.elapsed

    def affords(self, seconds: float) -> bool:
        """Whether work of about `seconds` fits now; always under a fixed schedule."""
        return self.schedule == "fixed" or self.spent + seconds <= self.overhead * self.elapsed
