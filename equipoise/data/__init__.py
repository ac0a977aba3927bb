"""Real samples: toys with known density, digits, image folders, arrays; position-exact order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from equipoise.data.arrays import ArraySource
from equipoise.data.curriculum import CoreFirst, core_first
from equipoise.data.digits import open_digits
from equipoise.data.divided import divided
from equipoise.data.folder import open_folder
from equipoise.data.randomness import generator_for, normal
from equipoise.data.source import Augmentation, Source
from equipoise.data.toys import Mixture, MixtureSource, grid, open_grid, open_ring, ring
from equipoise.errors import DataError, unknown

SOURCES: dict[str, Callable[..., Source]] = {
    "ring": open_ring,
    "grid": open_grid,
    "digits": open_digits,
    "folder": open_folder,
}


def open_source(kind: str, **settings: Any) -> Source:
    """The source of reals called `kind`, with settings `path`, `resolution`, `channels`, `augment`.

    >>> open_source("ring").shape
    (2,)

    Raises:
        DataError: no such kind, a setting that it does not read, or data that cannot be read.
    """
    if kind not in SOURCES:
        raise DataError(unknown("data kind", kind, SOURCES))
    return SOURCES[kind](**settings)


__all__ = [
    "SOURCES",
    "ArraySource",
    "Augmentation",
    "CoreFirst",
    "Mixture",
    "MixtureSource",
    "Source",
    "core_first",
    "divided",
    "generator_for",
    "grid",
    "normal",
    "open_source",
    "ring",
]
