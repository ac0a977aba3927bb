"""What one call of `observe` was given, and all that can be read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeGuard

from torch import Tensor

from equipoise.monitor.readings import (
    batch_readings,
    contrast_readings,
    divergence_reading,
    diversity_readings,
    flat_logits,
    one_of_several,
    pair_readings,
    several,
    side_readings,
    silent_share,
)
from equipoise.monitor.tick import Tick

MOST_JUDGES = 8  # discriminators that are read one by one
LOSS_NAMES = {"d": "discriminator", "g": "generator"}


@dataclass(frozen=True)
class Observation:
    """One iteration as the loop showed it; everything optional."""

    real: Tensor | None = None
    fake: Tensor | None = None
    real_logits: Any = None
    fake_logits: Any = None
    generator_logits: Any = None
    losses: Mapping[str, Tensor | float] = field(default_factory=dict)
    adaptive_weight: Tensor | float | None = None

    @property
    def discriminator_loss(self) -> Tensor | float | None:
        """The discriminator's loss under either of its names."""
        return self.losses.get("discriminator", self.losses.get("d"))

    def read(
        self, tick: Tick, neutral: float | None, objective: str | None = None, batches: bool = True
    ) -> None:
        """Every reading into `tick`, those of `batches` where asked for.

        `neutral` is the accuracy's threshold (None: the midpoint of the logits' means).
        """
        scalars: dict[str, Tensor] = {}
        for name, value in self._losses().items():
            if _is_number(value):
                scalars[name] = value
            else:
                tick.add(name, value)
        logits = self._logits()
        tensors = [*logits.values(), *scalars.values()]
        if tensors:
            names = (*logits, *scalars)
            read = partial(_read_logits, names, len(logits), neutral, objective or "")
            tick.keep(("logits", names, neutral, objective), tensors, read)
        for name, pair in self._each().items():
            tick.keep(("logits of", name), pair, partial(_read_one, name))
        given = {s: b for s, b in (("real", self.real), ("fake", self.fake)) if b is not None}
        if given and batches:
            sides = tuple(given)
            tick.keep(("batches", sides), list(given.values()), partial(_read_batches, sides))

    def _losses(self) -> dict[str, Tensor | float]:
        """Losses and adaptive weight by signal name."""
        found = {
            f"loss/{LOSS_NAMES.get(name, name)}": value
            for name, value in self.losses.items()
            if value is not None
        }
        if self.adaptive_weight is not None:
            found["adaptive_weight"] = self.adaptive_weight
        return found

    def _logits(self) -> dict[str, Tensor]:
        """Flat logits by side."""
        given = {
            "real": self.real_logits,
            "fake": self.fake_logits,
            "generator": self.generator_logits,
        }
        return {side: flat_logits(logits) for side, logits in given.items() if logits is not None}

    def _each(self) -> dict[str, list[Tensor]]:
        """Reals' and fakes' logits of each of several discriminators, the first `MOST_JUDGES`."""
        real, fake = several(self.real_logits), several(self.fake_logits)
        names = [name for name in real if name in fake and name != "discriminator"]
        return {n: [flat_logits(real[n]), flat_logits(fake[n])] for n in names[:MOST_JUDGES]}


def _is_number(value: Tensor | float) -> TypeGuard[Tensor]:
    """Whether it is a tensor of one number."""
    return isinstance(value, Tensor) and value.numel() == 1


def _read_logits(
    names: Sequence[str],
    sides: int,
    neutral: float | None,
    objective: str,
    rows: Sequence[Tensor],
) -> dict[str, Tensor]:
    """Of logits (K, N), the first `sides` of `rows`, and of numbers (K, ...), the rest."""
    logits = dict(zip(names[:sides], rows[:sides], strict=True))
    numbers = zip(names[sides:], rows[sides:], strict=True)
    found = {name: value.flatten() for name, value in numbers}
    generator = logits.pop("generator", None)
    for side, values in logits.items():
        found |= side_readings(values, side)
    if len(logits) == 2:
        pair = logits["real"], logits["fake"]
        found |= pair_readings(*pair, neutral)
        found |= divergence_reading(objective, *pair) | silent_share(objective, *pair)
    if generator is not None:
        found["logits/generator/mean"] = generator.mean(-1)
    return found


def _read_one(name: str, rows: Sequence[Tensor]) -> dict[str, Tensor]:
    """Of one discriminator's logits on reals and fakes, each (K, N)."""
    return one_of_several(rows[0], rows[1], name)


def _read_batches(sides: Sequence[str], rows: Sequence[Tensor]) -> dict[str, Tensor]:
    """Of batches (K, N, ...)."""
    found: dict[str, Tensor] = {}
    for side, batch in zip(sides, rows, strict=True):
        found |= batch_readings(batch, side)
    if len(sides) == 2:
        found |= diversity_readings(*rows) | contrast_readings(*rows)
    return found
