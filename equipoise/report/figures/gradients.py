"""The norms of the gradients that the updates consumed."""

from __future__ import annotations

from equipoise.record import Trace
from equipoise.report.chart import Chart, chart, stem_lines
from equipoise.report.drawing import draw_chart as draw

SHOWS = ("gradient_norm/",)
CAPTION = "Length of the gradient behind each update. Falling to zero: nothing is learned."


def data(trace: Trace, onset: int | None = None) -> tuple[Chart, ...]:
    """Every `gradient_norm/...` in one chart, logarithmic when it spans two decades."""
    lines = stem_lines(trace, "gradient_norm")
    return chart("Gradient norms", CAPTION, lines, onset=onset, may_be_log=True)


__all__ = ["SHOWS", "data", "draw"]
