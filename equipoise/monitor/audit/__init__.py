"""The wiring audit: exact checks of two updates of each player, by hooks that change nothing."""

from equipoise.monitor.audit.armed import auditing
from equipoise.monitor.audit.calls import callables
from equipoise.monitor.audit.wiring import MOST_ITERATIONS, Audit

__all__ = ["MOST_ITERATIONS", "Audit", "auditing", "callables"]
