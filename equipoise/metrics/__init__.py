"""How good: arrays in, numbers out, in float64. A metric's name says in which features it looks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from equipoise.errors import RecipeError, unknown
from equipoise.metrics.copying import authenticity, data_copying, memorization
from equipoise.metrics.diversity import vendi, vendi_of_similarities
from equipoise.metrics.families import (
    KnownModes,
    Score,
    prepare_digits_cnn,
    prepare_mixture,
    prepare_pixels,
)
from equipoise.metrics.frechet import frechet_distance, moments
from equipoise.metrics.labels import (
    by_class,
    class_mean,
    class_modes,
    label_accuracy,
    stacked_modes,
)
from equipoise.metrics.manifold import Balls, balls, prdc, rarity, same_law_coverage
from equipoise.metrics.mixture import ModeCount, mode_count, mode_kl_floor, mode_measures
from equipoise.metrics.neighbours import Neighbourhood, precision_recall_coverage, radii
from equipoise.metrics.support import birthday_batch, duplicates, near_threshold, support_size

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
    "Balls",
    "KnownModes",
    "ModeCount",
    "Neighbourhood",
    "Score",
    "authenticity",
    "balls",
    "birthday_batch",
    "by_class",
    "class_mean",
    "class_modes",
    "data_copying",
    "duplicates",
    "frechet_distance",
    "label_accuracy",
    "memorization",
    "metric_family",
    "mode_count",
    "mode_kl_floor",
    "mode_measures",
    "moments",
    "near_threshold",
    "prdc",
    "precision_recall_coverage",
    "radii",
    "rarity",
    "same_law_coverage",
    "stacked_modes",
    "support_size",
    "vendi",
    "vendi_of_similarities",
]
