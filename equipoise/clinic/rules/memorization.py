"""The generator copies its training data."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.windows import late_evidence, late_median, onset, persistent_share, smoothed
from equipoise.record import Finding, Trace

# Samples of the data's own law read 1. Blurred ones lie nearer without copying: the mean of a
# normal law is 1 / sqrt 2 = 0.71 as far from its samples as they are from each other in many
# dimensions, and a spread that is drawn in to the mode costs exp(-1/2) = 0.61 at the least
# (nearest distances go as density^(-1/d), closed form). Below that, samples follow single images.
NEAR, COPIES = 0.5, 0.25
LONG = 0.15
KNOWN = 0.65  # overfitting/auc: the judge who knows the images by heart


def memorization(trace: Trace) -> Finding | None:
    """Fakes lie twice as near to training images as held-out reals do, to the end.

    Looks like memorization/ratio well below 1 (Meehan et al. 2020 test the same by ranks). Confused
    with blurred or contracted samples, which lie near the mean and read 0.6 to 0.7: the limit is
    below. Confused with small data of true structure, where held-out data lie as near: the ratio
    counts, not the distance. An untrained generator reads above 1. Limits: distances are in pixels,
    so a copy that is shifted or mirrored is not seen; without held-out data nothing is said.
    """
    series = smoothed(trace.series("memorization/ratio"))
    since = onset(series, np.asarray(series.values < NEAR))
    if since is None or persistent_share(trace, since) < LONG:
        return None
    first = late_evidence(trace, "memorization/ratio", f"about 1; above {NEAR}")
    if not first.observed < NEAR:
        return None
    known = late_evidence(trace, "overfitting/auc", f"about 0.5; below {KNOWN}")
    more = (known,) if late_median(trace, "overfitting/auc") >= KNOWN else ()
    confidence = min(0.95, (0.85 if first.observed < COPIES else 0.65) + 0.1 * len(more))
    summary = (
        f"The generator copies training images since step {since}: its samples lie at"
        f" {first.observed:.0%} of the distance that new reals keep from them."
    )
    return Finding("memorization", confidence, since, summary, (first, *more))
