"""Points of the plane over time: reals standing still, fakes (or the paths between them) moving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from equipoise.report.colours import ROLES
from equipoise.report.drawing import blank

POINTS = 512  # drawn per frame
_MARGIN = 0.35  # of the reals' extent, left free around them


@dataclass(frozen=True)
class Points:
    """Reals (n, 2), and fakes as one (m, 2) array per frame; NaN rows part paths.

    Attributes:
        window: (x0, x1, y0, y1), the part of the plane that is drawn.
        outside: per frame, fakes that are not finite or outside the window.
        paths: whether the fakes of a frame are joined.
    """

    real: NDArray[np.float64]
    frames: tuple[NDArray[np.float64], ...]
    window: tuple[float, float, float, float]
    outside: tuple[int, ...]
    paths: bool = False


def data(real: NDArray[np.floating] | None, frames: Sequence[NDArray[np.floating]]) -> Points:
    """Reals (n, 2) or None, and frames: each (m, 2) points, or (rows, columns, 2) paths."""
    paths = bool(frames) and frames[0].ndim == 3
    drawn = tuple(_parted(f) if f.ndim == 3 else _finite(f)[:POINTS] for f in frames)
    reals = np.zeros((0, 2)) if real is None else _finite(real)[:POINTS]
    window = _window(reals, drawn)
    outside = tuple(
        int(whole.size // 2 - _inside(whole.reshape(-1, 2), window).sum()) for whole in frames
    )
    return Points(reals, drawn, window, outside, paths)


def _finite(points: NDArray[np.floating]) -> NDArray[np.float64]:
    points = np.asarray(points, np.float64)
    return points[np.isfinite(points).all(axis=1)]


def _parted(paths: NDArray[np.floating]) -> NDArray[np.float64]:
    """(rows, columns, 2) as (rows (columns + 1), 2), a NaN row after each path."""
    gap = np.full((paths.shape[0], 1, 2), np.nan)
    whole = np.concatenate([np.asarray(paths, np.float64), gap], axis=1).reshape(-1, 2)
    whole[~np.isfinite(whole).all(axis=1)] = np.nan
    return whole


def _window(
    real: NDArray[np.float64], frames: Sequence[NDArray[np.float64]]
) -> tuple[float, float, float, float]:
    """The reals with a margin; without reals, the middle 96 % of all fakes."""
    seen = real
    if not len(seen):
        every = _finite(np.concatenate([*frames, np.zeros((0, 2))]))
        seen = np.percentile(every, [2, 98], axis=0) if len(every) else np.array([[-1, -1], [1, 1]])
    low, high = seen.min(axis=0), seen.max(axis=0)
    room = max(float((high - low).max()), 1e-9) * _MARGIN
    return low[0] - room, high[0] + room, low[1] - room, high[1] + room


def _inside(
    points: NDArray[np.floating], window: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    x, y = np.asarray(points, np.float64).T
    return (x >= window[0]) & (x <= window[1]) & (y >= window[2]) & (y <= window[3])


def draw(points: Points) -> go.Figure:
    """The last frame, with equal axes; `figure.frames` holds all of them, for the slider."""
    legend = {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "itemsizing": "constant"}
    figure = blank(height=440, legend=legend)
    figure.update_xaxes(range=points.window[:2], constrain="domain")
    figure.update_yaxes(range=points.window[2:], scaleanchor="x", constrain="domain")
    marker = {"size": 4, "opacity": 0.5, "color": ROLES["real"]}
    x, y = _columns(points.real)
    figure.add_scatter(x=x, y=y, name="real", mode="markers", marker=marker, hoverinfo="skip")
    x, y = _columns(points.frames[-1])
    figure.add_scatter(
        x=x,
        y=y,
        name="fake",
        mode="lines+markers" if points.paths else "markers",
        marker={"size": 4, "opacity": 0.8, "color": ROLES["fake"]},
        line={"color": ROLES["fake"], "width": 1},
        hoverinfo="skip",
    )
    figure.frames = [
        go.Frame(data=[{"type": "scatter", "x": x, "y": y}], traces=[1], name=str(i))
        for i, (x, y) in enumerate(map(_columns, points.frames))
    ]
    return figure


def _columns(points: NDArray[np.float64]) -> tuple[list[float | None], list[float | None]]:
    """x and y at four digits, as text that is shorter on the page than its bytes in base64."""
    x, y = ([None if np.isnan(v) else float(f"{v:.4g}") for v in column] for column in points.T)
    return x, y
