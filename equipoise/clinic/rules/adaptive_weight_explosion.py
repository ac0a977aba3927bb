"""The weight of the adversarial term is out of control."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equipoise.clinic.adversarial import fixed, held, other_loss, start
from equipoise.clinic.windows import FEWEST, late, late_median, median, onset, smoothed, window
from equipoise.record import Evidence, Finding, Series, Trace

# Adversarial over reconstruction gradient from which the one drowns the other. It is disc_weight,
# 0.5 to 1, under the adaptive weight of public code; at 5.9 the held-out error of a tokenizer was
# twice that of healthy runs (benchmarks/faults/tokenizer.py); at 10 the other has 9 % of the pull.
DROWNS, SURELY = 5.0, 10.0
# Share of readings at the clamp, and of the denominator that is epsilon: ADVERSARIAL_TERM 3c, from
# latent-diffusion#176 and WF-VAE#7.
CLAMPED, EPSILON = 0.05, 0.1
CEILING = 100.0  # a weight that never moves is fixed below this, at its clamp above: 1e3, 1e4
# Growth of the weight over the run. Public healthy runs range from 0.5 to 100 (dmvae#3).
GROWS = 100.0

Sign = Callable[[Trace, int], tuple[Evidence, float, str] | None]


def adaptive_weight_explosion(trace: Trace) -> Finding | None:
    """The share drowns the reconstruction, the clamp or epsilon decides, or the weight runs off.

    Looks like a large weight under a sum over pixels: there the share is right and neither clamp
    nor epsilon decides, which is a note. A fixed weight has no clamp and no epsilon; its share can
    drown the reconstruction all the same. A constant weight below 100 cannot be told from a clamp.
    """
    if other_loss(trace) is None and "adversarial_share" not in trace:
        return None
    begins = start(trace)
    found = [s for sign in SIGNS if (s := sign(trace, begins)) is not None]
    if not found:
        return None
    evidence, confidence, words = max(found, key=lambda sign: sign[1])
    since = evidence.window[0]
    summary = f"The weight of the adversarial term is out of control since step {since}: {words}."
    others = tuple(e for e, _, _ in found if e is not evidence)
    return Finding("adaptive_weight_explosion", confidence, since, summary, (evidence, *others))


def _drowns(trace: Trace, begins: int) -> tuple[Evidence, float, str] | None:
    share = smoothed(trace.series("adversarial_share").since(begins))
    since = onset(share, np.asarray(share.values >= DROWNS))
    if since is None or _other_terms(trace) * median(late(share)) < DROWNS:
        return None
    seen = held(trace, "adversarial_share", since, f"below {DROWNS:g}; disc_weight is 0.5 to 1")
    confidence = 0.9 if seen.observed >= SURELY else 0.8
    return seen, confidence, f"it pulls {seen.observed:.3g} times as hard as the reconstruction"


def _other_terms(trace: Trace) -> float:
    """||g_rec|| over the largest gradient beside the adversarial one: 1 where there is no larger.

    A pixel loss may be the smallest of several terms, which hold the generator in its stead.
    """
    stem, ours = "term_gradient/", "term_gradient/adversarial"
    norms = [late_median(trace, n) for n in trace.signals if n.startswith(stem) and n != ours]
    reconstruction = late_median(trace, stem + "reconstruction")
    largest = max((n for n in norms if n > 0), default=0.0)
    return reconstruction / largest if largest > reconstruction > 0 else 1.0


def _clamped(trace: Trace, begins: int) -> tuple[Evidence, float, str] | None:
    weight = trace.series("adaptive_weight")
    large = late_median(trace, "adaptive_weight")
    if fixed(weight) and large < CEILING:
        return None
    name = "adaptive_weight/at_largest"
    if name not in trace:
        return _logged(weight.finite().since(begins))
    series = trace.series(name).finite().since(begins)
    since = onset(series, np.asarray(series.values > CLAMPED))
    if since is None:
        return None
    seen = held(trace, name, since, f"at most {CLAMPED:.0%} of the readings at the clamp")
    return seen, 0.8, f"its clamp decides it in {seen.observed:.0%} of the readings ({large:.3g})"


def _logged(weight: Series) -> tuple[Evidence, float, str] | None:
    """A log's own readings: its largest value again and again, and too large for a fixed weight."""
    top = float(weight.values.max(initial=0.0))
    at = weight.values >= (1 - 1e-6) * top
    if top < CEILING or at.sum() < FEWEST or at.mean() <= CLAMPED:
        return None
    part = weight.since(int(weight.steps[np.argmax(at)]))
    seen = Evidence("adaptive_weight", top, "no value twice", window(part), "maximum")
    return seen, 0.8, f"its clamp, {top:.4g}, decides it in {at.mean():.0%} of the readings"


def _epsilon(trace: Trace, begins: int) -> tuple[Evidence, float, str] | None:
    name, weight = "adaptive_weight/epsilon_share", trace.series("adaptive_weight")
    if fixed(weight) and late_median(trace, "adaptive_weight") < CEILING:
        return None
    series = trace.series(name).finite().since(begins)
    since = onset(series, np.asarray(series.values > EPSILON))
    if since is None:
        return None
    seen = held(trace, name, since, f"at most {EPSILON:.0%}")
    return seen, 0.8, f"epsilon is {seen.observed:.0%} of what the reconstruction is divided by"


def _grows(trace: Trace, begins: int) -> tuple[Evidence, float, str] | None:
    weight = trace.series("adaptive_weight").finite().since(begins)
    weight = (
        weight.since(int(weight.steps[np.argmax(weight.values > 0)])) if len(weight) else weight
    )
    if len(weight) < 3 * FEWEST:
        return None
    first = median(weight.until(int(weight.steps[FEWEST - 1])))
    since = onset(weight, np.asarray(weight.values >= GROWS * first)) if first > 0 else None
    if since is None:
        return None
    seen = held(trace, "adaptive_weight", since, f"near {first:.3g}, as at its start")
    return seen, 0.7, f"it has grown from {first:.3g} to {seen.observed:.3g}"


SIGNS: tuple[Sign, ...] = (_drowns, _clamped, _epsilon, _grows)
