"""How far the discriminator is ahead, on scales that any objective shares."""

from __future__ import annotations

import math

from equipoise.clinic.objective import objective, scale
from equipoise.clinic.windows import FEWEST, late_evidence
from equipoise.record import Evidence, Trace

# Late AUC of healthy runs: 0.55 to 0.72 on digits (grown 0.85), 0.74 to 0.87 on ring and grid; of
# runs whose discriminator is too fast or stepped too often 0.86 to 0.98 (benchmarks/RESULTS.md).
AHEAD = 0.88
# Its loss over the loss of knowing nothing. For a cross-entropy 1 - loss / chance bounds the
# Jensen-Shannon divergence over ln 2 from below (Goodfellow et al. 2014, theorem 1): at 0.6 fakes
# and reals are proven to be 0.4 of the way apart. Healthy late values: 0.65 to 0.99.
PROVEN = 0.6
# A rank is no lead while the loss stays above this share of chance: a flat discriminator, as strong
# penalties and spectral normalization make it, ranks well and overwhelms nobody (healthy: AUC 0.85
# at 0.97, grown digits).
FLAT = 0.95
# Together, and only beside data that is not reached: both well beyond healthy digits.
BOTH = (0.8, 0.85)
# Loss of the discriminator when it cannot tell: the optimum at p = q (Goodfellow et al. 2014,
# theorem 1; the others likewise, closed forms).
CHANCE = {
    "non_saturating": 1.386294,
    "minimax": 1.386294,
    "least_squares": 0.25,
    "wasserstein": 0.0,
    "hinge": 2.0,
    "relativistic": 0.693147,
    "relativistic_hinge": 1.0,
    "relativistic_least_squares": 1.0,
    "relativistic_average": 1.386294,
    "relativistic_average_hinge": 2.0,
    "relativistic_average_least_squares": 2.0,
}


def loss_of_chance(trace: Trace) -> float:
    """The discriminator's loss when it cannot tell, in the run's own scale; NaN where unknown.

    The trace's header says it; for a foreign log that names its objective the table does.
    """
    known = trace.header.get("chance")
    if isinstance(known, (int, float)):
        return float(known)
    return scale(trace) * CHANCE.get(objective(trace) or "", math.nan)


def ahead(trace: Trace) -> list[Evidence]:
    """AUC or loss of a discriminator that is far ahead late in the run."""
    flat = loss_of_chance(trace) > 0 and _loss(trace, FLAT) is None
    auc, loss = None if flat else _auc(trace, AHEAD), _loss(trace, PROVEN)
    return [e for e in (auc, loss) if e is not None]


def somewhat_ahead(trace: Trace) -> list[Evidence]:
    """AUC and loss of a discriminator that is ahead on both scales, or far on one."""
    auc, loss = _auc(trace, BOTH[0]), _loss(trace, BOTH[1])
    return [auc, loss] if auc is not None and loss is not None else ahead(trace)


def _auc(trace: Trace, least: float) -> Evidence | None:
    name = "auc/discriminator"
    found = late_evidence(trace, name, f"below {least:g} where the generator follows")
    enough = len(trace.series(name).finite()) >= FEWEST
    return found if enough and found.observed >= least else None


def _loss(trace: Trace, share: float) -> Evidence | None:
    name, chance = "loss/discriminator", loss_of_chance(trace)
    found = late_evidence(trace, name, f"above {share:g} of {chance:g}, the loss of chance")
    enough = chance > 0 and len(trace.series(name).finite()) >= FEWEST
    return found if enough and found.observed <= share * chance else None
