"""What a remedy is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from equipoise.recipe import Recipe

Edit = Callable[[Recipe], Mapping[str, Any]]


def _nothing(recipe: Recipe) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Remedy:
    """A treatment.

    Attributes:
        id: stable name.
        title: what to do.
        treats: failure id -> rank (1 is tried first).
        edit: recipe -> the edit by dotted path; {} where it does not apply or only code helps.
        code: the change for a foreign loop.
        why: the reason, with what supports it.
        takes_effect: "live", "surgery" or "restart".
        watch: the signal that must move if it works.
        caution: when not to.
    """

    id: str
    title: str
    treats: Mapping[str, int]
    code: str
    why: str
    edit: Edit = _nothing
    takes_effect: Literal["live", "surgery", "restart"] = "restart"
    watch: str = ""
    caution: str = ""
    sources: tuple[str, ...] = field(default=())
