"""Readings between two ticks, kept on the device and fetched together."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

PLAIN = (Tensor, nn.Parameter)  # subclasses may mean something else by their numbers
LARGEST = frozenset({"logits/extreme", "batch/real/extreme", "batch/fake/extreme"})
MOST_KEPT = 1 << 17  # numbers of one reading: a larger one costs more to copy than to reduce
MOST_WAITING = 1 << 18  # numbers of one kind that wait: 1 MB in float32, which caches still hold

Read = Callable[[Sequence[Tensor]], Mapping[str, Tensor]]
Shape = tuple[int, ...]


@dataclass
class Waiting:
    """Copies of like tensors from several iterations: of each iteration, one vector or several.

    `shapes`: of the tensors that lie in each vector, one after the other.
    """

    read: Read
    shapes: Sequence[Sequence[Shape]]
    numbers: int  # in each iteration
    rows: list[Sequence[Tensor]] = field(default_factory=list)

    def readings(self) -> Mapping[str, Tensor]:
        """One value per iteration and name."""
        parts: list[Tensor] = []
        for vectors, shapes in zip(zip(*self.rows, strict=True), self.shapes, strict=True):
            split = torch.stack(vectors).split([math.prod(shape) for shape in shapes], dim=1)
            shaped = zip(split, shapes, strict=True)
            parts += [part.reshape(len(self.rows), *shape) for part, shape in shaped]
        return self.read(parts)


class Tick:
    """Sums (or maxima) of readings since the last tick.

    On small networks a reading costs its number of operations, not of numbers. Therefore tensors
    are copied, several iterations' worth, and reduced together: once a tick, or when many wait.
    """

    def __init__(self) -> None:
        self._total: dict[str, Tensor] = {}
        self._count: dict[str, int] = {}
        self._plain: dict[str, list[float]] = {}
        self._waiting: dict[Hashable, Waiting] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing was read since the last tick."""
        return not self._total and not self._plain and not self._waiting

    def add(self, name: str, value: Tensor | float) -> None:
        """Note one reading, of a tensor its mean; nothing is copied from the device."""
        if not isinstance(value, Tensor):
            self._plain.setdefault(name, []).append(float(value))
            return
        self._add_total(name, value.detach().float().mean(), 1)

    def keep(self, kind: Hashable, tensors: Sequence[Tensor], read: Read) -> None:
        """Copy tensors, to be read later with others of the same `kind` and shapes.

        `read` takes them with a first dimension more, one index per iteration, and gives a vector
        of that length by name. What cannot be copied as one row, or is large, is read at once.
        """
        if sum(t.numel() for t in tensors) > MOST_KEPT or not alike(tensors):
            self._note(read([t.detach()[None] for t in tensors]))
            return
        shapes = tuple(t.shape for t in tensors)
        first = tensors[0]
        key = kind, shapes, first.dtype, first.device
        self.hold(key, [shapes], [flat_copy(tensors)], read)

    def hold(
        self,
        key: Hashable,
        shapes: Sequence[Sequence[Shape]],
        vectors: Sequence[Tensor],
        read: Read,
    ) -> None:
        """As `keep`, of what is copied already: vectors, and the shapes that lie in each."""
        waiting = self._waiting.get(key)
        if waiting is None:
            numbers = sum(v.numel() for v in vectors)
            waiting = self._waiting[key] = Waiting(read, shapes, numbers)
        waiting.rows.append(vectors)
        if len(waiting.rows) * waiting.numbers > MOST_WAITING:
            del self._waiting[key]
            self._note(waiting.readings())

    def fetch(self) -> dict[str, float]:
        """Means (or maxima) by name, in one copy per device; start anew."""
        self._read_waiting()
        values: dict[str, float] = {}
        for device in {t.device for t in self._total.values()}:
            names = [n for n, t in self._total.items() if t.device == device]
            stacked = torch.stack([self._total[n] for n in names]).tolist()
            for name, total in zip(names, stacked, strict=True):
                values[name] = total if name in LARGEST else total / self._count[name]
        for name, plain in self._plain.items():
            values[name] = sum(plain) / len(plain)
        self._total, self._count, self._plain = {}, {}, {}
        return values

    def _read_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        with torch.no_grad():
            for each in waiting.values():
                self._note(each.readings())

    def _note(self, readings: Mapping[str, Tensor]) -> None:
        """Of each name a vector of the same length; they are reduced in one operation."""
        if not readings:
            return
        rows = torch.stack([values.float() for values in readings.values()])
        totals = rows.sum(1) if rows.shape[1] > 1 else rows[:, 0]
        for at, (name, total) in enumerate(zip(readings, totals.unbind(), strict=True)):
            self._add_total(name, rows[at].max() if name in LARGEST else total, rows.shape[1])

    def _add_total(self, name: str, value: Tensor, count: int) -> None:
        known = self._total.get(name)
        self._count[name] = self._count.get(name, 0) + count
        if known is not None:
            value = torch.maximum(known, value) if name in LARGEST else known + value
        self._total[name] = value


def alike(tensors: Sequence[Tensor]) -> bool:
    """Whether they can lie in one vector: plain dense tensors of one dtype on one device."""
    first = tensors[0]
    dtype, device = first.dtype, first.device
    return all(
        t.dtype is dtype and type(t) in PLAIN and t.device == device and t.layout is torch.strided
        for t in tensors
    )


def flat_copy(tensors: Sequence[Tensor]) -> Tensor:
    """All their numbers in one new vector."""
    flat: Tensor = torch._C._nn.flatten_dense_tensors(list(tensors))  # as DDP does, in one call
    return flat.clone() if len(tensors) == 1 else flat
