"""An adversarial term beside another loss: when it starts, and what that does to the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equipoise.clinic.windows import FEWEST, median, smoothed, window
from equipoise.record import Evidence, Series, Trace

# Names under which loops and logs show the loss that the term stands beside, the most telling
# first.
OTHERS = (
    "loss/reconstruction", "loss/rec", "loss/recon", "loss/nll", "loss/l1", "loss/l2", "loss/mse",
    "loss/pixel", "loss/mel", "loss/perceptual", "loss/lpips", "loss/distillation", "loss/dmd",
)  # fmt: skip
# What is exactly 0 before the term acts, and not after.
ACTS = ("adversarial_share", "adaptive_weight", "update_ratio/discriminator", "loss/discriminator")
# Times the level before at which the other loss was not disturbed but lost. Public cliffs were 1.5
# to 2.7; of healthy runs the largest peak was 1.3 (benchmarks/faults/tokenizer.py).
RUINS = 5.0
SOON = 1000  # steps after the start within which a break is the start's doing; taming#44, LDM#350


def other_loss(trace: Trace) -> str | None:
    """The signal of the loss that the adversarial term stands beside; None in a plain GAN."""
    return next((name for name in OTHERS if name in trace), None)


def start(trace: Trace) -> int:
    """Step at which the term begins to act: as seen, else as told; 0 where it always has.

    Seen is a share, weight or discriminator that was exactly 0 in the first readings.
    """
    told = int(trace.header.get("adversarial_start") or 0)
    for name in ACTS:
        series = trace.series(name).finite()
        acting = np.flatnonzero(series.values)
        if len(acting) and acting[0] >= FEWEST and series.steps[acting[0]] >= told:
            return int(series.steps[acting[0]])
    return told


def held(trace: Trace, name: str, since: int, expected: str) -> Evidence:
    """The median of a signal from a step on, as evidence."""
    part = trace.series(name).finite().since(since)
    return Evidence(name, median(part), expected, window(part))


@dataclass(frozen=True)
class Break:
    """What the other loss did when the term was switched on.

    Attributes:
        signal: the loss.
        start: of the term.
        before: its level then, the median of the last readings before.
        peak: the largest smoothed value within `SOON` steps.
        middle, end: medians over the middle and the last third of what follows the start.
    """

    signal: str
    start: int
    before: float
    peak: float
    middle: float
    end: float

    @property
    def recovering(self) -> bool:
        """Whether the excess over the level before at least halves from the middle to the end."""
        return self.end - self.before <= 0.5 * (self.middle - self.before)

    @property
    def ruined(self) -> bool:
        """Whether what had been learned was lost: what follows is learning anew."""
        return self.peak >= RUINS * self.before


def at_start(trace: Trace) -> Break | None:
    """How the other loss took the start; None without one, or with too few readings around it."""
    name, begins = other_loss(trace), start(trace)
    if name is None or begins <= 0:
        return None
    series = smoothed(trace.series(name))
    before, after = series.until(begins - 1), series.since(begins)
    if len(before) < FEWEST or len(after) < 3 * FEWEST:
        return None
    level = float(np.median(before.values[-FEWEST:]))
    third = len(after) // 3
    peak = float(after.until(begins + SOON).values.max(initial=-np.inf))
    middle = float(np.median(after.values[third:-third]))
    return Break(name, begins, level, peak, middle, float(np.median(after.values[-third:])))


def fixed(weight: Series) -> bool:
    """Whether a weight late in the run stands where it is: no adaptive weight does."""
    values = weight.finite().values[-FEWEST:]
    return len(values) > 0 and bool(np.ptp(values) <= 1e-5 * np.abs(values).max())
