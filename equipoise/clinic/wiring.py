"""The wiring audit's facts, as rules read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.record import Evidence, Finding, Trace


def audited(trace: Trace, name: str) -> list[Mapping[str, Any]]:
    """The failed checks, or measurements, that the audit left under `audit/<name>`."""
    told = trace.facts.get(f"audit/{name}")
    if isinstance(told, Mapping):
        return [told]
    return [t for t in told if isinstance(t, Mapping)] if isinstance(told, list) else []


def at(where: Any, otherwise: str = "") -> str:
    """(train.py:31), or `otherwise` where the line is not known."""
    return f" ({where})" if where else otherwise


def span(trace: Trace) -> tuple[int, int]:
    """First and last step of the audit."""
    told = trace.facts.get("audit")
    state = told if isinstance(told, Mapping) else {}
    return int(state.get("since") or 0), int(state.get("until") or 0)


def wrong(
    trace: Trace,
    failure: str,
    summary: str,
    fact: str,
    observed: float,
    expected: str,
    confidence: float = 0.98,
    statistic: str = "count",
) -> Finding:
    """A finding that rests on one fact of the audit."""
    window = span(trace)
    evidence = Evidence(f"audit/{fact}", observed, expected, window, statistic)
    return Finding(failure, confidence, window[0], summary, (evidence,))
