"""The adversarial term is meant to act and does not."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.adversarial import held
from equipoise.clinic.windows import FEWEST, late_median, onset, smoothed
from equipoise.record import Finding, Series, Trace

# ||w g_adv|| / ||g_rec|| below which the term changes nothing. It is disc_weight, 0.5 to 0.8, under
# an adaptive weight, and 0.085 with a constant of 0.01 (benchmarks/faults/tokenizer.py). There
# patches are as blurred at 0.0034 and below as without the term, within 1 %; at 0.044 less so.
OFF = 1e-2
SURELY = 1e-3  # the term is a rounding of the other


def adversarial_term_off(trace: Trace) -> Finding | None:
    """The adversarial share is below 0.01 from some step on, after the start.

    Looks like the time before the start, which the header's `adversarial_start` tells; where it
    does not, a share of exactly 0 beside a discriminator that stands still is taken for that time.
    A discriminator that learns alone first has a weight of 0 too: it is given as long as came
    before. Looks like a large clamp or a small weight under a sum over pixels, where the share is
    right.
    """
    begins = int(trace.header.get("adversarial_start") or 0)
    share = smoothed(trace.series("adversarial_share").since(begins))
    since = onset(share, np.asarray(share.values < OFF))
    if since is None:
        return None
    observed = held(trace, "adversarial_share", since, f"at least {OFF:g} while the term is on")
    summary, confidence = _told(trace, share.since(since), begins)
    evidence = [observed]
    if len(trace.series("term_gradient/adversarial").finite().since(since)):
        evidence.append(held(trace, "term_gradient/adversarial", since, "above 0"))
    words = f"The adversarial term does nothing since step {since}: {summary}."
    return Finding("adversarial_term_off", confidence, since, words, tuple(evidence))


def _told(trace: Trace, share: Series, begins: int) -> tuple[str, float]:
    """What is the matter, and how sure that is."""
    if (share.values[-FEWEST:] > 0).any():
        late = float(np.median(share.values))
        words = f"it pulls {late:.1e} times as hard as the reconstruction"
        return words, 0.85 if late < SURELY else 0.6
    weight, gradient = (
        late_median(trace, name) for name in ("adaptive_weight", "term_gradient/adversarial")
    )
    if gradient == 0:
        return "its gradient does not reach the generator", 0.95 if weight > 0 or begins else 0.6
    if begins > 0:
        warms = int(share.steps[-1]) < 2 * begins
        return "its weight is 0 although its start has passed", 0.4 if warms else 0.9
    moves = late_median(trace, "update_ratio/discriminator") > 0
    return "its weight is 0 (if it starts later, tell adversarial_start)", 0.6 if moves else 0.4
