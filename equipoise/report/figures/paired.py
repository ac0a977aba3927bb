"""A trial: the improvement in each pair of runs, their mean and its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from equipoise.record import TrialRow
from equipoise.report.colours import GREY, INK, OTHERS
from equipoise.report.drawing import blank
from equipoise.report.words import number, p_value


@dataclass(frozen=True)
class Paired:
    """Improvement per seed (positive is better), only pairs with two finite values.

    `seeds` and `differences` are of equal length; `mean`, `interval` and `p_value` are the row's.
    """

    arm: str
    metric: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean: float
    interval: tuple[float, float]
    p_value: float
    minimal_effect: float

    @property
    def alt(self) -> str:
        """What a reader who cannot see the plot is told."""
        pairs = ", ".join(
            f"{s}: {number(d)}" for s, d in zip(self.seeds, self.differences, strict=True)
        )
        low, high = (number(v) for v in self.interval)
        return (
            f"Improvement of {self.metric} per seed ({pairs}); mean {number(self.mean)},"
            f" 95 % interval {low} to {high}, {p_value(self.p_value)}"
        )


def data(row: TrialRow) -> Paired:
    """The pairs of a ledger row; a pair with a missing or non-finite value is left out."""
    sign = 1.0 if row.better == "higher" else -1.0
    triples = zip(row.seeds, row.baseline_values, row.arm_values, strict=False)
    pairs = [(seed, sign * (arm - base)) for seed, base, arm in triples]
    pairs = [(seed, value) for seed, value in pairs if math.isfinite(value)]
    return Paired(
        row.arm,
        row.metric,
        tuple(seed for seed, _ in pairs),
        tuple(value for _, value in pairs),
        row.improvement,
        row.interval,
        row.p_value,
        row.minimal_effect,
    )


def draw(paired: Paired) -> go.Figure:
    """Seeds as rows, the mean with its interval below; right of zero is better."""
    labels = [f"seed {seed}" for seed in paired.seeds]
    figure = blank(height=120 + 22 * (len(labels) + 1), showlegend=False)
    figure.update_xaxes(title={"text": "improvement (right is better)", "standoff": 4})
    figure.update_yaxes(autorange="reversed", type="category")
    figure.add_scatter(
        x=paired.differences,
        y=labels,
        mode="markers",
        marker={"size": 9, "color": INK},
        hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        meta="ink",
    )
    _mean(figure, paired)
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    if paired.minimal_effect > 0:
        figure.add_vline(
            x=paired.minimal_effect,
            line={"color": GREY, "width": 1, "dash": "dot"},
            annotation={"text": "worth keeping", "font": {"size": 11}},
        )
    return figure


def _mean(figure: go.Figure, paired: Paired) -> None:
    ends = [paired.mean, *paired.interval]
    if not all(math.isfinite(v) for v in ends):
        return
    figure.add_scatter(
        x=[paired.mean],
        y=["mean"],
        mode="markers",
        marker={"size": 13, "symbol": "diamond", "color": OTHERS[2]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [paired.interval[1] - paired.mean],
            "arrayminus": [paired.mean - paired.interval[0]],
            "thickness": 2,
        },
        hovertemplate="mean: %{x:.4g}<extra></extra>",
    )
