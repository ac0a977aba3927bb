"""The measure is at fault, not the run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from equipoise.clinic.windows import metrics
from equipoise.record import Evidence, Finding, Trace

# A Frechet distance is a squared distance: below 0 by more than rounding it was computed wrongly.
BELOW = -1e-2
# Inception features of images that share nothing are some 500 apart; public logs hold 1e57.
BEYOND = 1e4
RANGES = {"metric/fid": (BELOW, BEYOND)}
# Features of a Frechet distance. With n samples per feature the least eigenvalue of a covariance
# comes out (1 - 1 / sqrt n)^2 times as large (Marchenko and Pastur 1967): 0.09 at two samples.
FEATURES = {"metric/frechet_digits_cnn": 32, "metric/fid": 2048}
PER_FEATURE = 2
SHARES = ("precision", "recall", "coverage", "mode_coverage", "high_quality")


def broken_metric(trace: Trace) -> Finding | None:
    """A quality metric outside of what it can be: exact, whatever the run did.

    Not finite, an FID below 0 or above 1e4, a share outside [0, 1], or a Frechet distance from at
    most two samples per feature, as the recipe tells: then it measures the noise of its covariance.
    Looks like a collapse, where
    FID grows by a factor of 2 to 10. What the samples are is unknown while this lasts.
    """
    for name in metrics(trace):
        series = trace.series(name)
        low, high = _range(name)
        wrong = ~np.isfinite(series.values) | (series.values < low) | (series.values > high)
        if not wrong.any():
            continue
        at = int(np.flatnonzero(wrong)[0])
        step, value = int(series.steps[at]), float(series.values[at])
        summary = (
            f"The metric itself is broken: {name} is {value:.4g} at step {step}, which no samples"
            " can have."
        )
        expected = f"between {max(low, 0):g} and {high:g}, and finite"
        evidence = Evidence(name, value, expected, (step, step), "first")
        return Finding("broken_metric", 0.9, step, summary, (evidence,))
    return _too_few(trace)


def _too_few(trace: Trace) -> Finding | None:
    """A Frechet distance whose covariance is mostly noise."""
    samples = _samples(trace)
    for name in metrics(trace):
        features, series = FEATURES.get(name, 0), trace.series(name).finite()
        if not 0 < samples <= PER_FEATURE * features or not len(series):
            continue
        step, value = int(series.steps[0]), float(series.values[0])
        summary = (
            f"The metric itself is broken: {name} is computed from {samples} samples since step"
            f" {step}, and its covariance of {features} features is mostly noise."
        )
        expected = f"from more than {PER_FEATURE * features} samples"
        evidence = Evidence(name, value, expected, (step, step), "first")
        return Finding("broken_metric", 0.97, step, summary, (evidence,))
    return None


def _samples(trace: Trace) -> int:
    """Samples per evaluation, 0 where no recipe says it."""
    recipe = trace.header.get("recipe")
    evaluation = recipe.get("evaluation") if isinstance(recipe, Mapping) else None
    samples = evaluation.get("samples") if isinstance(evaluation, Mapping) else None
    return samples if isinstance(samples, int) else 0


def _range(name: str) -> tuple[float, float]:
    if name in RANGES:
        return RANGES[name]
    if any(f"metric/{share}" == name or name.startswith(f"metric/{share}_") for share in SHARES):
        return -1e-6, 1 + 1e-6
    return -np.inf, np.inf
