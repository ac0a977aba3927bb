"""The figures: each a module with `data(...)`, plain numbers, and `draw(data)`, a plotly figure.

A figure of curves takes `data(trace, onset)` and stands in `CURVES`; that and its file is all.
"""

from equipoise.report.figures import (
    diversity,
    evidence,
    gradients,
    logits,
    losses,
    metrics,
    others,
    paired,
    points,
    separation,
    updates,
)

CURVES = (losses, logits, separation, gradients, updates, diversity, metrics)

__all__ = ["CURVES", "evidence", "others", "paired", "points"]
