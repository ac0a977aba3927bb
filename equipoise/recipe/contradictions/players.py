"""Contradictions within and between the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipoise.recipe.schema import Recipe

INPUT_GRADIENT_PENALTIES = frozenset(
    {"r1", "r2", "wgan_gp", "wgan_gp_one_sided", "zero_gp", "dragan"}
)
REPARAMETRIZED = frozenset({"spectral", "spectral_exact", "weight"})
GROUP = 4  # samples whose deviation is taken together


def sloped(recipe: Recipe) -> str | None:
    """The first active penalty that differentiates by the images."""
    active = [n for n, p in recipe.penalties.items() if p.gamma > 0]
    return next((n for n in active if n in INPUT_GRADIENT_PENALTIES), None)


def _batch_norm_with_gradient_penalty(recipe: Recipe) -> str | None:
    name = sloped(recipe)
    if recipe.discriminator.normalization != "batch" or name is None:
        return None
    return (
        f"discriminator.normalization = 'batch' contradicts penalties.{name}.gamma ="
        f" {recipe.penalties[name].gamma:g}: batch normalization ties the samples of a batch,"
        " and the gradient of the summed logits through it vanishes, so the penalty is silently 0;"
        " set discriminator.normalization to 'none' or 'spectral', or gamma to 0"
    )


def _equalized_draws_its_own_weights(recipe: Recipe) -> str | None:
    for player in ("generator", "discriminator"):
        network = getattr(recipe, player)
        if not network.equalized:
            continue
        if network.normalization in REPARAMETRIZED:
            return (
                f"{player}.equalized contradicts {player}.normalization ="
                f" {network.normalization!r}, which divides the scale out again; leave one out"
            )
        if network.initializer is not None:
            return (
                f"{player}.equalized contradicts {player}.initializer = {network.initializer!r}:"
                " equalized layers keep weights of N(0, 1) and scale them as they are used; leave"
                " one out"
            )
    return None


def _packs_are_whole(recipe: Recipe) -> str | None:
    pack, part = recipe.discriminator.pack, recipe.batch // recipe.accumulate
    if pack > 1 and (part % pack or part < 2 * pack):
        return (
            f"discriminator.pack = {pack} with batch = {recipe.batch} in {recipe.accumulate} parts:"
            " each part must hold at least 2 whole packs; make the batch a multiple"
        )
    return None


def _groups_are_whole(recipe: Recipe) -> str | None:
    d = recipe.discriminator
    judged = recipe.batch // recipe.accumulate // d.pack
    grouped = d.minibatch == "deviation" or d.family == "progressive"
    if grouped and judged > GROUP and judged % GROUP:
        return (
            f"batch = {recipe.batch} in {recipe.accumulate} parts of packs of {d.pack} gives"
            f" {judged} judgements at once, and the minibatch deviation takes groups of {GROUP};"
            f" make them a multiple of {GROUP}"
        )
    return None


def _clipping_reaches_the_weights(recipe: Recipe) -> str | None:
    d = recipe.discriminator
    if recipe.constraint is None:
        return None
    hidden = "equalized" if d.equalized else None
    if d.normalization in REPARAMETRIZED:
        hidden = f"normalization = {d.normalization!r}"
    if hidden is None:
        return None
    return (
        f"constraint.name = {recipe.constraint.name!r} contradicts discriminator.{hidden}: the"
        " stored weights are not the ones that the layers use, so the bound would mean nothing;"
        " leave one out"
    )


def _growth_starts_small(recipe: Recipe) -> str | None:
    growth = recipe.growth
    if growth is None:
        return None
    k = (growth.start // 4).bit_length() - 1
    if growth.start != 4 << max(k, 0):
        return f"growth.start = {growth.start}: sizes are 4, 8, 16, ... pixels; take one of them"
    resolution = recipe.data.resolution
    if resolution is not None and growth.start >= resolution:
        return (
            f"growth.start = {growth.start} with data.resolution = {resolution}: there is nothing"
            " to grow; start smaller or leave growth out"
        )
    return None


CHECKS = (
    _batch_norm_with_gradient_penalty,
    _equalized_draws_its_own_weights,
    _packs_are_whole,
    _groups_are_whole,
    _clipping_reaches_the_weights,
    _growth_starts_small,
)
