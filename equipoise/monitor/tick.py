"""Readings between two ticks, kept on the device and fetched together."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = frozenset({"logits/extreme", "batch/real/extreme", "batch/fake/extreme"})


class Tick:
    """Sums (or maxima) of readings since the last tick."""

    def __init__(self) -> None:
        self._total: dict[str, Tensor] = {}
        self._count: dict[str, int] = {}
        self._plain: dict[str, list[float]] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing was read since the last tick."""
        return not self._total and not self._plain

    def add(self, name: str, value: Tensor | float) -> None:
        """Note one reading, of a tensor its mean; nothing is copied from the device."""
        if not isinstance(value, Tensor):
            self._plain.setdefault(name, []).append(float(value))
            return
        value = value.detach().float().mean()
        known = self._total.get(name)
        if known is None:
            self._total[name], self._count[name] = value, 1
            return
        self._total[name] = torch.maximum(known, value) if name in LARGEST else known + value
        self._count[name] += 1

    def fetch(self) -> dict[str, float]:
        """Means (or maxima) by name, in one copy per device; start anew."""
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
