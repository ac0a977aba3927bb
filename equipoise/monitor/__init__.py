"""Watch: attach to any adversarial loop; readings, probes and the governor of their cost."""

from equipoise.monitor.arguments import OnFinding
from equipoise.monitor.monitor import Monitor

__all__ = ["Monitor", "OnFinding"]
