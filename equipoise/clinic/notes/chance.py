"""The discriminator's loss of knowing nothing, as the run's loop may write it."""

from __future__ import annotations

import math

from equipoise.clinic.lead import loss_of_chance
from equipoise.clinic.objective import objective
from equipoise.record import Trace

SUMS = {  # objective: what its value at chance is called, of the sum over reals and fakes
    "non_saturating": "2 ln 2",
    "minimax": "2 ln 2",
    "hinge": "2, one for each side's margin",
    "least_squares": "0.5, and 0.25 when halved",
    "relativistic": "ln 2",
    "relativistic_hinge": "1",
    "relativistic_least_squares": "1",
    "relativistic_average": "2 ln 2",
    "relativistic_average_hinge": "2",
    "relativistic_average_least_squares": "2",
}
OTHER = {"least_squares": 2.0}  # its table has the halved form, most loops the sum
HALVED = 0.5


def chances(trace: Trace) -> tuple[float, ...]:
    """The values that the discriminator's loss has at chance: one where the run says it itself.

    A foreign log may have the sum over reals and fakes or half of it (ln 2 for cross-entropy, 1 for
    hinge, 0.25 for least squares). None for a critic, whose chance of 0 is no level.
    """
    known = loss_of_chance(trace)
    if not math.isfinite(known) or known <= 0:
        return ()
    if isinstance(trace.header.get("chance"), (int, float)):
        return (known,)
    return known, known * OTHER.get(objective(trace) or "", HALVED)


def nearest_chance(trace: Trace, value: float) -> float:
    """The value at chance that is nearest to `value`, NaN where none is known."""
    return min(chances(trace), key=lambda chance: abs(value - chance), default=math.nan)
