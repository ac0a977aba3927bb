"""Contradictions about data and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipoise.recipe.schema import Recipe

TOYS = frozenset({"ring", "grid"})


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
    for path in _image_settings(recipe):
        return (
            f"{path} is about images, but data.kind = {recipe.data.kind!r} are points in the"
            " plane; leave it out (points take noise.input and consistency.sigma)"
        )
    return None


def _image_settings(recipe: Recipe) -> list[str]:
    """The settings in use that only images have."""
    used = {
        "data.augment": recipe.data.augment.active,
        "growth": recipe.growth is not None,
        f"augmentation.name = {recipe.augmentation.name!r}": recipe.augmentation.name != "none",
        f"consistency.policy = {recipe.consistency.policy!r}": bool(recipe.consistency.policy),
        "compute.channels_last": recipe.compute.channels_last,
        "slopes.per_pixel": recipe.slopes.per_pixel,
    }
    return [path for path, on in used.items() if on]


def _primary_is_measured(recipe: Recipe) -> str | None:
    if recipe.evaluation.primary and not recipe.evaluation.metrics:
        return (
            f"evaluation.primary = {recipe.evaluation.primary!r} is never measured:"
            " evaluation.metrics is empty; name the metric family there"
        )
    return None


def _endless_data_hold_nothing_out(recipe: Recipe) -> str | None:
    data = recipe.data
    if data.kind in TOYS and data.held_out and data.limit is None:
        return (
            f"data.held_out = {data.held_out!r}: data.kind = {data.kind!r} is endless and shows no"
            " sample twice; set data.limit, the number of samples to train on"
        )
    return None


CHECKS = (
    _endless_data_hold_nothing_out,
    _folder_needs_path,
    _points_are_not_images,
    _primary_is_measured,
)
