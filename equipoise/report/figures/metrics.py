"""The quality metrics, one chart each, because each has a scale of its own."""

from __future__ import annotations

from equipoise.record import Trace, describe
from equipoise.report.chart import Chart, chart, line
from equipoise.report.colours import INK
from equipoise.report.drawing import draw_chart as draw
from equipoise.report.words import meaning

SHOWS = ("metric/",)
MOST = 24  # charts


def data(trace: Trace, onset: int | None = None) -> tuple[Chart, ...]:
    """A chart for each of the first `MOST` `metric/...`; its caption says which way is better."""
    names = sorted(name for name in trace.signals if name.startswith("metric/"))
    return tuple(one for name in names[:MOST] for one in _metric(trace, name, onset))


def _metric(trace: Trace, name: str, onset: int | None) -> tuple[Chart, ...]:
    title = name.partition("/")[2]
    lines = [line(title, trace.series(name), INK)]
    return chart(title, _caption(name), lines, onset=onset)


def _caption(name: str) -> str:
    entry = describe(name)
    better = f"{entry.better} is better." if entry is not None and entry.better else ""
    return ". ".join(part for part in (meaning(name), better[:1].upper() + better[1:]) if part)


__all__ = ["SHOWS", "data", "draw"]
