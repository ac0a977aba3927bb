"""Logits that grow although nothing is gained by it."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.objective import objective
from equipoise.clinic.windows import (
    late,
    late_evidence,
    onset,
    persistent_share,
    slope_per_run,
    smoothed,
)
from equipoise.record import Finding, Series, Trace

# Beyond these a discriminator gains nothing: the hinge's margin is 1, and at a logit of 20 a
# cross-entropy is 2e-9 (starting points of the taxonomy; no healthy run on ring, grid or digits
# came near them late with a positive slope).
BOUNDS = {"hinge": 10.0, "non_saturating": 20.0, "minimax": 20.0, "least_squares": 10.0}
RISES = 1.2  # over the last 30 % of the run
LONG = 0.2


def runaway_logits(trace: Trace) -> Finding | None:
    """Logits beyond any margin that the loss rewards, and still growing.

    Looks like the drift of both sides together under a relativistic loss, which means nothing: such
    objectives are left out, as is Wasserstein's critic, whose scale is free. Large and level is
    none. Growth by three and more is divergence.
    """
    bound = BOUNDS.get(objective(trace) or "")
    if bound is None:
        return None
    series = smoothed(trace.series("logits/extreme"))
    since = onset(series, np.asarray(series.values >= bound))
    if since is None or persistent_share(trace, since) < LONG:
        return None
    part = late(trace.series("logits/extreme"))
    if not bool((part.values > 0).all()):
        return None
    rise = float(np.exp(slope_per_run(Series(part.steps, np.log(part.values)))))
    if not rise >= RISES:
        return None
    evidence = late_evidence(trace, "logits/extreme", f"below {bound:g}, or level")
    summary = (
        f"The logits run away since step {since}: they have reached {evidence.observed:.3g} and"
        f" still grow, by a factor of {rise:.2g} late in the run."
    )
    return Finding("runaway_logits", 0.65, since, summary, (evidence,))
