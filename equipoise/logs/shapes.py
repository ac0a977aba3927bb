"""The fast way to read text: a loop prints lines of few shapes, which differ in numbers alone.

`text.read_line` says what a line of a new shape means and where its numbers stand; `Shapes` makes
one regular expression of it, which reads all further lines of the shape, some ten times as fast.
Both ways give the same, and a test holds them to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from equipoise.logs.records import Line
from equipoise.logs.text import Located, read_line, seconds_of

_OPEN = r"\s,;|\[\]{}<>:=\"'("
_ANY_RUN = re.compile("[0-9]+")
# A run of digits that no word holds: after an opening, a sign, or within a number, date or time.
_FREE_RUN = re.compile(
    rf"[0-9](?:(?<![^{_OPEN}][0-9])|(?<=[{_OPEN}][-+][0-9])|(?<=[0-9][/:.\-][0-9])"
    r"|(?<=[0-9][eE][0-9])|(?<=[0-9][eE][-+][0-9]))[0-9]*"
)
_DIGITS, _DECIMALS = "[0-9]{1,15}", "[0-9]{1,25}"
_FLOAT = r"[-+]?[0-9]{1,15}(?:\.[0-9]{0,25})?(?:[eE][-+]?[0-9]{1,2})?"
_PLAIN = re.compile(_FLOAT)
_MORE = re.compile(r",\d")
_NOTHING = re.compile(r"(?!)")
_NOT_ONE = -1
_SIGHTINGS = 3  # of a shape before it is learned
_MOST_KEYS, _MOST_SHAPES = 20_000, 1000  # a file of junk has no end of them


@dataclass(slots=True, eq=False)
class Shape:
    """What a line that `match` accepts says; groups of the match by what they mean."""

    pattern: re.Pattern[str]
    clock: tuple[tuple[str, int], ...]
    elapsed: tuple[int, ...]
    values: tuple[tuple[str, int, float], ...]
    total: int
    names: tuple[str, ...] = ()
    follower: Shape | None = None

    @property
    def counts(self) -> bool:
        """Whether its lines move a counter on."""
        return bool(self.clock or self.elapsed)

    @property
    def silent(self) -> bool:
        """Whether its lines say nothing at all."""
        return not (self.names or self.clock or self.elapsed)

    def line(self, match: re.Match[str]) -> Line:
        clock = {kind: float(match[group]) for kind, group in self.clock}
        if self.elapsed:
            clock["seconds"] = seconds_of(match.group(*self.elapsed))
        values = {name: float(match[group]) / by for name, group, by in self.values}
        return Line(clock, values, float(match[self.total]) if self.total else 0.0)


class Shapes:
    """The shapes of a log's lines, learned as they come."""

    def __init__(self, never: re.Pattern[str]) -> None:
        """`never`: lines in which it is found say more than `read_line` tells."""
        self._never = never
        self._known: dict[str, Shape | int] = {}
        self._made = 0
        self.last = Shape(
            _NOTHING, (), (), (), 0
        )  # the shape of the line that `match` accepted last

    def match(self, text: str) -> re.Match[str] | None:
        """The match by the line's shape, which is then `last`; None where it is not known."""
        last = self.last
        shape = last.follower
        if shape is not None and (match := shape.pattern.fullmatch(text)):
            self.last = shape
            return match
        found = self._known.get(_ANY_RUN.sub("0", text))
        if found == _NOT_ONE:
            found = self._known.get(_FREE_RUN.sub("#", text))
        match = found.pattern.fullmatch(text) if isinstance(found, Shape) else None
        if match is not None and isinstance(found, Shape):
            last.follower = self.last = found
        return match

    def read(self, text: str) -> Line | None:
        """What the line says, None where its shape is not known."""
        match = self.match(text)
        return self.last.line(match) if match is not None else None

    def learn(self, text: str, slow: Callable[[str], Line | None] = read_line) -> None:
        """Count a line that `read` did not know, and make a shape of it when it is common.

        `slow` says what such lines mean. Where a digit within a word decides a name ("loss_d1"),
        only free digits may differ.
        """
        for run, mark in ((_ANY_RUN, "0"), (_FREE_RUN, "#")):
            key = run.sub(mark, text)
            seen = self._known.get(key, 0)
            if isinstance(seen, Shape):
                return
            if seen == _NOT_ONE:
                continue
            if seen or len(self._known) < _MOST_KEYS:
                self._known[key] = seen + 1
            if seen + 1 < _SIGHTINGS or self._made >= _MOST_SHAPES:
                return
            self._made += 1
            shape = self._made_of(text, slow, run)
            self._known[key] = shape or _NOT_ONE
            if shape is not None:
                return

    def _made_of(
        self, text: str, slow: Callable[[str], Line | None], run: re.Pattern[str]
    ) -> Shape | None:
        """The shape of a line; None where its digits decide more than their own number."""
        if self._never.search(text):
            return None
        shape = _shape(text, read_line(text), run)
        if shape is None:
            return None
        for example in (text, run.sub("7", text), run.sub("42", text)):
            match = shape.pattern.fullmatch(example)
            if match and not _same(shape.line(match), slow(example)):
                return None
        return shape


def _same(one: Line, other: Line | None) -> bool:
    return other is not None and (one.clock, one.values, one.total) == (
        other.clock,
        other.values,
        other.total,
    )


def _shape(text: str, line: Located, run: re.Pattern[str]) -> Shape | None:
    spans = sorted((span, what) for what, parts in line.spans.items() for span in parts)
    runs = [found.span() for found in run.finditer(text)]
    pattern: list[str] = []
    groups: dict[tuple[str, str], list[int]] = {}
    end = 0
    for group, ((start, stop), what) in enumerate(spans, 1):
        number = text[start:stop]
        if start < end or not _PLAIN.fullmatch(number) or _MORE.match(text, stop):
            return None  # it means two things, is not finite, or might have thousands separators
        pattern.append(_with_other_digits(text, end, start, runs))
        if what[0] == "values":
            pattern.append(f"({_FLOAT})")
        elif len(line.spans[what]) > 1 and (start, stop) in line.spans[what][-2:]:
            pattern.append("([0-9]{2})")  # minutes and seconds
        else:
            pattern.append(f"({_with_other_digits(text, start, stop, runs)})")
        groups.setdefault(what, []).append(group)
        end = stop
    pattern.append(_with_other_digits(text, end, len(text), runs))
    elapsed = groups.get(("clock", "seconds"), [])
    single = {kind: groups["clock", kind] for kind in line.clock}
    return Shape(
        re.compile("".join(pattern)),
        tuple((kind, ids[0]) for kind, ids in single.items() if len(ids) == 1),
        tuple(elapsed) if len(elapsed) > 1 else (),
        tuple((n, groups["values", n][0], _divisor(text, line, n)) for n in line.values),
        groups.get(("total", ""), [0])[0],
        tuple(line.values),
    )


def _with_other_digits(text: str, start: int, stop: int, runs: list[tuple[int, int]]) -> str:
    """The expression for a part of the text with any digits in its runs."""
    pieces, end = [], start
    for first, last in runs:
        if first >= end and last <= stop:
            digits = _DECIMALS if text[first - 1 : first] == "." else _DIGITS
            pieces += [re.escape(text[end:first]), digits]
            end = last
    return "".join([*pieces, re.escape(text[end:stop])])


def _divisor(text: str, line: Located, name: str) -> float:
    """100 for a number that was read as percent."""
    ((start, stop),) = line.spans["values", name]
    said = float(text[start:stop])
    percent = said != line.values[name] if said else text[stop:].lstrip().startswith("%")
    return 100.0 if percent else 1.0
