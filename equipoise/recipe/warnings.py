"""What is allowed and yet likely to hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.recipe.contradictions.data import TOYS

if TYPE_CHECKING:
    from equipoise.recipe.schema import Recipe

SMALL = TOYS | {"digits"}


def _reals_alone(recipe: Recipe) -> str | None:
    if not recipe.data.augment.active:
        return None
    return (
        "data.augment changes the reals alone, so the generator learns the changes as if they were"
        " data (they leak); set augmentation, which changes reals and fakes alike inside the"
        " discriminator, or leave it off"
    )


def _lazy_on_small_data(recipe: Recipe) -> str | None:
    lazy = [n for n, p in recipe.penalties.items() if p.every > 1 and p.gamma > 0]
    if not lazy or recipe.data.kind not in SMALL:
        return None
    return (
        f"penalties.{lazy[0]}.every = {recipe.penalties[lazy[0]].every}: lazy penalties were seen"
        " to fail wholly on 25 Gaussians and on stacked digits (R3GAN, appendix E); set it to 1"
    )


def _strong_ada(recipe: Recipe) -> str | None:
    p = recipe.augmentation.p
    if p is None or p <= 0.8:
        return None
    return (
        f"augmentation.p = {p:g}: above about 0.8 the generator learns the transforms themselves"
        " (ADA, section 2.2); stay below"
    )


def _switch_after_the_end(recipe: Recipe) -> str | None:
    for player in ("generator", "discriminator"):
        switch = getattr(recipe.optimizer, player).switch
        if switch is not None and switch.kimg >= recipe.kimg:
            return (
                f"optimizer.{player}.switch.kimg = {switch.kimg:g} lies at or after the end of the"
                f" run (kimg = {recipe.kimg:g}): it never happens"
            )
    return None


WARNINGS = (_reals_alone, _lazy_on_small_data, _strong_ada, _switch_after_the_end)
