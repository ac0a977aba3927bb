"""The recipe as text, and how it differs from its preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from equipoise.recipe import Recipe, difference

_PROSE = ("name", "description")  # they decide nothing


@dataclass(frozen=True)
class Change:
    """One field that differs: its dotted path, the value before and after, as YAML."""

    path: str
    before: str
    after: str


def changes(preset: Recipe, recipe: Recipe) -> list[Change]:
    """Fields in which `recipe` differs from `preset`, and fields that it no longer has."""
    old, new = preset.to_dict(), recipe.to_dict()
    forward, backward = difference(old, new), difference(new, old)
    gone = {path for path in backward if path not in forward and _at(new, path) is _ABSENT}
    kept = [Change(p, text(_at(old, p)), text(v)) for p, v in forward.items() if p not in _PROSE]
    return kept + [Change(p, text(backward[p]), "removed") for p in sorted(gone)]


def edit_text(edit: Mapping[str, Any], recipe: Recipe | None) -> str:
    """An edit as `path: value` lines, with the value of today behind when the recipe is known."""
    now = recipe.to_dict() if recipe is not None else {}
    return "\n".join(f"{path}: {text(value)}{_today(now, path)}" for path, value in edit.items())


def _today(now: Mapping[str, Any], path: str) -> str:
    value = _at(now, path)
    return "" if value is _ABSENT else f"   # now {text(value)}"


def text(value: Any) -> str:
    """A value as YAML on one line."""
    if value is _ABSENT:
        return "not set"
    if isinstance(value, float):
        return f"{value:g}"
    try:
        line: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    except yaml.YAMLError:
        return repr(value)
    return line.removesuffix("...\n").strip()


_ABSENT = object()


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return _ABSENT
        values = values[part]
    return values
