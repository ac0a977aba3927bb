"""Every signal that no other figure shows: signals that differ in the role alone share a chart."""

from __future__ import annotations

from equipoise.record import Trace
from equipoise.report.chart import Chart, chart, named_lines
from equipoise.report.colours import ROLES, role_of
from equipoise.report.drawing import draw_chart as draw
from equipoise.report.words import meaning

MOST = 24  # charts
POINTS = 500


def data(trace: Trace, onset: int | None, shown: tuple[str, ...]) -> tuple[Chart, ...]:
    """At most `MOST` charts, by name, of the signals whose names start with none of `shown`."""
    groups = grouped(trace, shown)
    charts = (one for key in sorted(groups) for one in _group(trace, groups[key], onset))
    return tuple(charts)[:MOST]


def grouped(trace: Trace, shown: tuple[str, ...]) -> dict[str, list[str]]:
    """The remaining signals by their name with the role taken out."""
    groups: dict[str, list[str]] = {}
    for name in sorted(trace.signals):
        if not name.startswith(shown):
            groups.setdefault(_without_role(name), []).append(name)
    return groups


def _group(trace: Trace, names: list[str], onset: int | None) -> tuple[Chart, ...]:
    alone = len(names) == 1
    title = names[0] if alone else _without_role(names[0])
    labels = {name: name if alone else role_of(name) or name for name in names}
    lines = named_lines(trace, labels, POINTS)
    return chart(title, meaning(names[0]), lines, onset=onset, may_be_log=True)


def _without_role(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ROLES]
    return "/".join(parts) or name


__all__ = ["data", "draw"]
