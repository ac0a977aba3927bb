"""Drawing with plotly: what all figures share. Colours of text and grid are the page's own."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from equipoise.report.chart import Chart, Line
from equipoise.report.colours import GREY, INK, transparent
from equipoise.report.words import whole

HEIGHT = 280  # pixels
_FEW = 40  # readings up to which each is marked by a dot


def blank(height: int = HEIGHT, **layout: Any) -> go.Figure:
    """An empty figure with a transparent ground, that takes the width it is given."""
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "margin": {"l": 52, "r": 14, "t": 28, "b": 40},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 12},
            "hovermode": "closest",
            "dragmode": False,
            "legend": {
                "orientation": "h",
                "traceorder": "normal",
                "x": 0,
                "y": -0.2,
                "yanchor": "top",
            },
            "xaxis": {"automargin": True, "zeroline": False},
            "yaxis": {"automargin": True, "zeroline": False},
            **layout,
        }
    )


def literal(text: str) -> str:
    """Text from outside as plotly shows it unchanged: plotly reads tags in its labels."""
    return html.escape(text, quote=False)


def draw_chart(chart: Chart) -> go.Figure:
    """Curves with bands, references, shaded window and the marked onset."""
    figure = blank(hovermode="x unified", showlegend=len(chart.lines) > 1)
    figure.update_xaxes(title={"text": "step", "standoff": 4}, tickformat=",~f")
    figure.update_xaxes(spikethickness=1, spikecolor=GREY, spikedash="dot")
    if chart.log:
        figure.update_yaxes(type="log", tickformat="~g", dtick=_decades(chart))
    if chart.window is not None:
        _shade(figure, chart.window)
    for item in chart.lines:
        if item.spread is not None:
            _band(figure, item)
    for item in chart.lines:
        _curve(figure, item, chart.floor if chart.log else None)
    for value, label in chart.references:
        _reference(figure, value, label)
    if chart.onset is not None:
        _onset(figure, chart)
    return figure


def _decades(chart: Chart) -> int:
    values = np.concatenate([item.values[item.values > 0] for item in chart.lines])
    return max(1, round(float(np.log10(values.max()) - np.log10(chart.floor)) / 5))


def _curve(figure: go.Figure, item: Line, floor: float | None) -> None:
    values = item.values if floor is None else np.where(item.values == 0, floor, item.values)
    few = np.isfinite(values).sum() <= _FEW
    figure.add_scatter(
        x=item.steps,
        y=compact(values),
        name=literal(item.label),
        mode="lines+markers" if few else "lines",
        line={"color": item.colour, "width": 1.6, "dash": item.dash},
        marker={"size": 5, "color": item.colour},
        hovertemplate="%{y:.4g}",
        meta="ink" if item.colour == INK else None,
    )


def _band(figure: go.Figure, item: Line) -> None:
    assert item.spread is not None
    known = np.isfinite(item.values) & np.isfinite(item.spread)
    steps, values, spread = item.steps[known], item.values[known], item.spread[known]
    with np.errstate(over="ignore"):
        low, high = compact(values - spread), compact(values + spread)
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(x=steps, y=low, **edge)
    fill = transparent(item.colour, 0.18)
    figure.add_scatter(x=steps, y=high, fill="tonexty", fillcolor=fill, **edge)


def compact(values: NDArray[np.float64]) -> NDArray[np.floating]:
    """The values at single precision where it can hold them: half the bytes on the page."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    fits = not len(sizes) or (sizes.min() > 1e-37 and sizes.max() < 1e37)
    return values.astype(np.float32) if fits else values


def _reference(figure: go.Figure, value: float, label: str) -> None:
    figure.add_hline(
        y=value,
        line={"color": GREY, "width": 1, "dash": "dot"},
        annotation={"text": literal(label), "font": {"size": 11}, "xanchor": "right"},
        annotation_position="top right",
    )


def _shade(figure: go.Figure, window: tuple[int, int]) -> None:
    figure.add_vrect(
        x0=window[0], x1=window[1], fillcolor=transparent(GREY, 0.16), line_width=0, layer="below"
    )


def _onset(figure: go.Figure, chart: Chart) -> None:
    assert chart.onset is not None
    ends = [step for item in chart.lines for step in (item.steps[0], item.steps[-1])]
    late = chart.onset > (min(ends) + max(ends)) / 2
    figure.add_vline(x=chart.onset, line={"color": GREY, "width": 2, "dash": "dash"})
    figure.add_annotation(
        x=chart.onset,
        y=1,
        yref="paper",
        yanchor="bottom",
        xanchor="right" if late else "left",
        text=f"onset, step {whole(chart.onset)}",
        showarrow=False,
    )
