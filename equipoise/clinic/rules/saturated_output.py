"""Samples sit at the ends of the output's range."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.windows import late_evidence, late_median, onset, persistent_share
from equipoise.record import Finding, Series, Trace

# Share of values at the ends, fakes over reals. Equal at a perfect generator whatever the data;
# a tanh whose inputs have left (-2.6, 2.6) is within 1 % of its ends.
EXCESS = 0.4
LONG = 0.25


def saturated_output(trace: Trace) -> Finding | None:
    """Far more of the fakes' values lie at the ends of the range than of the reals', for long.

    There the output activation passes no gradient, so the values stay. Looks like data that are
    black and white: there the reals lie at the ends as well, and only the excess counts.
    """
    fake, real = trace.series("saturation/fake"), trace.series("saturation/real")
    steps = np.intersect1d(fake.finite().steps, real.finite().steps)
    if len(steps) < 5:
        return None
    excess = fake.values[np.isin(fake.steps, steps)] - real.values[np.isin(real.steps, steps)]
    series = Series(steps, excess)
    since = onset(series, excess >= EXCESS)
    if since is None or persistent_share(trace, since) < LONG:
        return None
    usual = late_median(trace, "saturation/real")
    evidence = late_evidence(trace, "saturation/fake", f"about that of the reals, {usual:.2f}")
    summary = (
        f"The samples are saturated since step {since}: {evidence.observed:.0%} of their values lie"
        f" at the ends of the range, of the reals' {usual:.0%}."
    )
    return Finding("saturated_output", 0.8, since, summary, (evidence,))
