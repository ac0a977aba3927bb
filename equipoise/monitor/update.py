"""One update of a small player, copied into one row and read with others of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from equipoise.monitor.readings import certainty_rows, update_readings
from equipoise.monitor.tick import MOST_KEPT, Tick, alike, flat_copy

Moments = Sequence[tuple[Tensor, Tensor]]


def fits(tensors: Sequence[Tensor]) -> bool:
    """Whether so much is cheaper to copy than to read on the spot, and can lie in one row."""
    return _numbers(tensors) <= MOST_KEPT and alike(tensors) and tensors[0].dtype == torch.float32


@dataclass
class Update:
    """Gradients, weights before and after, and Adam's moments before; all float32."""

    player: str
    gradients: Sequence[Tensor]
    parameters: Sequence[Tensor]
    moments: Moments
    betas: tuple[float, float] | None
    _before: Tensor = field(init=False)
    _lengths: list[int] = field(init=False)

    def begin(self, updates: int) -> None:
        """Copy what the update finds, number `updates` + 1 of the player; end with `end`."""
        parts = [*self.gradients, *self.parameters]
        self._lengths = [_numbers(self.gradients), _numbers(self.parameters)]
        if self.moments and updates and self.betas:
            means, squares = zip(*self.moments, strict=True)
            ones = [means[0].new_full((1,), 1 - beta**updates) for beta in self.betas]
            parts += [*means, *squares, *ones]
            self._lengths += [_numbers(means), _numbers(squares), 2]
        self._before = flat_copy(parts)

    def end(self, tick: Tick) -> None:
        """Copy what it left, and hand all to `tick`."""
        numbers = tuple(g.numel() for g in self.gradients)
        states = tuple(mean.numel() for mean, _ in self.moments)
        read = partial(_read, self.player, numbers, states, self.betas)
        key = "update", self.player, numbers, states, self.betas, self._before.device
        shapes = [[(length,) for length in self._lengths], [(self._lengths[1],)]]
        after = flat_copy(self.parameters)
        tick.hold((*key, len(self._lengths)), shapes, [self._before, after], read)


def _numbers(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() for t in tensors)


def _read(
    player: str,
    numbers: Sequence[int],
    states: Sequence[int],
    betas: tuple[float, float] | None,
    rows: Sequence[Tensor],
) -> dict[str, Tensor]:
    gradients, before, *moments, after = rows
    found = update_readings(gradients, before, after, numbers, player)
    if moments and betas:
        found[f"certainty/{player}"] = _certainty(moments, states, betas[0])
    return found


def _certainty(moments: Sequence[Tensor], numbers: Sequence[int], beta1: float) -> Tensor:
    mean, square, corrections = moments
    return certainty_rows(mean, square, corrections, numbers, beta1)
