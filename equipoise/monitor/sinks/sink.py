"""What a sink is, and how several are served so that none can harm the loop or another sink."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from equipoise.record import Finding

PREFIX = "equipoise/"  # before every name, so that none meets a name of the loop's own


@runtime_checkable
class Sink(Protocol):
    """Somewhere that the monitor's readings and findings go as well."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take a tick: values by signal name, on the host already."""

    def finding(self, step: int, finding: Finding) -> None:
        """Take a finding, once for each failure, at the step at which it was told."""

    def close(self) -> None:
        """Write what is pending; close what the sink itself opened, and nothing else."""


Tap = Callable[[int, dict[str, float]], Any]


class Called:
    """A function `f(step, values)` as a sink; a finding comes as {"finding/<failure>": confidence}.

    >>> heard = []
    >>> Called(lambda step, values: heard.append((step, values))).write(3, {"loss/generator": 0.7})
    >>> heard
    [(3, {'loss/generator': 0.7})]
    """

    def __init__(self, function: Tap) -> None:
        self._function = function

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Call the function."""
        self._function(step, dict(values))

    def finding(self, step: int, finding: Finding) -> None:
        """Call the function with the confidence under the failure's name."""
        self._function(step, {f"finding/{finding.failure}": finding.confidence})

    def close(self) -> None:
        """Nothing is open."""


class Sinks:
    """Serves sinks in turn. One that raises is reported once and gets nothing more."""

    def __init__(self, given: Sequence[Sink | Tap]) -> None:
        """Take sinks and plain functions.

        Raises:
            ValueError: something that is neither.
        """
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise ValueError(
                f"sinks = {given!r}: pass a list of sinks, e.g. [TensorBoardSink(...)]"
            )
        self._alive = [(_name(sink), _sink(sink)) for sink in given]

    def __bool__(self) -> bool:
        return bool(self._alive)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Hand a tick to each."""
        self._each(lambda sink: sink.write(step, dict(values)))

    def finding(self, step: int, finding: Finding) -> None:
        """Hand a finding to each."""
        self._each(lambda sink: sink.finding(step, finding))

    def close(self) -> None:
        """Close each; doing so twice does nothing."""
        self._each(lambda sink: sink.close())
        self._alive = []

    def _each(self, work: Callable[[Sink], None]) -> None:
        for entry in list(self._alive):
            try:
                work(entry[1])
            except Exception as error:  # a full disk, a lost connection, a bug in the sink
                self._alive.remove(entry)
                print(
                    f"equipoise: the sink {entry[0]} failed and is off ({type(error).__name__}:"
                    f" {error}); the monitor, other sinks and training go on",
                    file=sys.stderr,
                )


def _sink(given: Any) -> Sink:
    if isinstance(given, Sink) and not isinstance(given, type):
        return given
    if callable(given) and not isinstance(given, type):
        return Called(given)
    kind = given.__name__ if isinstance(given, type) else type(given).__name__
    raise ValueError(
        f"sinks holds {kind}: pass objects with write, finding and close (see"
        " equipoise.monitor.sinks) or functions f(step, values)"
    )


def _name(given: Any) -> str:
    return getattr(given, "__name__", type(given).__name__)


def is_folder(target: Any) -> bool:
    """Whether a sink was given a place on disk and not a writer of the loop's own."""
    return isinstance(target, (str, os.PathLike))


def folder(target: str | os.PathLike[str]) -> Path:
    """The folder, made where it is missing.

    Raises:
        ValueError: it cannot be made.
    """
    path = Path(target)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"folder = {str(target)!r}: {error.strerror}; give one that can be made"
        ) from error
    return path.resolve()


def lacks(target: Any, method: str, kind: str, otherwise: str = "a folder") -> ValueError:
    """The error for a target that is neither a writer nor a place."""
    return ValueError(
        f"target is {type(target).__name__} without {method}(): pass {kind}, or {otherwise}"
    )


@contextlib.contextmanager
def keeping_chance() -> Iterator[None]:
    """Within, numbers drawn from `random` are not missed by the loop: trackers name runs by it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
