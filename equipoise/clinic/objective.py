"""Which objective a run descends, as its maker said or as the monitor told from the losses."""

from __future__ import annotations

import math
from collections.abc import Mapping

from equipoise.record import Trace

# Loss of the discriminator when it cannot tell: the optimum at p = q (Goodfellow et al. 2014,
# theorem 1; hinge and relativistic likewise, closed forms).
CHANCE = {"non_saturating": 1.386294, "hinge": 2.0, "relativistic": 0.693147}


def objective(trace: Trace) -> str | None:
    """The objective's name, None where nobody knows it."""
    named = trace.header.get("objective") or _told(trace).get("name")
    return str(named) if named else None


def loss_of_chance(trace: Trace) -> float:
    """The discriminator's loss when it cannot tell, in the run's own scale; NaN where unknown."""
    scale = 1.0 if trace.header.get("objective") else float(_told(trace).get("scale", 1.0))
    return scale * CHANCE.get(objective(trace) or "", math.nan)


def _told(trace: Trace) -> Mapping[str, str]:
    fact = trace.facts.get("objective")
    return fact if isinstance(fact, Mapping) else {}
