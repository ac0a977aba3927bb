"""Equipoise: watch adversarial training, say what is wrong, prescribe, and prove it in a trial."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from equipoise._version import __version__
from equipoise.errors import EquipoiseError, StopTraining, naming_extras, nearest

if TYPE_CHECKING:
    from equipoise.monitor import Monitor
    from equipoise.recipe import Recipe, load
    from equipoise.record import Diagnosis, Finding, Trace
    from equipoise.trial import Run

_HOMES = {
    "Diagnosis": "equipoise.record",
    "Finding": "equipoise.record",
    "Trace": "equipoise.record",
    "Recipe": "equipoise.recipe",
    "load": "equipoise.recipe",
    "Monitor": "equipoise.monitor",
    "Run": "equipoise.trial",
}

__all__ = [
    "Diagnosis",
    "EquipoiseError",
    "Finding",
    "Monitor",
    "Recipe",
    "Run",
    "StopTraining",
    "Trace",
    "__version__",
    "check",
    "diagnose",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        guess = nearest(name, __all__) if not name.startswith("_") else None
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise AttributeError(f"module 'equipoise' has no attribute {name!r}{hint}")
    with naming_extras():
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def diagnose(source: str | os.PathLike[str] | Trace) -> Diagnosis:
    """Judge a run directory, a trace file, a log of any loop, or a `Trace`.

    Raises:
        RecordError: nothing readable there.
    """
    from equipoise.clinic import diagnose as judge
    from equipoise.logs import read_log
    from equipoise.record import Trace

    return judge(source if isinstance(source, Trace) else read_log(source))


def check(generator: Any, discriminator: Any, batch: Any, **known: Any) -> Diagnosis:
    """Judge two networks and a batch of reals before the first step; nothing of them is changed.

    `batch`: samples (N, ...), (samples, labels) or a mapping. What is `known` beside them lets more
    be checked: z, labels, generator_optimizer, discriminator_optimizer, objective, penalties
    ({"r1": 1.0}), batch_size, data, data_size; see `equipoise.monitor.describe.describe`.

    Raises:
        DataError: no batch of samples.
        ValueError: a player that is no module.
    """
    from equipoise.clinic.preflight import preflight

    with naming_extras():
        from equipoise.monitor.describe import describe
    return preflight(describe(generator, discriminator, batch, **known))


def train(recipe: Recipe | str | os.PathLike[str], run_dir: str | os.PathLike[str]) -> Run:
    """Train a recipe (or the preset or file of that name) in the new directory `run_dir`, watched.

    Raises:
        RecipeError, DataError, RecordError: before anything is left behind.
    """
    from equipoise.recipe import Recipe, load

    with naming_extras():
        from equipoise.trial import train as play
    return play(recipe if isinstance(recipe, Recipe) else load(recipe), os.fspath(run_dir))
