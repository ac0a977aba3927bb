"""Correct loops in the ways that people write them: none may be flagged."""

from benchmarks.faults.wiring.healthy.losses import LOSSES
from benchmarks.faults.wiring.healthy.manners import MANNERS
from benchmarks.faults.wiring.healthy.order import ORDER

HEALTHY = (*ORDER, *LOSSES, *MANNERS)

__all__ = ["HEALTHY"]
