"""Gradients jump far beyond their usual size, again and again."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.windows import late, window
from equipoise.record import Evidence, Finding, Series, Trace

JUMP = 10.0  # times the running median (FAILURES: norm jumps above 10 times it, repeatedly)
BEFORE = 25  # readings that the running median is of
OFTEN = 3  # jumps in the late window; one that heals is none
SHARE = 0.03  # of its readings


def exploding_gradient(trace: Trace) -> Finding | None:
    """A player's gradient norm above ten times its running median, repeatedly and to the end.

    Looks like divergence, where the norm grows and stays; like a single spike that heals, which is
    none. Where two players jump, the one that jumped first is named.
    """
    hits = []
    for name in sorted(n for n in trace.signals if n.startswith("gradient_norm/")):
        jumps = _jumps(trace.series(name).finite())
        part = late(trace.series(name))
        if len(part) == 0:
            continue
        recent = jumps.since(int(part.steps[0]))
        if len(recent) >= max(OFTEN, SHARE * len(part)):
            hits.append((int(jumps.steps[0]), name, recent))
    if not hits:
        return None
    since, name, recent = min(hits)
    evidence = Evidence(
        name,
        float(np.max(recent.values)),
        f"within {JUMP:g} times its running median",
        window(recent),
        "maximum",
    )
    player = name.partition("/")[2]
    summary = (
        f"The {player}'s gradients explode since step {since}: {len(recent)} jumps beyond"
        f" {JUMP:g} times their usual size late in the run, up to {evidence.observed:.3g}."
    )
    return Finding("exploding_gradient", 0.7, since, summary, (evidence,))


def _jumps(series: Series) -> Series:
    """Readings beyond `JUMP` times the median of those before."""
    values = series.values
    if len(values) <= BEFORE:
        return Series(series.steps[:0], values[:0])
    usual = np.median(np.lib.stride_tricks.sliding_window_view(values, BEFORE), axis=1)[:-1]
    hit = values[BEFORE:] > JUMP * usual
    return Series(series.steps[BEFORE:][hit], values[BEFORE:][hit])
