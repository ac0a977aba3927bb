"""How good: arrays in, numbers out, in float64. A metric's name says in which features it looks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from equipoise.errors import RecipeError, unknown
from equipoise.metrics.cmmd import cmmd, cmmd_streamed
from equipoise.metrics.families import (
    KnownModes,
    Score,
    prepare_digits_cnn,
    prepare_mixture,
    prepare_pixels,
)
from equipoise.metrics.frechet import frechet, frechet_distance, moments
from equipoise.metrics.frechet_infinity import frechet_infinity
from equipoise.metrics.inception_score import inception_score
from equipoise.metrics.kernel_distance import kernel_distance, kernel_distance_subsets
from equipoise.metrics.mixture import ModeCount, mode_count, mode_kl_floor
from equipoise.metrics.neighbours import Neighbourhood, precision_recall_coverage, radii
from equipoise.metrics.states import FeatureStore, Moments

FAMILIES: dict[str, Callable[[Tensor, KnownModes | None], Score]] = {
    "mixture": prepare_mixture,
    "digits_cnn": prepare_digits_cnn,
    "pixels": prepare_pixels,
}


def metric_family(name: str) -> Callable[[Tensor, KnownModes | None], Score]:
    """The function `prepare(reals, mixture) -> score` of a family; `score(fakes) -> {name: value}`.

    Fakes that hold NaN or infinity score NaN under every name: a generator that diverged is an
    outcome, not an error. The names are those of `metric/...` in the catalogue of signals.

    Raises:
        RecipeError: no such family.
    """
    if name not in FAMILIES:
        raise RecipeError(unknown("metric family", name, FAMILIES))
    return FAMILIES[name]


__all__ = [
    "FAMILIES",
    "FeatureStore",
    "KnownModes",
    "ModeCount",
    "Moments",
    "Neighbourhood",
    "Score",
    "cmmd",
    "cmmd_streamed",
    "frechet",
    "frechet_distance",
    "frechet_infinity",
    "inception_score",
    "kernel_distance",
    "kernel_distance_subsets",
    "metric_family",
    "mode_count",
    "mode_kl_floor",
    "moments",
    "precision_recall_coverage",
    "radii",
]
