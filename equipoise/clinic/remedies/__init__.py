"""What to do: remedies as recipe edits plus the change for a foreign loop, ranked per failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.remedies.adversarial import ADVERSARIAL
from equipoise.clinic.remedies.architecture import ARCHITECTURE
from equipoise.clinic.remedies.balance import BALANCE
from equipoise.clinic.remedies.constraint import CONSTRAINT
from equipoise.clinic.remedies.dynamics import DYNAMICS
from equipoise.clinic.remedies.entry import Edit, Remedy
from equipoise.clinic.remedies.evidence import EVIDENCE
from equipoise.clinic.remedies.numerics import NUMERICS
from equipoise.clinic.remedies.wiring import WIRING
from equipoise.errors import RecipeError, unknown
from equipoise.recipe import Recipe
from equipoise.record import Prescription

__all__ = ["REMEDIES", "Edit", "Remedy", "prescribe", "remedy"]

_ALL = (
    *CONSTRAINT, *BALANCE, *DYNAMICS, *ARCHITECTURE, *EVIDENCE, *NUMERICS, *WIRING, *ADVERSARIAL,
)  # fmt: skip
REMEDIES: dict[str, Remedy] = {remedy.id: remedy for remedy in _ALL}


def remedy(name: str) -> Remedy:
    """The remedy called `name`.

    Raises:
        RecipeError: no such remedy; the choices are listed.
    """
    if name not in REMEDIES:
        raise RecipeError(unknown("remedy", name, REMEDIES))
    return REMEDIES[name]


def prescribe(
    failure: str, recipe: Mapping[str, Any] | None = None, setting: str | None = None
) -> tuple[Prescription, ...]:
    """Remedies for a failure in order, each with its edit where the recipe is known.

    Those that edit `setting`, the path that a finding blames, come first. A remedy whose edit
    changes nothing in this recipe, or contradicts it, comes after the others.
    """
    played = _parsed(recipe)
    ranked = sorted(
        (r for r in REMEDIES.values() if failure in r.treats), key=lambda r: r.treats[failure]
    )
    filled = [_prescription(r, played) for r in ranked]
    if played is None:
        return tuple(filled)
    return tuple(sorted(filled, key=lambda p: (not _touches(p, setting), not p.edit)))


def _touches(prescription: Prescription, setting: str | None) -> bool:
    paths = prescription.edit or {}
    return setting is not None and any(f"{setting}.".startswith(f"{path}.") for path in paths)


def _parsed(recipe: Mapping[str, Any] | None) -> Recipe | None:
    try:
        return Recipe(**recipe) if isinstance(recipe, Mapping) and recipe else None
    except RecipeError:  # written by another version: advise in code alone
        return None


def _prescription(remedy: Remedy, recipe: Recipe | None) -> Prescription:
    edit = dict(remedy.edit(recipe)) if recipe is not None else {}
    if recipe is not None and edit and not _valid(recipe, edit):
        edit = {}
    why = f"{remedy.why} [{'; '.join(remedy.sources)}]" if remedy.sources else remedy.why
    return Prescription(
        remedy.id,
        remedy.title,
        why,
        edit,
        remedy.code,
        remedy.takes_effect,
        remedy.watch,
        remedy.caution,
    )


def _valid(recipe: Recipe, edit: Mapping[str, Any]) -> bool:
    try:
        recipe.edit(edit)
    except RecipeError:
        return False
    return True
