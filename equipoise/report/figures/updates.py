"""How far one update moves each player."""

from __future__ import annotations

from equipoise.record import Trace
from equipoise.report.chart import Chart, chart, stem_lines
from equipoise.report.drawing import draw_chart as draw

SHOWS = ("update_ratio/",)
CAPTION = "Share of a player's weights that one update changes. Zero: that player stands still."


def data(trace: Trace, onset: int | None = None) -> tuple[Chart, ...]:
    """Every `update_ratio/...` in one chart, logarithmic when it spans two decades."""
    lines = stem_lines(trace, "update_ratio")
    return chart("Update ratios", CAPTION, lines, onset=onset, may_be_log=True)


__all__ = ["SHOWS", "data", "draw"]
