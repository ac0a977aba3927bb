"""A critic that should be 1-Lipschitz is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from equipoise.clinic.objective import objective
from equipoise.clinic.windows import (
    FEWEST,
    late,
    late_evidence,
    late_median,
    onset,
    persistent_share,
    slope_per_run,
    smoothed,
)
from equipoise.record import Evidence, Finding, Series, Trace

# The optimum under the soft penalty is 1 + a / (2 lambda) at a gap a (closed form), and a healthy
# critic on the digits reads 0.95 to 1.07 on the mean. Twice the optimum is no matter of tuning;
# half of 1 is that of a penalty on the norm of the whole batch's gradient, which drives slopes to
# 1 / sqrt(N): 0.125 at N = 64.
TIMES, FLAT = 2.0, 0.5
# Nobody said what holds the critic: clipping allows any slope, so only one that still grows counts.
STEEP, RISES = 10.0, 1.5
SIGMA = 1.5  # of a spectrally normalized layer, which reads 1 (a lagging iteration: up to 1.05)
LONG = 0.2
TWO_SIDED, HOLDS_AT_ONE = ("wgan_gp",), ("wgan_gp", "wgan_gp_one_sided")


def lipschitz_violation(trace: Trace) -> Finding | None:
    """Slopes between reals and fakes far from 1 under Wasserstein, or normalized layers beyond 1.

    Looks like: lipschitz/interpolates beyond twice the penalty's own optimum 1 + a / (2 lambda), a
    the gap of the critic; below one half where the penalty pulls it to 1 from both sides; steep and
    still rising where nothing holds it; or sigma of a spectrally normalized layer above 1.5.
    Confused with the penalty's bias, which is in the bound; with clipped critics, whose Lipschitz
    constant is free, and with zero-centred penalties, which aim at a slope of 0: neither is judged;
    with other objectives, which need no such bound. Early slopes pass: it must last.
    """
    return _normalized(trace) or (_critic(trace) if objective(trace) == "wasserstein" else None)


def _critic(trace: Trace) -> Finding | None:
    series = smoothed(trace.series("lipschitz/interpolates"))
    if len(series) < FEWEST:
        return None
    held = held_by(trace)
    if held is None:
        return _steep(trace, series)
    pulled = {name: weight for name, weight in held.items() if name in HOLDS_AT_ONE}
    if not pulled:
        return _steep(trace, series) if not held else None
    optimum = 1 + max(0.0, _gap(trace)) / (2 * max(pulled.values()))
    above = _lasting(trace, series, series.values > TIMES * optimum)
    if above is not None:
        expected = f"about {optimum:.3g}; below {TIMES * optimum:.3g}"
        return _finding(trace, above, expected, "is far too steep", 0.8)
    below = _lasting(trace, series, series.values < FLAT)
    if below is not None and any(name in TWO_SIDED for name in pulled):
        return _finding(trace, below, f"about 1; above {FLAT}", "is far too flat", 0.7)
    return None


def _steep(trace: Trace, series: Series) -> Finding | None:
    part = late(series)
    since = _lasting(trace, series, series.values >= STEEP)
    if since is None or not bool((part.values > 0).all()):
        return None
    rise = math.exp(slope_per_run(Series(part.steps, np.log(part.values))))
    if not rise >= RISES:
        return None
    return _finding(trace, since, f"about 1, or level below {STEEP:g}", "grows without hold", 0.65)


def held_by(trace: Trace) -> dict[str, float] | None:
    """What holds the critic: penalty -> weight; constraint and normalization count as penalties.

    None where neither a recipe nor a penalty's own signal says it.
    """
    recipe = trace.header.get("recipe")
    if not isinstance(recipe, Mapping) or "objective" not in recipe:
        seen = [name for name in HOLDS_AT_ONE if f"penalty/{name}" in trace]
        return dict.fromkeys(seen, 10.0) or None  # its authors' weight for images
    found = {n: _number(_part(p, "gamma")) for n, p in _items(recipe.get("penalties"))}
    found = {name: weight for name, weight in found.items() if weight > 0}
    if recipe.get("constraint"):
        found["constraint"] = math.inf
    if _part(recipe.get("discriminator"), "normalization") in ("spectral", "spectral_exact"):
        found["normalization"] = math.inf
    return found


def _normalized(trace: Trace) -> Finding | None:
    recipe = trace.header.get("recipe")
    chosen = recipe.get("discriminator") if isinstance(recipe, Mapping) else None
    if _part(chosen, "normalization") != "spectral":
        return None
    for name in sorted(n for n in trace.signals if n.startswith("sigma/discriminator/")):
        series = smoothed(trace.series(name))
        since = _lasting(trace, series, series.values > SIGMA)
        if since is not None:
            evidence = late_evidence(trace, name, f"about 1; below {SIGMA}")
            layer = name.removeprefix("sigma/discriminator/")
            summary = (
                f"Spectral normalization does not hold layer {layer} of the discriminator since"
                f" step {since}: its largest singular value is {evidence.observed:.3g}, not 1."
            )
            return Finding("lipschitz_violation", 0.8, since, summary, (evidence,))
    return None


def _lasting(trace: Trace, series: Series, holds: Any) -> int | None:
    since = onset(series, np.asarray(holds))
    return None if since is None or persistent_share(trace, since) < LONG else since


def _gap(trace: Trace) -> float:
    gap = late_median(trace, "logits/real/mean") - late_median(trace, "logits/fake/mean")
    return gap if math.isfinite(gap) else 0.0


def _finding(
    trace: Trace, since: int, expected: str, words: str, confidence: float
) -> Finding | None:
    first: Evidence = late_evidence(trace, "lipschitz/interpolates", expected)
    summary = (
        f"The critic {words} since step {since}: its slope between reals and fakes is"
        f" {first.observed:.3g} where it should be about 1."
    )
    return Finding("lipschitz_violation", confidence, since, summary, (first,))


def _items(table: Any) -> list[tuple[str, Any]]:
    return list(table.items()) if isinstance(table, Mapping) else []


def _part(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
