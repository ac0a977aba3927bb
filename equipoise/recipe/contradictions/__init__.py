"""Settings that exclude each other, each refused with the reason when the recipe is made.

What only the tables of parts can tell (which names there are, what a penalty needs) is refused by
`equipoise.training.check_names`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.errors import RecipeError
from equipoise.recipe.contradictions import data, losses, players, updates

if TYPE_CHECKING:
    from equipoise.recipe.schema import Recipe

CHECKS = (*data.CHECKS, *players.CHECKS, *losses.CHECKS, *updates.CHECKS)


def contradiction(recipe: Recipe) -> None:
    """Refuse a recipe whose parts exclude each other.

    Raises:
        RecipeError: with both settings, the reason and the way out.
    """
    for check in CHECKS:
        message = check(recipe)
        if message:
            raise RecipeError(f"recipe {recipe.name!r}: {message}")
