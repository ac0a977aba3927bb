"""One signal that a finding rests on: its curve, the onset, the window that was judged."""

from __future__ import annotations

from equipoise.record import Evidence, Trace
from equipoise.report.chart import Chart, chart, line
from equipoise.report.colours import colour
from equipoise.report.drawing import draw_chart as draw
from equipoise.report.words import meaning, number, whole


def data(trace: Trace, evidence: Evidence, onset: int) -> tuple[Chart, ...]:
    """The evidence's signal, thinned; nothing when the trace does not hold it."""
    name = evidence.signal
    lines = [line(name, trace.series(name), colour(name))]
    return chart(
        name, caption(evidence), lines, onset=onset, window=evidence.window, may_be_log=True
    )


def caption(evidence: Evidence) -> str:
    """What was expected, what was seen, and what the signal is."""
    first, last = (whole(step) for step in evidence.window)
    parts = [
        f"Expected: {evidence.expected.rstrip('.')}",
        f"Seen: {number(evidence.observed)} ({evidence.statistic}, shaded steps {first} to {last})",
        meaning(evidence.signal),
    ]
    return ". ".join(part for part in parts if part) + "."


__all__ = ["data", "draw"]
