"""Real and generated samples live on different scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.wiring import audited, wrong
from equipoise.record import Finding, Trace

# Share of the reals' values that the generator's last activation can never give. Resizing and
# filtering overshoot by 5 % at few pixels, so values up to 1.05 count as within.
OUTSIDE = 0.01
# Without a known bound: 8-bit images against fakes within [-1, 1] have extremes 127 times apart;
# toys and standardized data stay under 10.
TIMES = 16.0
WITHIN = 1.05


def data_range_mismatch(trace: Trace) -> Finding | None:
    """Reals hold values that the fakes cannot take, or none of the values that they mostly take.

    From the ranges of the first audited batch and the activation that bounds the fakes (tanh or
    sigmoid, told by the graph). Confused with early training, where fakes are narrower than reals
    but may still get there: so a bound is needed, or extremes `TIMES` apart. Reals within [0, 1]
    against tanh are told too: half of the fakes' range is empty, and the sign of one pixel tells
    them apart.
    """
    told = next(iter(audited(trace, "range")), None)
    found = _contradiction(told) if told is not None else None
    if found is None:
        return None
    observed, expected, words, confidence, statistic = found
    return wrong(
        trace, "data_range_mismatch", words, "range", observed, expected, confidence, statistic
    )


def _contradiction(told: Mapping[str, Any]) -> tuple[float, str, str, float, str] | None:
    real, fake, activation = told["real"], told["fake"], told.get("activation")
    low, high = real["lowest"], real["highest"]
    shown = f"Reals lie in [{low:.3g}, {high:.3g}]"
    outside = real["beyond_1"] + (real["below_0"] if activation == "sigmoid" else 0.0)
    if activation is not None and outside > OUTSIDE:
        bound = "[-1, 1]" if activation == "tanh" else "[0, 1]"
        words = (
            f"{shown} and the generator ends in {activation}, which gives {bound}: normalize the"
            f" data to {bound} where it is loaded."
        )
        return outside, "0, up to overshoot", words, 0.97, "share of values out of reach"
    if activation == "tanh" and _one_sided(real, fake):
        words = (
            f"{shown} and the generator ends in tanh, which gives [-1, 1]: use 2 x - 1 where the"
            " data is loaded, or end the generator in a sigmoid."
        )
        return low, "about -1", words, 0.8, "lowest real value"
    extreme = max(abs(low), abs(high))
    mine = max(abs(fake["lowest"]), abs(fake["highest"]))
    if activation is None and mine <= WITHIN and extreme >= TIMES * max(mine, 1.0):
        words = (
            f"{shown}, the fakes in [{fake['lowest']:.3g}, {fake['highest']:.3g}]: scale the data"
            " to the range of the generator's output where it is loaded."
        )
        return extreme / max(mine, 1.0), f"under {TIMES:g}", words, 0.85, "ratio of extremes"
    return None


def _one_sided(real: Mapping[str, float], fake: Mapping[str, float]) -> bool:
    """No real below 0, ordinary spread up to 1, while a part of the fakes lies below 0."""
    images = real["lowest"] >= 0 and 0.9 <= real["highest"] <= WITHIN
    return images and fake["below_0"] > OUTSIDE
