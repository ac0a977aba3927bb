"""A quality metric that was better once: how much worse it is now, and since when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equipoise.clinic.adversarial import other_loss
from equipoise.clinic.windows import late_median, metrics, smoothed
from equipoise.record import Evidence, Series, Trace

RATIOS = ("metric/fid", "metric/frechet")
AGREE = 3  # evaluations at the end whose median counts: one alone may be an odd sample
RECOVERED = 1.25  # times the best: as near again as stable runs are
LOST = 1.5  # times its best from which another loss is lost: as at an adversarial cliff
EVALUATIONS = 5  # fewer say nothing of a course


@dataclass(frozen=True)
class Worsening:
    """A distance to the data that has grown.

    Attributes:
        metric: its name; lower is better, and it is above 0.
        best, best_step: the least value so far, and where.
        late, window: median of the last evaluations, and their steps.
        since: first evaluation at `factor` times the best before it or more, after which the
            metric never came back to within `RECOVERED` of it.
    """

    metric: str
    best: float
    best_step: int
    late: float
    window: tuple[int, int]
    since: int

    @property
    def ratio(self) -> float:
        """late / best."""
        return self.late / self.best

    def evidence(self) -> Evidence:
        """As a finding shows it."""
        expected = f"near its best, {self.best:.4g} at step {self.best_step}"
        return Evidence(self.metric, self.late, expected, self.window)


def distances(trace: Trace) -> list[tuple[str, Series]]:
    """The distances to the data whose ratios mean something, with enough evaluations.

    Frechet distances alone: the divergence of a mixture's modes lies at its sampling floor in good
    runs, where it doubles and halves from one evaluation to the next, and kernel distances pass 0.
    """
    found = []
    for name in metrics(trace):
        series = trace.series(name).finite()
        enough = len(series) >= EVALUATIONS and bool((series.values > 0).all())
        if name.startswith(RATIOS) and enough:
            found.append((name, series))
    return found


def worsened(trace: Trace, factor: float) -> Worsening | None:
    """The metric that has grown most beyond `factor` times its best, and stays there to the end.

    Beside another loss none counts while that loss holds: the adversarial term trades the one
    against the other, and a reconstruction that holds has neither collapsed nor run away.
    """
    if _other_holds(trace):
        return None
    found = [w for name, s in distances(trace) if (w := _of(name, s, factor)) is not None]
    return max(found, key=lambda w: w.ratio, default=None)


def _other_holds(trace: Trace) -> bool:
    name = other_loss(trace)
    if name is None:
        return False
    level = smoothed(trace.series(name)).values
    return len(level) > 0 and late_median(trace, name) < LOST * float(level.min())


def _of(name: str, series: Series, factor: float) -> Worsening | None:
    best_so_far = np.minimum.accumulate(series.values)
    worse = series.values >= factor * best_so_far
    late = float(np.median(series.values[-AGREE:]))
    best = float(best_so_far[-1])
    if not worse[-1] or late < factor * best:
        return None
    near = series.values < min(RECOVERED, factor) * best_so_far  # never empty: the first is its own
    first = int(np.flatnonzero(worse & (np.arange(len(worse)) > np.flatnonzero(near)[-1]))[0])
    at = int(np.argmin(series.values))
    held = (int(series.steps[-AGREE]), int(series.steps[-1]))
    return Worsening(name, best, int(series.steps[at]), late, held, int(series.steps[first]))
