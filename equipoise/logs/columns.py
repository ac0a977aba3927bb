"""Names and numbers of a log -> the trace: which name wins, and what was assumed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import RecordError, nearest
from equipoise.logs.aliases import COUNTERS, rank_of, squash
from equipoise.logs.clock import Clock, Kind, Placed
from equipoise.logs.records import Line
from equipoise.record import Series, Trace

_SHOWN = 40  # unmapped names that the fact lists
_KEPT = 2000  # distinct unmapped names that are counted at all: a file of junk has no end of them
_MOST_GROUPS = 5000  # kinds of line that are remembered, likewise
_MOST_ROWS = 1 << 17  # rows beyond which every second one is let go
_ANY_TIME = ("metric/",)  # evaluations of an older checkpoint are no restart


_LeftOut = tuple[Callable[[re.Match[str]], Line], re.Match[str]]


class _Cells:
    """One foreign name: the rows where it stands, and its values."""

    __slots__ = ("rows", "values")

    def __init__(self) -> None:
        self.rows = array("i")
        self.values = array("d")

    def renumber(self, new: NDArray[np.int32]) -> None:
        """Give each row its new number; those with -1 are gone."""
        rows = new[np.frombuffer(self.rows, np.int32)]
        keep = rows >= 0
        values = np.frombuffer(self.values, np.float64)[keep]
        self.rows, self.values = array("i", rows[keep].tobytes()), array("d", values.tobytes())


@dataclass(slots=True, eq=False)
class _Group:
    """What the names of one kind of line amount to; lines of a kind hold the same names."""

    cells: list[tuple[str, _Cells]]
    counters: list[tuple[str, str]]
    unmapped: list[str]
    kind: Kind
    lines: int = 0


class Columns:
    """Collects lines; `trace` makes the trace of them."""

    def __init__(self, mapping: Mapping[str, str], partial: bool = False) -> None:
        """`mapping`: the user's words; `partial`: they may be in another log of the folder."""
        self.clock = Clock()
        self.used: set[str] = set()
        self._partial = partial
        self._user = dict(mapping)
        self._short = {squash(theirs): theirs for theirs in mapping}
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._cells: dict[str, _Cells] = {}
        self._targets: dict[str, tuple[int, str]] = {}
        self._unmapped: dict[str, int] = {}
        self._pending: tuple[Callable[[re.Match[str]], Line], re.Match[str]] | None = (
            None  # counters not yet moved on
        )

    def add(self, line: Line) -> None:
        """Enter what a line says."""
        values = line.values
        if self._pending is not None:
            left_out, match = self._pending
            self.clock.move(left_out(match).clock)
            self._pending = None
        names = tuple(values)
        group = self._groups.get(names) or self._group(names)
        group.lines += 1
        for name, kind in group.counters:
            line.clock[kind] = values[name]
        row = self.clock.add(line, group.kind, values)
        if row < 0:
            return
        for name, cells in group.cells:
            cells.rows.append(row)
            cells.values.append(values[name])
        if row >= _MOST_ROWS:
            new = self.clock.thin()
            for cells in self._cells.values():
                cells.renumber(new)

    def passes_over(
        self,
        names: tuple[str, ...],
        line: Callable[[re.Match[str]], Line] | None = None,
        match: re.Match[str] | None = None,
    ) -> bool:
        """Whether a line with these names is one that thinning leaves out; it is then counted.

        `line` of `match` would be the line: a later line without counters may need those of it.
        """
        if not self.clock.thinned:
            return False
        group = self._groups.get(names) or self._group(names)
        if group.counters or not self.clock.passes_over(group.kind):
            return False
        group.lines += 1
        if line is not None and match is not None:
            self._pending = line, match
        return True

    def _group(self, names: tuple[str, ...]) -> _Group:
        """The group of lines with these names, remembered unless there are too many."""
        known, counters, unmapped = [], [], []
        for name in names:
            target = self._target(name)
            if target is None:
                unmapped.append(name)
            elif target[1] in COUNTERS.values():
                counters.append((name, target[1]))
            else:
                known.append(name)
        lasting = any(not self._targets[n][1].startswith(_ANY_TIME) for n in known)
        rare = any(self._targets[n][1].startswith(_ANY_TIME) for n in known)
        kind = self.clock.kind(frozenset(known), lasting, rare)
        cells = [(name, self._cells.setdefault(name, _Cells())) for name in known]
        group = _Group(cells, counters, unmapped, kind)
        if len(self._groups) >= _MOST_GROUPS:
            self._count_unmapped()
        self._groups[names] = group
        return group

    def _count_unmapped(self) -> None:
        """Move the groups' counts of unmapped names to the table, and forget the groups."""
        for group in self._groups.values():
            for name in group.unmapped:
                if name in self._unmapped or len(self._unmapped) < _KEPT:
                    self._unmapped[name] = self._unmapped.get(name, 0) + group.lines
        self._groups.clear()

    def _target(self, name: str) -> tuple[int, str] | None:
        """The rank (-1 for the user's own word) and our name for theirs."""
        if name in self._targets:
            return self._targets[name]
        own = self._own_word(name)
        target = (-1, self._user[own]) if own is not None else rank_of(name)
        if own is not None:
            self.used.add(own)
        if target is not None:
            self._targets[name] = target
        return target

    def _own_word(self, name: str) -> str | None:
        """The key of the user's mapping that means `name`: the same, or the words at its end."""
        if name in self._user:
            return name
        if squash(name) in self._short:
            return self._short[squash(name)]
        return next((own for own in self._user if name.endswith(f" {own}")), None)

    def trace(self, path: Path, facts: dict[str, Any], header: Mapping[str, Any]) -> Trace:
        """The trace of all lines; `facts` are the reader's, to which the mapping is added.

        Raises:
            RecordError: no line had a name that is known, or the user's mapping names none of them.
        """
        self._count_unmapped()
        self._check(path)
        names = self._winners()
        assumed: list[str] = []
        names = _decided({n: (ours, self._cells[n].values) for n, ours in names.items()}, assumed)
        placed = self.clock.place()
        signals = {ours: _series(placed, ours, self._cells[n]) for n, ours in names.items()}
        _add_total(signals, assumed)
        log = facts | {
            "mapping": names,
            "unmapped": self._left(names),
            "step": placed.meaning,
            "assumed": assumed + placed.assumed,
        }
        return Trace(
            header,
            {"log": log},
            signals,
            kimg=placed.times("kimg", signals),
            seconds=placed.times("seconds", signals),
            damaged=int(facts["damaged"]),
            path=path,
        )

    def _check(self, path: Path) -> None:
        if (lost := sorted(set(self._user) - self.used)) and not self._partial:
            guess = nearest(lost[0], [*self._targets, *self._unmapped])
            hint = f"; did you mean {guess!r}?" if guess else ""
            raise RecordError(
                f"the mapping names {lost[0]!r}, which {path} does not hold{hint}"
                f" (found: {self._found()})"
            )
        if not self._cells and not self._unmapped:
            raise RecordError(f"no names with numbers in {path}; give a log of a training run")
        if not self._cells:
            raise RecordError(
                f"no numbers with names that we know in {path}: found names {self._found()};"
                " map them with --map theirs=ours, for example --map critic=loss/discriminator"
            )

    def _found(self) -> str:
        names = sorted(self._unmapped, key=lambda n: -self._unmapped[n])[:12]
        return ", ".join([*self._targets, *names]) or "none"

    def _winners(self) -> dict[str, str]:
        """For each of our names the foreign one that says it best: lowest rank, then first seen."""
        best: dict[str, str] = {}
        for name in self._cells:
            rank, ours = self._targets[name]
            if ours not in best or rank < self._targets[best[ours]][0]:
                best[ours] = name
        return {name: ours for ours, name in best.items()}

    def _left(self, names: Mapping[str, str]) -> list[str]:
        counts = self._unmapped | {n: len(c.rows) for n, c in self._cells.items() if n not in names}
        return sorted(counts, key=lambda n: (-counts[n], n))[:_SHOWN]


def _decided(names: Mapping[str, tuple[str, array[float]]], assumed: list[str]) -> dict[str, str]:
    """Settle the names whose meaning their values decide; say how in `assumed`."""
    settled = {n: ours for n, (ours, _) in names.items() if not ours.startswith("?")}
    for kind, low, settle in (("?part", 0.0, _PARTS), ("?score", 0.0, _SCORES)):
        open_names = {n: o.split("/")[1] for n, (o, _) in names.items() if o.startswith(kind)}
        if not open_names:
            continue
        values = np.concatenate([np.asarray(names[n][1]) for n in open_names])
        above = kind == "?score" and bool((values[np.isfinite(values)] > 1).any())
        outside = above or bool((values[np.isfinite(values)] < low).any())
        pattern, word = settle[outside]
        for name, side in open_names.items():
            target = pattern.format(side=side)
            if target not in settled.values():
                settled[name] = target
        assumed.append(f"{', '.join(open_names)}: read as {word}")
    return settled


_PARTS = {
    True: ("logits/{side}/mean", "mean logits, because some are negative"),
    False: ("loss_on_{side}/discriminator", "the discriminator's losses, because none is negative"),
}
_SCORES = {
    True: ("logits/{side}/mean", "mean logits, because some lie outside 0 to 1"),
    False: ("probability/{side}/mean", "probabilities, because all lie within 0 to 1"),
}


def _series(placed: Placed, ours: str, cells: _Cells) -> Series:
    """The cells whose rows count, by step; of one step the last, of an evaluation the first.

    A checkpoint that is evaluated again after training is often evaluated otherwise (another
    reference, batch statistics made anew), and one series must be of one kind.
    """
    index = np.asarray(cells.rows)
    keep = placed.alive[index]
    steps, found = placed.steps[index][keep], np.asarray(cells.values)[keep]
    return _one_of_each(steps, found, first=ours.startswith(_ANY_TIME))


def _one_of_each(steps: NDArray[np.int64], values: NDArray[np.float64], first: bool) -> Series:
    """A series with rising steps from readings in any order; of one step the first or the last."""
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    changes = steps[1:] != steps[:-1]
    keep = np.append(True, changes) if first else np.append(changes, True)
    keep = keep[: len(steps)]
    return Series(steps[keep], values[keep])


def _add_total(signals: dict[str, Series], assumed: list[str]) -> None:
    """Where only the two halves of the discriminator's loss are logged, their sum is its loss."""
    real = signals.get("loss_on_real/discriminator")
    fake = signals.get("loss_on_fake/discriminator")
    if "loss/discriminator" in signals or real is None or fake is None:
        return
    steps, here, there = np.intersect1d(real.steps, fake.steps, return_indices=True)
    if len(steps):
        with np.errstate(invalid="ignore", over="ignore"):
            signals["loss/discriminator"] = Series(steps, real.values[here] + fake.values[there])
        assumed.append("loss/discriminator: the sum of its losses on real and on fake (not halved)")
