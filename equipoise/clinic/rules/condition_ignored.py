"""Labels or text change nothing in the samples."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.quality import poor_diversity
from equipoise.clinic.windows import FEWEST, late_evidence, onset, persistent_share, smoothed
from equipoise.record import Evidence, Finding, Trace

# Effect of another label over that of another z: 0 where labels are ignored, about 1 where they do
# as much as the latent. Below 5 % it is lost among the samples' own variation.
EFFECT = 0.05
JUDGED = 0.02  # change of the logit under a wrong label, in spreads of the logits
NOTHING = 1e-6  # below it the label is not connected at all
LONG = 0.2


def condition_ignored(trace: Trace) -> Finding | None:
    """Another label changes the sample far less than another z, or the discriminator's mind not.

    Looks like condition/effect near 0 to the end; condition/judged near 0 says why, since a
    discriminator that never looks at labels teaches none. Confused with mode collapse, where
    nothing changes anything (diversity tells: then nothing is said here), with an early generator
    that has not learned its labels yet (it must last), and with constant labels, a bug of the data,
    for which the probe says nothing at all. Limit: classes that look alike deserve a small effect;
    what their reals look like is not compared, so between the two limits it is told as likely only.
    """
    if poor_diversity(trace) is not None:
        return None
    effect = _low(trace, "condition/effect", EFFECT, "about 1; above")
    judged = _low(trace, "condition/judged", JUDGED, "above")
    first = effect or judged
    if first is None:
        return None
    evidence, since = first
    both = effect is not None and judged is not None
    exact = evidence.observed <= NOTHING
    confidence = 0.95 if exact and both else 0.9 if both else 0.85 if exact else 0.6
    said = tuple(e for e, _ in (pair for pair in (effect, judged) if pair is not None))
    return Finding("condition_ignored", confidence, since, _words(evidence, since, both), said)


def _low(trace: Trace, name: str, limit: float, words: str) -> tuple[Evidence, int] | None:
    if len(trace.series(name).finite()) < FEWEST:
        return None
    series = smoothed(trace.series(name))
    since = onset(series, np.asarray(series.values < limit))
    found = late_evidence(trace, name, f"{words} {limit}")
    if since is None or persistent_share(trace, since) < LONG or not found.observed < limit:
        return None
    return found, since


def _words(first: Evidence, since: int, both: bool) -> str:
    if first.signal == "condition/judged":
        return (
            f"The discriminator does not look at the labels since step {since}: a wrong one moves"
            f" its logit by {first.observed:.2g} spreads, so the generator is not taught them."
        )
    why = ", and the discriminator does not look at them either" if both else ""
    return (
        f"Labels change nothing since step {since}: another one moves a sample"
        f" {first.observed:.1%} as far as another z does{why}."
    )
