"""The reconstruction breaks where the adversarial term is switched on."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.adversarial import SOON, Break, at_start, held
from equipoise.clinic.windows import onset
from equipoise.record import Finding, Trace

# Of the level before the start. Public runs that broke went to 1.5 to 2.7 times (taming#44: 0.15 to
# 0.4; LDM#350; TATS#28); the price of sharper samples is 1 to 2 dB, that is 1.12 to 1.26 times.
BREAKS, SURELY = 1.5, 2.0


def adversarial_cliff(trace: Trace) -> Finding | None:
    """The other loss at 1.5 times its level within 1,000 steps of the start, and it stays there.

    Looks like a dip that recovers: there the excess halves from the middle to the last third of
    what follows; at 5 times its level it is no dip, and must be back by the middle. Looks like the
    price of sharper samples, which is smaller. A run that has its adversarial term from the first
    step has no level before, and cannot be told.
    """
    seen = at_start(trace)
    if seen is None or not seen.before > 0:
        return None
    after = trace.series(seen.signal).finite().since(seen.start)
    broken = np.asarray(after.values >= BREAKS * seen.before)
    if seen.ruined and seen.middle >= BREAKS * seen.before:
        since: int | None = int(after.steps[np.argmax(broken)])
    else:
        since = None if seen.recovering else onset(after, broken)
    if since is None or since > seen.start + SOON:
        return None
    return _finding(trace, seen, since)


def _finding(trace: Trace, seen: Break, since: int) -> Finding:
    broken = held(trace, seen.signal, since, f"about {seen.before:.4g}, as before the start")
    course = f"rose to {seen.peak:.4g} and has" if seen.ruined else "and has"
    summary = (
        f"The reconstruction broke at step {since}, where the adversarial term came in: it was"
        f" {seen.before:.4g}, {course} stayed at {broken.observed:.4g}."
    )
    evidence = [broken]
    if len(trace.series("adversarial_share").finite().since(since)):
        evidence.append(held(trace, "adversarial_share", since, "0.1 to 1 in public code"))
    sure = 0.96 if seen.end >= SURELY * seen.before else 0.9  # what else is seen follows from it
    confidence = 0.75 if seen.recovering else sure
    return Finding("adversarial_cliff", confidence, since, summary, tuple(evidence))
