"""The game moves away from the data."""

from __future__ import annotations

import math

import numpy as np

from equipoise.clinic.lead import ahead, loss_of_chance
from equipoise.clinic.objective import objective
from equipoise.clinic.quality import poor_samples, settled
from equipoise.clinic.rules.lipschitz_violation import held_by
from equipoise.clinic.windows import (
    LATE,
    late,
    late_evidence,
    late_median,
    onset,
    slope_per_run,
    smoothed,
    window,
)
from equipoise.clinic.worsening import Worsening, worsened
from equipoise.record import Evidence, Finding, Series, Trace

# A distance to the data this much above its best, in the last three evaluations' median. Of 20
# stable runs of a public benchmark the largest was 1.16, of 9 collapsed ones the smallest 2.2.
WORSE = 1.25
COLLAPSED = 2.0  # from here on it is told as a collapse, unless values grow without bound
# Growth of a loss or of the logits: by this factor over the last 30 % of the run. Bounded games
# stay within a factor of 1.5 there on ring, grid and digits.
GROWS = 3.0
LARGE = 20.0  # where growth counts: a cross-entropy of 20 nats is a certainty of 2e-9
# The discriminator's loss over that of knowing nothing, in a running median of five: a coin costs
# 1, a bounded game less. Healthy runs stay below 1.1 after their first readings, the worst fault
# that is no divergence at 2; steps beyond stability reach 80 to 1e6.
BURST = 20.0
UNHELD = 100.0  # logits of a critic; healthy ones on ring and digits stay below 11
SURE = 0.99
GROWING = ("loss/discriminator", "loss/generator", "logits/extreme", "batch/fake/extreme")


def divergence(trace: Trace) -> Finding | None:
    """Losses, logits or samples that grow without bound, or a quality metric that gets worse.

    Looks like mode collapse where a metric doubles: with losses as ever that is a collapse, with
    values that grow it is this. Looks like a Wasserstein critic early on, whose scale is free: its
    losses are left out, unless nothing holds it and the samples are poor. One bad evaluation is
    none; the last three must agree. A burst that is long past counts where the samples never came
    back from it.
    """
    growth = _growth(trace)
    worse = worsened(trace, WORSE)
    if growth is None and (worse is None or worse.ratio >= COLLAPSED):
        return _unheld(trace) or _burst(trace)
    measured = None if worse is None else worse.evidence()
    evidence = tuple(e for e in (growth, measured) if e is not None)
    since = growth.window[0] if growth is not None else worse.since if worse else 0
    confidence = 0.95 if len(evidence) == 2 else 0.75
    if growth is None and late_median(trace, "auc/discriminator") >= SURE:
        confidence = 0.45  # worse samples under a sure discriminator are its doing
    elif growth is None and ahead(trace):
        confidence = 0.6  # likewise of one that is far ahead
    return Finding("divergence", confidence, since, _summary(growth, worse), evidence)


def _unheld(trace: Trace) -> Finding | None:
    """A Wasserstein critic that nothing holds, by its recipe, and samples that are poor.

    Its loss has no minimum then: it grows as fast as the learning rate lets it. On ring and grid
    the samples can be good all the same, so the scale alone is no finding.
    """
    name = "logits/extreme"
    series = smoothed(trace.series(name))
    since = onset(series, series.values >= UNHELD)
    if since is None or objective(trace) != "wasserstein" or held_by(trace) != {}:
        return None
    poor = poor_samples(trace)
    if not poor:
        return None
    evidence = late_evidence(trace, name, f"below {UNHELD:g}; about 10 where the critic is held")
    summary = (
        f"The critic diverges: nothing holds its slope, and since step {since} its outputs are"
        f" beyond {UNHELD:g}, late in the run at {evidence.observed:.3g}."
    )
    return Finding("divergence", 0.8, since, summary, (evidence, *poor))


def _burst(trace: Trace) -> Finding | None:
    """The discriminator's loss was beyond any game's, and the samples never came back."""
    chance = loss_of_chance(trace)
    series = smoothed(trace.series("loss/discriminator"))
    beyond = np.flatnonzero(series.values >= BURST * chance)
    poor = poor_samples(trace)
    if not chance > 0 or not len(beyond) or not poor or not settled(trace):
        return None
    since = int(series.steps[beyond[0]])
    held = trace.series("loss/discriminator").finite().since(since)
    worst = float(np.max(held.values))
    expected = f"below {BURST:g} times {chance:g}, the loss of knowing nothing"
    evidence = Evidence("loss/discriminator", worst, expected, window(held), "maximum")
    summary = (
        f"The run has diverged: at step {since} the discriminator's loss left every game, up to"
        f" {worst:.3g} where chance costs {chance:.3g}, and the samples did not come back."
    )
    return Finding("divergence", 0.8, since, summary, (evidence, *poor))


def _growth(trace: Trace) -> Evidence | None:
    free = trace.header.get("objective") == "wasserstein"
    for name in GROWING:
        if free and not name.startswith("batch"):
            continue
        found = _grown(trace.series(name), trace, name)
        if found is not None:
            return found
    return None


def _grown(series: Series, trace: Trace, name: str) -> Evidence | None:
    """Growth by `GROWS` over the late window, to beyond `LARGE` and the run's own first level."""
    part = late(series)
    if len(part) < 5 or not bool((np.abs(part.values) > 0).all()):
        return None
    size = Series(part.steps, np.log(np.abs(part.values)))
    level = math.exp(float(np.median(size.values[-5:])))
    bound = LARGE
    if name == "batch/fake/extreme":
        bound = 3 * late_median(trace, "batch/real/extreme")
    if not (slope_per_run(size) >= math.log(GROWS) and level >= bound):
        return None
    above = onset(series.finite(), np.abs(series.finite().values) >= bound)
    start = above if above is not None else int(part.steps[0])
    held = series.finite().since(start)
    expected = f"bounded: no growth by {GROWS:g} over the last {LATE:.0%} of the run"
    return Evidence(name, float(np.median(held.values)), expected, window(held))


def _summary(growth: Evidence | None, worse: Worsening | None) -> str:
    if growth is not None:
        return (
            f"The run diverges: {growth.signal} grows without bound since step"
            f" {growth.window[0]} and has reached {growth.observed:.3g}."
        )
    assert worse is not None
    return (
        f"The samples get worse since step {worse.since}: {worse.metric} was {worse.best:.4g} at"
        f" step {worse.best_step} and is {worse.late:.4g} now."
    )
