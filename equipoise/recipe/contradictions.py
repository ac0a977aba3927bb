"""Settings that exclude each other, each refused with the reason when the recipe is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.errors import RecipeError

if TYPE_CHECKING:
    from equipoise.recipe.schema import Recipe

TOYS = frozenset({"ring", "grid"})
# Objectives without labels; what is not named here is refused where the game is built.
SMOOTHING_UNDEFINED = {
    "hinge": "its margins are not probabilities",
    "wasserstein": "its critic has no labels",
    **dict.fromkeys(
        (
            "relativistic",
            "relativistic_hinge",
            "relativistic_least_squares",
            "relativistic_average",
            "relativistic_average_hinge",
            "relativistic_average_least_squares",
        ),
        "it scores pairs and has no labels",
    ),
}
INPUT_GRADIENT_PENALTIES = frozenset(
    {"r1", "r2", "wgan_gp", "wgan_gp_one_sided", "zero_gp", "dragan"}
)


def contradiction(recipe: Recipe) -> None:
    """Refuse a recipe whose parts exclude each other.

    Raises:
        RecipeError: with both settings, the reason and the way out.
    """
    for check in CHECKS:
        message = check(recipe)
        if message:
            raise RecipeError(f"recipe {recipe.name!r}: {message}")


def _batch_norm_with_gradient_penalty(recipe: Recipe) -> str | None:
    active = [
        n for n, p in recipe.penalties.items() if p.gamma > 0 and n in INPUT_GRADIENT_PENALTIES
    ]
    if recipe.discriminator.normalization != "batch" or not active:
        return None
    return (
        f"discriminator.normalization = 'batch' contradicts penalties.{active[0]}.gamma ="
        f" {recipe.penalties[active[0]].gamma:g}: batch normalization ties the samples of a batch,"
        " and the gradient of the summed logits through it vanishes, so the penalty is silently 0;"
        " set discriminator.normalization to 'none' or 'spectral', or gamma to 0"
    )


def _smoothing_undefined(recipe: Recipe) -> str | None:
    objective = recipe.objective
    reason = SMOOTHING_UNDEFINED.get(objective.name)
    if objective.label_smoothing == 0 or reason is None:
        return None
    return (
        f"objective.label_smoothing = {objective.label_smoothing:g} is undefined for objective"
        f" {objective.name!r} ({reason}); set objective.label_smoothing to 0,"
        " or objective.name to 'non_saturating'"
    )


def _folder_needs_path(recipe: Recipe) -> str | None:
    data = recipe.data
    if data.kind == "folder" and not data.path:
        return "data.kind = 'folder' needs data.path; give the folder with --data PATH"
    if data.kind != "folder" and data.path:
        return f"data.path = {data.path!r} is only read by data.kind = 'folder', not {data.kind!r}"
    if data.kind != "folder" and data.resolution is not None:
        return f"data.resolution is only for data.kind = 'folder'; {data.kind!r} has its own size"
    return None


def _points_are_not_images(recipe: Recipe) -> str | None:
    if recipe.data.kind not in TOYS:
        return None
    for player, network in (
        ("generator", recipe.generator),
        ("discriminator", recipe.discriminator),
    ):
        if network.family != "mlp":
            return (
                f"{player}.family = {network.family!r} makes images, but data.kind ="
                f" {recipe.data.kind!r} are points in the plane; use family 'mlp'"
            )
    if recipe.data.augment.active:
        return f"data.augment changes images, but data.kind = {recipe.data.kind!r} are points"
    return None


def _primary_is_measured(recipe: Recipe) -> str | None:
    if recipe.evaluation.primary and not recipe.evaluation.metrics:
        return (
            f"evaluation.primary = {recipe.evaluation.primary!r} is never measured:"
            " evaluation.metrics is empty; name the metric family there"
        )
    return None


def _exponential_to_zero(recipe: Recipe) -> str | None:
    schedules = {f"penalties.{name}": p.schedule for name, p in recipe.penalties.items()}
    schedules["optimizer.generator"] = recipe.optimizer.generator.schedule
    schedules["optimizer.discriminator"] = recipe.optimizer.discriminator.schedule
    for path, schedule in schedules.items():
        if schedule.shape == "exponential" and min(schedule.start, schedule.end) == 0:
            return (
                f"{path}.schedule goes from {schedule.start:g} to {schedule.end:g}: an exponential"
                " schedule never reaches 0; use 'linear' or 'cosine', or a small end"
            )
    return None


CHECKS = (
    _batch_norm_with_gradient_penalty,
    _smoothing_undefined,
    _folder_needs_path,
    _points_are_not_images,
    _primary_is_measured,
    _exponential_to_zero,
)
