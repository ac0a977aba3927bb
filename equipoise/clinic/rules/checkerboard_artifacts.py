"""A regular grid lies over the samples."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.windows import late_evidence, onset, persistent_share, smoothed
from equipoise.record import Finding, Trace

# Power at the Nyquist frequency over that of the ring beside it, fakes over reals: 1 at a perfect
# generator. The means of 64 images over some 60 frequencies deviate by a few per cent, so 3 (5 dB)
# is no chance; 10 stands out to the eye.
GRID, PLAIN = 3.0, 10.0
LONG = 0.25


def checkerboard_artifacts(trace: Trace) -> Finding | None:
    """The fakes' power at the Nyquist frequency is three times the reals', to the end.

    Looks like: checkerboard/ratio above 3 late in the run; transposed convolutions whose kernel is
    no multiple of their stride write unevenly (Odena et al. 2016). Confused with data that hold a
    grid themselves, since the ratio is to the reals; with an untrained generator, whose grid fades:
    it must last. Limits: where the reals were enlarged from fewer pixels they hold no power there
    at all, and any noise of the fakes reads as a grid, hence no more than 0.75; grids of larger
    period (stacked layers) are not measured.
    """
    series = smoothed(trace.series("checkerboard/ratio"))
    since = onset(series, np.asarray(series.values >= GRID))
    if since is None or persistent_share(trace, since) < LONG:
        return None
    found = late_evidence(trace, "checkerboard/ratio", f"about 1; below {GRID:g}")
    if not found.observed >= GRID:
        return None
    confidence = 0.75 if found.observed >= PLAIN else 0.6
    summary = (
        f"A grid lies over the samples since step {since}: their power at the highest frequency is"
        f" {found.observed:.3g} times that of real images."
    )
    return Finding("checkerboard_artifacts", confidence, since, summary, (found,))
