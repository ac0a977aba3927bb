"""The losses that the players descend."""

from __future__ import annotations

from equipoise.record import Trace
from equipoise.report.chart import Chart, chart, stem_lines
from equipoise.report.drawing import draw_chart as draw

SHOWS = ("loss/",)
CAPTION = (
    "What each update descends. Two balanced players hover around a level;"
    " a loss alone tells little about quality."
)


def data(trace: Trace, onset: int | None = None) -> tuple[Chart, ...]:
    """Every `loss/...` in one chart."""
    return chart("Losses", CAPTION, stem_lines(trace, "loss"), onset=onset)


__all__ = ["SHOWS", "data", "draw"]
