"""How good: arrays in, numbers out, in float64. A metric's name says in which features it looks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from equipoise.errors import RecipeError, unknown
from equipoise.metrics.audio import Resolution, mel_error, mel_filterbank, multi_resolution_stft
from equipoise.metrics.cmmd import cmmd, cmmd_streamed
from equipoise.metrics.copying import authenticity, data_copying, memorization
from equipoise.metrics.diversity import vendi, vendi_of_similarities
from equipoise.metrics.equivariance import rotation_equivariance, translation_equivariance
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
from equipoise.metrics.labels import (
    by_class,
    class_mean,
    class_modes,
    label_accuracy,
    stacked_modes,
)
from equipoise.metrics.latent_path import PPL2_WEND, LatentWalk, PathRule, path_length
from equipoise.metrics.manifold import Balls, balls, prdc, rarity, same_law_coverage
from equipoise.metrics.mixture import ModeCount, mode_count, mode_kl_floor, mode_measures
from equipoise.metrics.neighbours import Neighbourhood, precision_recall_coverage, radii
from equipoise.metrics.points import point_cloud_scores
from equipoise.metrics.reconstruction import feature_distance, psnr
from equipoise.metrics.sameness import ms_ssim_diversity
from equipoise.metrics.sliced import PatchSample, sliced_wasserstein, sliced_wasserstein_patches
from equipoise.metrics.states import FeatureStore, Moments
from equipoise.metrics.structural import ms_ssim, ssim
from equipoise.metrics.support import birthday_batch, duplicates, near_threshold, support_size
from equipoise.metrics.temporal import flicker, frame_change, visible_pixels, warping_error

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
    "PPL2_WEND",
    "Balls",
    "FeatureStore",
    "KnownModes",
    "LatentWalk",
    "ModeCount",
    "Moments",
    "Neighbourhood",
    "PatchSample",
    "PathRule",
    "Resolution",
    "Score",
    "authenticity",
    "balls",
    "birthday_batch",
    "by_class",
    "class_mean",
    "class_modes",
    "cmmd",
    "cmmd_streamed",
    "data_copying",
    "duplicates",
    "feature_distance",
    "flicker",
    "frame_change",
    "frechet",
    "frechet_distance",
    "frechet_infinity",
    "inception_score",
    "kernel_distance",
    "kernel_distance_subsets",
    "label_accuracy",
    "mel_error",
    "mel_filterbank",
    "memorization",
    "metric_family",
    "mode_count",
    "mode_kl_floor",
    "mode_measures",
    "moments",
    "ms_ssim",
    "ms_ssim_diversity",
    "multi_resolution_stft",
    "near_threshold",
    "path_length",
    "point_cloud_scores",
    "prdc",
    "precision_recall_coverage",
    "psnr",
    "radii",
    "rarity",
    "rotation_equivariance",
    "same_law_coverage",
    "sliced_wasserstein",
    "sliced_wasserstein_patches",
    "ssim",
    "stacked_modes",
    "support_size",
    "translation_equivariance",
    "vendi",
    "vendi_of_similarities",
    "visible_pixels",
    "warping_error",
]
