"""Fewer points that still tell the same story: spikes, gaps, first and last survive."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

POINTS = 2_000
FRAMES = 40


def kept(values: NDArray[np.floating], limit: int = POINTS) -> NDArray[np.intp]:
    """Rising indices, at most `limit` (5 or more), of the points worth drawing.

    First and last stay, and of each of (limit - 2) // 3 equal bins the least value, the greatest
    and the first that is not finite, so that neither a spike nor a gap is lost.
    """
    count = len(values)
    if count <= limit:
        return np.arange(count)
    edges = np.linspace(0, count, (limit - 2) // 3 + 1).astype(int)
    picked = {0, count - 1}
    for start, stop in pairwise(edges):
        picked.update(start + i for i in _landmarks(values[start:stop]))
    return np.array(sorted(picked))


def _landmarks(values: NDArray[np.floating]) -> list[int]:
    finite = np.isfinite(values)
    marks = [] if finite.all() else [int(np.argmin(finite))]
    if finite.any():
        marks.append(int(np.argmin(np.where(finite, values, np.inf))))
        marks.append(int(np.argmax(np.where(finite, values, -np.inf))))
    return marks


def evenly(steps: Sequence[int], limit: int = FRAMES, near: int | None = None) -> list[int]:
    """Indices of at most `limit` of the rising `steps`: evenly spread, first and last among them.

    With `near`, the step nearest to it is among them too (for a `limit` of 3 or more).
    """
    count = len(steps)
    if count <= limit:
        return list(range(count))
    picked = sorted({round(i) for i in np.linspace(0, count - 1, limit)})
    if near is None or limit < 3:
        return picked
    wanted = min(range(count), key=lambda i: abs(steps[i] - near))
    if wanted not in picked:
        inner = picked[1:-1]
        picked.remove(min(inner, key=lambda i: abs(i - wanted)))
        picked.append(wanted)
    return sorted(picked)
