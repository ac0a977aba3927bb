"""The numbers of a line chart, without the drawing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.record import Series, Trace
from equipoise.report.colours import ROLES, colour, dash, role_of
from equipoise.report.thinning import POINTS, kept
from equipoise.report.words import whole

LINES = 24  # that one chart can hold and a reader tell apart
_DECADES = 100.0  # a chart whose values span more than this factor gets a logarithmic axis


@dataclass(frozen=True)
class Line:
    """One curve: `steps` and `values` of equal length (at most `POINTS`), NaN where it has a gap.

    `spread` is the half-width of the band around it, or None; `gaps` counts the readings of the
    whole series that were not finite.
    """

    label: str
    colour: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    spread: NDArray[np.float64] | None = None
    gaps: int = 0
    dash: str = "solid"


@dataclass(frozen=True)
class Chart:
    """Curves over steps that share an axis.

    Attributes:
        title, caption: what it shows, and how to read it.
        lines: the curves.
        references: horizontal lines as (value, label).
        onset: step marked by a vertical line, None for no mark.
        window: steps that are shaded, None for none.
        log: whether the axis is logarithmic; zeros are then drawn at `floor`.
        floor: least value drawn on a logarithmic axis.
    """

    title: str
    caption: str
    lines: tuple[Line, ...]
    references: tuple[tuple[float, str], ...] = ()
    onset: int | None = None
    window: tuple[int, int] | None = None
    log: bool = False
    floor: float = 0.0

    @property
    def alt(self) -> str:
        """What a reader who cannot see the chart is told."""
        steps = [s for line in self.lines for s in (line.steps[:1], line.steps[-1:]) if len(s)]
        reach = (
            f" over steps {whole(int(min(steps)[0]))} to {whole(int(max(steps)[0]))}"
            if steps
            else ""
        )
        mark = "" if self.onset is None else f"; the onset at step {whole(self.onset)} is marked"
        return f"Line chart, {self.title}: {', '.join(i.label for i in self.lines)}{reach}{mark}"


def line(
    label: str,
    series: Series,
    colour: str,
    spread: Series | None = None,
    limit: int = POINTS,
    dash: str = "solid",
) -> Line:
    """A curve of `series`, thinned to `limit` points, with the band where `spread` has the step."""
    finite = np.isfinite(series.values)
    values = np.where(finite, series.values, np.nan)
    keep = kept(values, limit)
    band = None if spread is None else _at(spread, series.steps[keep])
    return Line(label, colour, series.steps[keep], values[keep], band, int((~finite).sum()), dash)


def _at(series: Series, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """The finite values of `series` at `steps`, NaN elsewhere."""
    values = np.full(len(steps), np.nan)
    _, here, there = np.intersect1d(steps, series.steps, return_indices=True)
    found = series.values[there]
    values[here] = np.where(np.isfinite(found), found, np.nan)
    return values


def chart(
    title: str,
    caption: str,
    lines: Iterable[Line],
    *,
    references: Sequence[tuple[float, str]] = (),
    onset: int | None = None,
    window: tuple[int, int] | None = None,
    may_be_log: bool = False,
) -> tuple[Chart, ...]:
    """One chart of the lines that have readings, in a tuple; an empty tuple when none has any."""
    lines = tuple(item for item in lines if len(item.steps))
    if not lines:
        return ()
    more, lines = len(lines) - LINES, lines[:LINES]
    log, floor = _log_axis(lines) if may_be_log else (False, 0.0)
    words = [caption, _zeros(log, lines), _gaps(lines)]
    words += [f"{whole(more)} more curves are not drawn."] if more > 0 else []
    text = " ".join(word for word in words if word)
    return (Chart(title, text, lines, tuple(references), onset, window, log, floor),)


def _log_axis(lines: Sequence[Line]) -> tuple[bool, float]:
    values = np.concatenate([item.values[np.isfinite(item.values)] for item in lines])
    positive = values[values > 0]
    if not len(positive) or (values < 0).any() or positive.max() / _DECADES < positive.min():
        return False, 0.0
    return True, max(float(positive.min()) / 3, sys.float_info.min)


def _zeros(log: bool, lines: Sequence[Line]) -> str:
    zero = log and any((item.values == 0).any() for item in lines)
    return "Zeros are drawn at the lower edge of the logarithmic axis." if zero else ""


def _gaps(lines: Sequence[Line]) -> str:
    count = sum(item.gaps for item in lines)
    if not count:
        return ""
    verb = "reading is" if count == 1 else "readings are"
    return f"{whole(count)} {verb} NaN or infinite; the curve has a gap there."


def stem_lines(trace: Trace, stem: str, limit: int = POINTS) -> tuple[Line, ...]:
    """A line for each signal under `stem/`: the roles first, in their order, then by name."""
    names = sorted((n for n in trace.signals if n.startswith(f"{stem}/")), key=_role_order)
    return named_lines(trace, {name: name.partition("/")[2] for name in names}, limit)


def named_lines(trace: Trace, labels: Mapping[str, str], limit: int = POINTS) -> tuple[Line, ...]:
    """A line for each signal of `labels` (name to label), roles in their own colours."""
    plain = [name for name in labels if role_of(name) is None]
    places = {name: i for i, name in enumerate(plain)}
    return tuple(
        line(
            label,
            trace.series(name),
            colour(name, places.get(name, 0)),
            limit=limit,
            dash=dash(name, places.get(name, 0)),
        )
        for name, label in labels.items()
    )


def _role_order(name: str) -> tuple[int, str]:
    order = {role: i for i, role in enumerate(ROLES)}
    return min(order.get(part, len(order)) for part in name.split("/")), name
