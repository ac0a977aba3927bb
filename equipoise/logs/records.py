"""What a reader hands over for each line or row of a log."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


@dataclass(slots=True)
class Line:
    """One line or row: `clock` counts (step, epoch, batch, kimg, seconds, timestamp), `values` by
    foreign name, `total` batches of an epoch, 0 where unsaid."""

    clock: dict[str, float] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    total: float = 0.0


def number(text: Any) -> float:
    """The number that `text` spells.

    Raises:
        ValueError: it spells none.
    """
    if isinstance(text, str) and "#" in text:  # "1.#QNAN", "-1.#INF"
        sign = -1.0 if text.lstrip().startswith("-") else 1.0
        return sign * math.inf if text.upper().endswith("#INF") else math.nan
    try:
        if isinstance(text, str) and _THOUSANDS.fullmatch(text):
            text = text.replace(",", "")
        return float(text)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a number") from error


def number_or_none(value: Any) -> float | None:
    """The number that a JSON value or a cell holds, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return number(value.strip() if isinstance(value, str) else value)
    except ValueError:
        return None
