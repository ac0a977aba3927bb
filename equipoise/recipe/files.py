"""Recipes as YAML: presets shipped in the package, files of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from equipoise.errors import RecipeError, unknown
from equipoise.recipe.edits import merged
from equipoise.recipe.schema import Recipe

_PRESETS = resources.files("equipoise.recipe") / "presets"
_LARGEST = 1 << 20  # bytes; a recipe is a page of text


def preset_names() -> tuple[str, ...]:
    """The presets that ship with the package."""
    names = (entry.name for entry in _PRESETS.iterdir())
    return tuple(sorted(n.removesuffix(".yaml") for n in names if n.endswith(".yaml")))


def load(name_or_path: str | os.PathLike[str]) -> Recipe:
    """The preset called so, or the recipe in a YAML file or a run directory.

    A file may start from another recipe with `base: NAME` and write only what differs.

    Raises:
        RecipeError: no such preset or file, not YAML, or not a valid recipe.
    """
    return Recipe(**_values(os.fspath(name_or_path), Path(), seen=()))


def parse(text: str, source: str = "recipe") -> Recipe:
    """The recipe in YAML `text`; `source` names it in errors."""
    return Recipe(**_resolved(text, source, Path(), seen=()))


def dump(recipe: Recipe) -> str:
    """YAML text with every value written out; `parse` gives the same recipe back."""
    text: str = yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True)
    return text


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`["a.b=1", ...]` as an edit; values are YAML.

    Raises:
        RecipeError: an entry without "=", or a value that is not YAML.
    """
    changes = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path.strip():
            raise RecipeError(f"--set {setting!r}: give PATH=VALUE, for example kimg=50")
        try:
            changes[path.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(
                f"--set {setting!r}: {value!r} is not a YAML value; put it in quotes to set a text"
            ) from error
    return changes


def _values(name: str, beside: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a preset, or of a file whose relative path starts at `beside`."""
    if name in preset_names():
        return _resolved(
            (_PRESETS / f"{name}.yaml").read_text(encoding="utf-8"), name, beside, seen
        )
    try:
        path = beside / name
        path = path / "recipe.yaml" if path.is_dir() else path
        if not path.exists():
            choices = unknown("recipe", name, preset_names())
            raise RecipeError(f"{choices}, or the path of a YAML file")
        if path.stat().st_size > _LARGEST:
            raise RecipeError(
                f"recipe file {path} is larger than 1 MiB; a recipe is a page of YAML"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"cannot read recipe {name[:200]!r}: {error}") from error
    return _resolved(text, str(path), path.parent, seen)


def _resolved(text: str, source: str, beside: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"recipe {source} is not YAML: {reason}") from error
    if not isinstance(values, Mapping) or not all(isinstance(k, str) for k in values):
        raise RecipeError(f"recipe {source} must be a mapping of fields to values")
    base = values.get("base")
    if base is None:
        return dict(values)
    if base in seen:
        raise RecipeError(f"recipe {source}: base {base!r} leads back to itself")
    own = {k: v for k, v in values.items() if k != "base"}
    return merged(_values(str(base), beside, (*seen, str(base))), own)
