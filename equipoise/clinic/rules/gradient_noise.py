"""The batch is too small: its gradient is mostly noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from equipoise.clinic.quality import improving, poor_diversity, poor_reach
from equipoise.clinic.windows import late, late_evidence, late_median, onset, persistent_share
from equipoise.record import Evidence, Finding, Series, Trace

# Noise scale over batch, B / b: the noise's share of a gradient's squared norm is 1 / (1 + b / B)
# (McCandlish et al. 2018, section 2.2): four fifths here. The generator of healthy digits reads
# B = 30 to 117, half to twice its batch of 64; at a batch of 4 it reads 12 to 39, 3 to 10 batches.
TIMES = 4.0
DISAGREE = 0.05  # cosine of two half-batches of the probe, where nobody said the batch
FLOOR = 1.15  # certainty: Adam's m / sqrt(v) over what pure noise gives
EVEN = 0.6  # AUC below which the game is near its equilibrium
LONG = 0.25
FEWEST = 5
PLAYER = "generator"


def gradient_noise(trace: Trace) -> Finding | None:
    """The generator's gradient at the batch in use is noise, and the samples are no good.

    Looks like: noise_scale/generator at four batches or more (without a known batch: half-batches
    whose gradients have a cosine under 0.05); beside it poor samples, or Adam's moments at the
    floor of noise. Confused with equilibrium, where no gradient is left but noise and which is the
    aim: near it only poor samples count. Confused with early training, where the noise is small in
    truth: it must last to the end. The discriminator is not judged, since its gradient vanishes
    wherever it is at its optimum. A single probe is rough by a factor of two: medians count, and
    without a second sign the confidence stays under one half.
    """
    first = _noisy(trace)
    if first is None or improving(trace) is not None:
        return None
    evidence, since, words = first
    poor = [e for e in (poor_diversity(trace), poor_reach(trace)) if e is not None]
    even = late_median(trace, "auc/discriminator") < EVEN
    if even and not poor:
        return None
    floor = _floor(trace)
    more = [*poor[:1], *floor]
    confidence = (0.45, 0.65, 0.8)[len(more)]
    summary = f"The generator follows noise since step {since}: {words}."
    return Finding("gradient_noise", confidence, since, summary, (evidence, *more))


def _noisy(trace: Trace) -> tuple[Evidence, int, str] | None:
    batch = _batch(trace)
    name = f"noise_scale/{PLAYER}" if batch else f"gradient_cosine/{PLAYER}"
    limit = TIMES * batch if batch else DISAGREE
    series = _course(trace.series(name))
    if len(series) < FEWEST:
        return None
    noisy = series.values >= limit if batch else series.values <= limit
    since = onset(series, np.asarray(noisy))
    if since is None or persistent_share(trace, since) < LONG or not len(late(trace.series(name))):
        return None
    if not batch:
        found = late_evidence(trace, name, f"above {DISAGREE}")
        words = f"the gradients of two half-batches agree by a cosine of {found.observed:.2g}"
        return (found, since, words) if found.observed <= limit else None
    found = late_evidence(trace, name, f"below {limit:g}, {TIMES:g} batches")
    words = (
        f"its gradient asks for batches of {found.observed:.3g} and the batch is {batch:g}, so"
        f" {1 / (1 + batch / found.observed):.0%} of its squared size is noise"
    )
    return (found, since, words) if found.observed >= limit else None


def _course(series: Series) -> Series:
    """Running median of five readings, infinite ones (no signal left) included."""
    keep = ~np.isnan(series.values)
    steps, values = series.steps[keep], series.values[keep]
    if len(values) < FEWEST:
        return Series(steps, values)
    padded = np.pad(values, FEWEST // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, FEWEST)
    return Series(steps, np.sort(windows, axis=1)[:, FEWEST // 2])


def _batch(trace: Trace) -> float:
    """Samples per update; 0 where nobody said."""
    recipe = trace.header.get("recipe")
    told = trace.header.get("batch")
    if told is None and isinstance(recipe, Mapping):
        told = recipe.get("batch")
    number = float(told) if isinstance(told, (int, float)) else 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _floor(trace: Trace) -> list[Evidence]:
    name = f"certainty/{PLAYER}"
    found = late_evidence(trace, name, f"above {FLOOR}; pure noise gives 1")
    return [found] if len(late(trace.series(name))) >= FEWEST and found.observed <= FLOOR else []
