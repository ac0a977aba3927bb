"""Lines of text -> names and numbers: what people print in a training loop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from equipoise.logs.aliases import counter_of, known_end, pair_of, rank_of
from equipoise.logs.records import Line, number

# The last alternatives are how other C libraries print values that are not finite.
_NUMBER = (
    r"[-+]?(?:1\.#(?:QNAN|SNAN|IND|INF)"
    r"|\d{1,3}(?:,\d{3})+(?!\d|,\d)(?:\.\d+)?"
    r"|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[nN]a[nN]|NAN"
    r"|[iI]nf(?:inity)?|INF(?:INITY)?)"
)
_END = r"(?![\w]|\.\d)"
_VALUE = re.compile(
    rf"""['"]?\s{{0,8}}[:=]\s{{0,16}}['"]?(?:(?:tensor|array|Array|np\.\w+|numpy\.\w+)\()?[\[(]{{0,2}}"""
    rf"""\s?(?P<first>{_NUMBER}){_END}(?:\s?/\s?(?P<second>{_NUMBER}){_END})?(?P<percent>\s?%)?"""
)
_SPACED = re.compile(rf"(?<![\w(])([A-Za-z_][\w./-]{{0,60}})\s{{1,8}}\[?({_NUMBER}){_END}")
_COUNTER = re.compile(
    r"\b(global[_ ]step|step|iteration|iters?|itr|epoch(?:_num)?|batch|kimg)\b['\"]?\s{0,8}[:=#]?"
    r"\s{0,16}[\[(]?\s?(\d{1,3}(?:,\d{3})+(?!\d|,\d)|\d+(?:\.\d+)?)(?!\w|\.\w)"
    r"(?:\s?/\s?(\d+)(?!\w))?",
    re.IGNORECASE,
)
_ELAPSED = re.compile(r"\belapsed:?\s{1,4}(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)", re.IGNORECASE)
_BRACKETS = re.compile(r"\[(?:(\d+)/\d+|(\d+))\]\s?\[\s{0,8}(\d+)/(\d+)\]")
_BAR = re.compile(r"(?<![\w/.])(\d+)/(\d+)\s{1,2}(?:\[\d+:|\[[=>.]|\u2501|\(\s{0,4}\d+\.\d+%\))")
_LEADING = re.compile(r"^\s{0,8}(\d+)\s{0,4}[\[:,]\s?(?=[A-Za-z])")
_LONE = re.compile(r"^\s{0,8}\[\s{0,8}(\d+)/\d+\]")
_SNAPSHOT = re.compile(r"network-snapshot-(\d{4,9})")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\x08+")
_BREAKS = re.compile(r"[,;|\[\]{}<>\t:=\"']|\s{2,}")
_HOLDS_NUMBER = re.compile(r"\d|nan|inf", re.IGNORECASE)
_LARGEST = 10**15


@dataclass(slots=True)
class Located(Line):
    """A line that also knows where in the text each of its numbers stands.

    `spans`: ("clock" | "values" | "total", name) -> the parts of the text that make it.
    """

    spans: dict[tuple[str, str], tuple[tuple[int, int], ...]] = field(default_factory=dict)


def without_colour(text: str) -> str:
    """The text less escape sequences and backspaces."""
    return _COLOUR.sub("", text) if "\x1b" in text or "\x08" in text else text


def read_line(text: str) -> Located:
    """The counters and values that one line (`without_colour`) names; both may be empty."""
    line = Located()
    if not _HOLDS_NUMBER.search(text):
        return line
    _read_counters(text, line)
    for match in _VALUE.finditer(text):
        words = _words_before(text[max(0, match.start() - 160) : match.start()])
        if words:
            _take(words, match, line)
    for match in _SPACED.finditer(text):
        if rank_of(match[1]) and match[1] not in line.values:
            line.values[match[1]] = number(match[2])
            line.spans["values", match[1]] = (match.span(2),)
    return line


def _take(words: list[str], match: re.Match[str], line: Located) -> None:
    """Enter the value of `match` under the name that `words` end with."""
    first = number(match["first"])
    pair = pair_of(" ".join(words[-2:])) if match["second"] else None
    if pair:
        line.values[pair[0]], line.values[pair[1]] = first, number(match["second"])
        line.spans["values", pair[0]] = (match.span("first"),)
        line.spans["values", pair[1]] = (match.span("second"),)
        return
    name = known_end(words) or " ".join(words)
    counter = counter_of(name)
    if counter:
        if counter not in line.clock and abs(first) < _LARGEST:
            line.clock[counter] = first
            line.spans["clock", counter] = (match.span("first"),)
    else:
        line.values[name] = first / 100 if match["percent"] else first
        line.spans["values", name] = (match.span("first"),)


def _words_before(left: str) -> list[str]:
    """The up to four words that end `left`: the name of the value that follows."""
    left = _without_remark(left.rstrip())
    words: list[str] = []
    for word in reversed(_BREAKS.split(left)[-1].split(" ")):
        while word.count("(") > word.count(")"):
            word = word[word.index("(") + 1 :]
        if len(words) == 4 or not word or not (word[0].isalpha() or word[0] == "_"):
            break
        words.insert(0, word)
    return words


def _without_remark(left: str) -> str:
    """`left` less a bracket of words at its end: "FID score (Step: 10, test)" -> "FID score"."""
    if not left.endswith(")"):
        return left
    opening = left.rfind("(")
    inside = left[opening + 1 : -1]
    return left[:opening].rstrip() if opening >= 0 and re.search(r"[\s,:=]", inside) else left


def _read_counters(text: str, line: Located) -> None:
    clock, spans = line.clock, line.spans
    for match in _COUNTER.finditer(text):
        kind = counter_of(match[1]) or "step"
        if kind not in clock and number(match[2]) < _LARGEST:
            clock[kind] = number(match[2])
            spans["clock", kind] = (match.span(2),)
            if match[3] and kind == "batch":
                line.total = float(match[3])
                spans["total", ""] = (match.span(3),)
    _read_positions(text, line)
    elapsed, snapshot = _ELAPSED.search(text), _SNAPSHOT.search(text)
    if elapsed:
        clock["seconds"] = seconds_of(elapsed.groups())
        known = (part for part in range(1, 5) if elapsed[part])
        spans["clock", "seconds"] = tuple(elapsed.span(part) for part in known)
    if snapshot:
        clock["kimg"] = float(snapshot[1])
        spans["clock", "kimg"] = (snapshot.span(1),)


def seconds_of(parts: Sequence[str | None]) -> float:
    """Seconds from days, hours, minutes and seconds; of fewer parts the first are missing."""
    days, hours, minutes, seconds = [0.0] * (4 - len(parts)) + [float(p or 0) for p in parts]
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


def _read_positions(text: str, line: Located) -> None:
    """Counters without a word: "[3/25][50/1583]", a progress bar, a number that leads the line."""
    clock = line.clock
    if match := _BRACKETS.search(text):
        if "epoch" not in clock:
            _count("epoch", match, 1 if match[1] else 2, line)
        _count("batch", match, 3, line)
        line.total, line.spans["total", ""] = float(match[4][:15]), (match.span(4),)
    elif (match := _BAR.search(text)) and not clock.keys() & {"step", "batch"}:
        _count("batch", match, 1, line)
        line.total, line.spans["total", ""] = float(match[2][:15]), (match.span(2),)
    elif not clock and (match := _LONE.search(text) or _LEADING.search(text)):
        _count("step", match, 1, line)


def _count(kind: str, match: re.Match[str], group: int, line: Located) -> None:
    line.clock[kind] = float(match[group][:15])
    line.spans["clock", kind] = (match.span(group),)
