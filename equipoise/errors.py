"""The exceptions that Equipoise raises on purpose: one short tree, readable by every room."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class EquipoiseError(Exception):
    """Something that the user can mend: the text names argument, value, rule and way out."""


class RecipeError(EquipoiseError, ValueError):
    """A recipe that names an unknown field, holds a wrong value or contradicts itself."""


class DataError(EquipoiseError, ValueError):
    """Data that cannot be read or cannot be trained on."""


class RecordError(EquipoiseError, ValueError):
    """A trace, checkpoint, ledger or log that cannot be read or written."""


class MissingExtraError(EquipoiseError, ImportError):
    """A part that needs an optional dependency which is not installed."""


class WeightsError(EquipoiseError, OSError):
    """Published weights that are not what they should be, or that could not be fetched."""


class MissingWeightsError(WeightsError):
    """Published weights that are nowhere on this machine, and that nobody allowed to fetch."""


class StopTraining(Exception):  # noqa: N818 - a request, as StopIteration is, not an error
    """Raised by `Monitor.observe` when a finding asks the loop to stop."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that `name` was probably meant to be, or None when nothing is close."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """One line for an unknown name: what was asked, the nearest choice, all choices."""
    choices = sorted(choices)
    guess = nearest(name, choices)
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown {kind} {name!r}{hint} (choices: {', '.join(choices)})"


def need(module: str, extra: str) -> MissingExtraError:
    """The error for a missing optional dependency, with the command that installs it."""
    return MissingExtraError(
        f"{module!r} is not installed, and this part needs it: pip install 'equipoise[{extra}]'"
    )


EXTRAS = {
    "torch": "train",
    "lightning_fabric": "train",
    "scipy": "train",
    "sklearn": "train",
    "safetensors": "train",
    "PIL": "train",
    "jinja2": "report",
    "plotly": "report",
    "tensorboard": "tensorboard",
    "pyarrow": "parquet",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
    "lightning": "lightning",
    "pytorch_lightning": "lightning",
}


@contextlib.contextmanager
def naming_extras() -> Iterator[None]:
    """Let an import that fails for want of an extra say which, and how it is installed."""
    try:
        yield
    except ImportError as error:
        root = (error.name or "").partition(".")[0]
        if root not in EXTRAS:
            raise
        raise need(root, EXTRAS[root]) from error
