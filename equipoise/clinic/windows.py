"""Reading a trace by windows: late medians, onsets, slopes. All pure, all over finite values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from equipoise.record import Evidence, Series, Trace

LATE = 0.3  # share of the run that "late" means
FEWEST = 5  # readings below which a window says nothing
HOLDS = 0.9  # share of readings after an onset that must agree with it


def late(series: Series, share: float = LATE) -> Series:
    """The last `share` of the run's steps (at least the last `FEWEST` readings)."""
    finite = series.finite()
    if len(finite) == 0:
        return finite
    first, last = finite.steps[0], finite.steps[-1]
    start = min(last - share * (last - first), finite.steps[-min(FEWEST, len(finite))])
    return finite.since(math.ceil(start))


def median(series: Series) -> float:
    """Median of the finite values, NaN when there are none."""
    finite = series.finite().values
    return float(np.median(finite)) if len(finite) else math.nan


def late_median(trace: Trace, name: str) -> float:
    """Median of a signal over the late window, NaN when it is absent."""
    return median(late(trace.series(name)))


def late_evidence(trace: Trace, name: str, expected: str) -> Evidence:
    """The late median of a signal, as evidence."""
    part = late(trace.series(name))
    return Evidence(name, median(part), expected, window(part))


def window(series: Series) -> tuple[int, int]:
    """First and last step of a series, (0, 0) when empty."""
    return (int(series.steps[0]), int(series.steps[-1])) if len(series) else (0, 0)


def smoothed(series: Series, width: int = FEWEST) -> Series:
    """Running median of `width` finite readings around each: one odd batch changes nothing.

    Centred, so that a step in the readings stays where it is.
    """
    finite = series.finite()
    if len(finite) < width:
        return finite
    padded = np.pad(finite.values, width // 2, mode="reflect")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    return Series(finite.steps, medians)


def onset(series: Series, holds: NDArray[np.bool_]) -> int | None:
    """First step from which a condition holds to the end, in at least `HOLDS` of the readings.

    The condition must hold at that step and in the last `FEWEST` readings' majority; None when it
    never settles.
    """
    if len(series) < FEWEST or not holds[-FEWEST:].mean() > 0.5:
        return None
    counts = np.arange(len(holds), 0, -1)
    share = np.cumsum(holds[::-1])[::-1] / counts
    settled = np.flatnonzero((share >= HOLDS) & holds & (counts >= FEWEST))
    return int(series.steps[settled[0]]) if len(settled) else None


def persistent_share(trace: Trace, since: int) -> float:
    """Share of the observed steps that lie after `since`."""
    first, last = window(trace.kimg)
    return (last - since) / max(last - first, 1)


def slope_per_run(series: Series) -> float:
    """Change of the least-squares line from first to last reading, NaN under `FEWEST` readings."""
    finite = series.finite()
    if len(finite) < FEWEST or finite.steps[-1] == finite.steps[0]:
        return math.nan
    t = (finite.steps - finite.steps[0]) / (finite.steps[-1] - finite.steps[0])
    centred = t - t.mean()
    return float(centred @ finite.values / (centred @ centred))


def metrics(trace: Trace) -> tuple[str, ...]:
    """Names of the quality metrics that the run measured."""
    return tuple(sorted(name for name in trace.signals if name.startswith("metric/")))
