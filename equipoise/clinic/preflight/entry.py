"""What a check is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """What a check saw that is not as it should be.

    Attributes:
        summary: in plain words, with the numbers.
        evidence: (fact, observed number, what is expected).
        confidence: that it is the failure, in [0, 1]; a note needs none.
        way_out: where it differs from the check's own.
    """

    summary: str
    evidence: tuple[tuple[str, float, str], ...] = ()
    confidence: float = 0.0
    way_out: str = ""


@dataclass(frozen=True)
class Check:
    """One line of the checklist.

    Attributes:
        id: stable name.
        failure: the failure that it finds before the first step; None for advice.
        needs: facts without which it cannot answer.
        looks_at: what it would show, for those who cannot be answered.
        threshold: when it speaks.
        source: where the threshold comes from.
        way_out: what to change.
        judge: facts -> what is wrong, None where nothing is.
        asked: whether to be missed where its facts are absent.
    """

    id: str
    failure: str | None
    needs: tuple[str, ...]
    looks_at: str
    threshold: str
    source: str
    way_out: str
    judge: Callable[[Facts], Said | None] = field(repr=False)
    asked: bool = True

    def answers(self, facts: Facts) -> bool:
        """Whether all that it needs is known."""
        return all(facts.get(name) is not None for name in self.needs)


def images(facts: Facts) -> bool:
    """Whether the samples are images (C, H, W)."""
    return len(facts.get("real/shape", ())) == 3


def side(facts: Facts) -> int:
    """The longer side of the samples in pixels, 1 for points."""
    shape = facts.get("real/shape", ())
    return max(shape[1:]) if len(shape) == 3 else 1
