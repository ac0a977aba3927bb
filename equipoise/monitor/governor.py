"""How often the monitor may read, so that watching stays under its share of the step time."""

from __future__ import annotations

import time
from typing import Literal

GRACE = 4  # iterations that are always read: wiring faults show at once


class Governor:
    """Keeps time spent watching under `overhead` x time elapsed, or reads on a fixed stride.

    Time is the host's: on an accelerator it is the time to queue the work.
    """

    def __init__(
        self, overhead: float, schedule: Literal["adaptive", "fixed"], stride: int
    ) -> None:
        self.overhead = overhead
        self.schedule = schedule
        self.stride = stride
        self.spent = 0.0
        self._reading = 0.0  # spent on the reading under way
        self._costliest = 0.0
        self._warm = False
        self._reserved: dict[str, float] = {}  # by claim: what it waits for
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
        """Account for time spent, on a reading or on something that is paid by itself."""
        self.spent += seconds
        if reading:
            self._reading += seconds

    def settle(self, read: bool) -> None:
        """An iteration is over: a slowly forgotten maximum foretells the next reading's cost."""
        if read and self._warm:  # the first reading also loads kernels, and foretells nothing
            self._costliest = max(self._reading, 0.9 * self._costliest)
        self._warm |= read
        self._reading = 0.0

    def reads(self, iteration: int) -> bool:
        """Whether iteration number `iteration` (from 0) is to be read."""
        if self.schedule == "fixed":
            return (iteration + 1) % self.stride == 0  # with the tick that it closes
        return iteration < GRACE or self._fits(self._costliest + sum(self._reserved.values()))

    def affords(self, seconds: float, claim: str = "") -> bool:
        """Whether work of about `seconds` fits now; always under a fixed schedule.

        Where it does not, readings wait until it does: else they would spend every budget first.
        Each `claim` keeps its own place, so that cheap work does not cancel what dear work waits
        for.
        """
        fits = self.schedule == "fixed" or self._fits(seconds)
        self._reserved[claim] = 0.0 if fits else seconds
        return fits

    def _fits(self, seconds: float) -> bool:
        return self.spent + seconds <= self.overhead * self.elapsed
