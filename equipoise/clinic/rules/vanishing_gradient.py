"""The generator is told nothing any more."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.objective import objective
from equipoise.clinic.quality import improving, poor_samples, settled
from equipoise.clinic.windows import (
    late_evidence,
    late_median,
    median,
    onset,
    persistent_share,
    smoothed,
)
from equipoise.record import Finding, Series, Trace

SMALL = 0.01  # of its early size: a saturating loss against a sure discriminator loses e^-logit
EARLY = 0.1  # share of the run that its early size is taken from
LEADS = 0.9  # AUC: at equilibrium the pull is small too, and rightly so
LONG = 0.2
# Slope of a critic at the fakes: 1 by Kantorovich's duality (Gulrajani et al. 2017, proposition 1);
# 0.05 and 0.02 where clipping at 0.05 still learned, 1e-8 to 2e-4 where it was too hard.
FLAT = 1e-3


def vanishing_gradient(trace: Trace) -> Finding | None:
    """The loss's pull on the fakes falls below 1 % of its early size under a leading discriminator.

    Looks like convergence, where the pull falls as well: there the discriminator does not lead.
    Looks like dominance with a loss that does not saturate, where the pull stays. Without the pull
    the generator's gradient norm serves. Adam hides it: the weights move as ever. A Wasserstein
    critic has a scale of its own: its slope should be 1, and far below that (weights clipped too
    hard) poor samples are its doing.
    """
    flat = _flat_critic(trace)
    if flat is not None:
        return flat
    if late_median(trace, "auc/discriminator") < LEADS or improving(trace) is not None:
        return None
    for name in ("pull/norm", "gradient_norm/generator"):
        series = smoothed(trace.series(name))
        early = _early(series)
        if len(series) < 10 or not early > 0:
            continue
        since = onset(series, np.asarray(series.values < SMALL * early))
        if since is None or persistent_share(trace, since) < LONG:
            return None
        gone = late_evidence(trace, name, f"not far below its early {early:.3g}")
        leads = late_evidence(trace, "auc/discriminator", f"below {LEADS}, or a pull that stays")
        summary = (
            f"The generator is told nothing since step {since}: {name} is {gone.observed:.2g},"
            f" {gone.observed / early:.1%} of what it was, while the discriminator is sure."
        )
        return Finding("vanishing_gradient", 0.8, since, summary, (gone, leads))
    return None


def _flat_critic(trace: Trace) -> Finding | None:
    """A Wasserstein critic without slope, and samples that are poor."""
    name = "pull/norm"
    series = smoothed(trace.series(name))
    since = onset(series, np.asarray(series.values < FLAT))
    if since is None or objective(trace) != "wasserstein" or not settled(trace):
        return None
    poor = poor_samples(trace)
    if persistent_share(trace, since) < LONG or not poor:
        return None
    found = late_evidence(trace, name, "about 1, the slope of a Wasserstein critic")
    summary = (
        f"The generator is told next to nothing since step {since}: the critic's slope at the"
        f" fakes is {found.observed:.2g} where it should be about 1, and the samples are poor."
    )
    return Finding("vanishing_gradient", 0.97, since, summary, (found, *poor))


def _early(series: Series) -> float:
    if len(series) == 0:
        return 0.0
    first, last = series.steps[0], series.steps[-1]
    head = series.values[series.steps <= first + EARLY * (last - first)]
    return median(Series(series.steps[: len(head)], head))
