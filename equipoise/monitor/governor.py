"""How often the monitor may read, so that watching stays under its share of the step time."""

from __future__ import annotations

import math
import time
from typing import Literal

import torch

GRACE = 4  # iterations that are always read: wiring faults show at once
DEAR = 10  # iterations from one reading of updates and batches to the next, on a fixed stride
PURSES = {
    "probe": 0.3,
    "terms": 0.3,
    "judge": 0.1,
}  # shares of the overhead, once opened; readings have the rest


class Governor:
    """Keeps time spent watching under `overhead` x time elapsed, or reads on a fixed stride.

    What is done now and then, and may cost more than a reading, has a purse of its own: else
    readings would spend every budget before it, or wait for it. Time is the host's: on an
    accelerator it is the time to queue the work.
    """

    def __init__(
        self, overhead: float, schedule: Literal["adaptive", "fixed"], stride: int, tick: int = DEAR
    ) -> None:
        """`tick`: iterations of one, in which every reading is had once at least."""
        self.overhead = overhead
        self.schedule = schedule
        self.stride = stride
        self._dear = max(min(DEAR, tick) // stride, 1)  # readings from one with all to the next
        self.spent = 0.0
        self._reading = 0.0  # spent on the reading under way
        self._costliest = 0.0
        self._closing = 0.0  # what closing the next tick will cost, foretold likewise
        self._closed = self._warm = False
        self._purses: dict[str, float] = {}  # spent from each
        self._planned: int | None = None  # stride that a leader decided on
        self._began: float | None = None
        self._paced, self._shown = 0.0, 0  # seconds and images at the last look at the pace

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

    def pace(self, images: int) -> dict[str, float]:
        """Images a second and the device's peak memory since the last call, as signals."""
        now, shown = self.elapsed, images - self._shown
        seconds, self._paced, self._shown = now - self._paced, now, images
        found = {"speed/images_per_second": shown / seconds} if shown > 0 and seconds > 0 else {}
        if torch.cuda.is_initialized():
            found["memory/device"] = float(torch.cuda.max_memory_allocated())
        return found

    def open(self, purse: str) -> None:
        """Set aside a share of the overhead for work of this kind."""
        self._purses.setdefault(purse, 0.0)

    def charge(self, seconds: float, reading: bool, purse: str | None = None) -> None:
        """Account for time spent: on a reading, from a purse, or on something beside both."""
        self.spent += seconds
        if reading:
            self._reading += seconds
        if purse is not None:
            self._purses[purse] += seconds

    def close(self, seconds: float) -> None:
        """Account for closing a tick, where what waits is read; the next is kept money for."""
        self.charge(seconds, reading=False)
        self._closing = max(seconds, 0.9 * self._closing) if self._closed else 0.0
        self._closed = True

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
        if self._planned is not None:
            return (iteration + 1) % self._planned == 0
        whole = self.overhead * self.elapsed
        share = 1.0 - sum(PURSES[purse] for purse in self._purses)
        spent = self.spent + self._costliest + self._closing
        own = spent - sum(self._purses.values())
        # the sum too: what a purse spent before its cost was known is made up for here
        return iteration < GRACE or (own <= share * whole and spent <= whole)

    def reads_all(self, iteration: int) -> bool:
        """Whether iteration number `iteration`, which is read, is read with updates and batches.

        These cost tens of operations each, losses and logits a few.
        A budget has counted them in; a fixed stride below `DEAR` has them every `DEAR` iterations.
        """
        return self.schedule == "adaptive" or (iteration + 1) // self.stride % self._dear == 0

    def plan(self, iterations: int, tick: int) -> int:
        """The stride at which readings would fit from now on, for others to follow.

        `iterations` so far, of which `tick` make a row of the trace.
        """
        if self.schedule == "fixed":
            return self.stride
        share = 1.0 - sum(PURSES[purse] for purse in self._purses)
        budget = share * self.overhead * self.elapsed / max(iterations, 1) - self._closing / tick
        fits = self._costliest / budget if budget > 0 else tick
        return max(1, min(math.ceil(fits), tick))

    def follow(self, stride: int) -> None:
        """Read every `stride` iterations from now on, whatever it costs here."""
        self._planned = stride

    def affords(self, seconds: float, purse: str) -> bool:
        """Whether an open purse holds `seconds` now; always under a fixed schedule."""
        whole = PURSES[purse] * self.overhead * self.elapsed
        return self.schedule == "fixed" or self._purses[purse] + seconds <= whole
