"""Which objective a run descends, as its maker said or as the monitor told from the losses."""

from __future__ import annotations

from collections.abc import Mapping

from equipoise.record import Trace


def objective(trace: Trace) -> str | None:
    """The objective's name, None where nobody knows it."""
    named = trace.header.get("objective") or _told(trace).get("name")
    return str(named) if named else None


def scale(trace: Trace) -> float:
    """The factor that the loop puts before the objective, 1 unless the monitor told otherwise."""
    return 1.0 if trace.header.get("objective") else float(_told(trace).get("scale", 1.0))


def _told(trace: Trace) -> Mapping[str, str]:
    fact = trace.facts.get("objective")
    return fact if isinstance(fact, Mapping) else {}
