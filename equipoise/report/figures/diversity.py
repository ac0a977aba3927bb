"""How varied the fakes are beside the reals."""

from __future__ import annotations

from equipoise.record import Trace
from equipoise.report.chart import Chart, chart, stem_lines
from equipoise.report.drawing import draw_chart as draw

SHOWS = ("diversity/",)
CAPTION = (
    "Distances between samples of a batch, fakes over reals. Towards 0: the fakes are all alike."
)


def data(trace: Trace, onset: int | None = None) -> tuple[Chart, ...]:
    """Every `diversity/...` in one chart; 1 is as varied as the reals."""
    lines = stem_lines(trace, "diversity")
    level = [(1.0, "as varied as the reals")]
    return chart("Diversity", CAPTION, lines, references=level, onset=onset)


__all__ = ["SHOWS", "data", "draw"]
