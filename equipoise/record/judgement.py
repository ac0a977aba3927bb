"""What the clinic says of a trace: evidence, findings, notes, the diagnosis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = 1
Verdict = Literal["healthy", "sick", "inconclusive"]


@dataclass(frozen=True)
class Evidence:
    """One measured fact that a finding rests on.

    Attributes:
        signal: name of the signal in the trace.
        observed: the value, as recomputed from the trace over `window`.
        expected: what a well run shows, in words and numbers.
        window: first and last step that the value covers.
        statistic: how the window became one number ("median", "slope per 1,000 steps").
    """

    signal: str
    observed: float
    expected: str
    window: tuple[int, int]
    statistic: str = "median"


@dataclass(frozen=True)
class Prescription:
    """A remedy as a finding carries it.

    Attributes:
        remedy: the remedy's id.
        title: what to do, in one line.
        why: the reason, with its sources.
        edit: the recipe edit by dotted path; empty where only code helps.
        code: the change for a foreign loop.
        takes_effect: "live", "surgery" (weights kept, modules changed) or "restart".
        watch: the signal that must move if it works.
        caution: when not to, "" if never.
    """

    remedy: str
    title: str
    why: str
    edit: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    takes_effect: Literal["live", "surgery", "restart"] = "restart"
    watch: str = ""
    caution: str = ""


@dataclass(frozen=True)
class Finding:
    """A failure that a rule saw: which, how surely (0 to 1), since which step, on what evidence."""

    failure: str
    confidence: float
    since: int
    summary: str
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Prescription, ...] = ()


@dataclass(frozen=True)
class Note:
    """Something that looks wrong and is normal, with the reason."""

    note: str
    summary: str
    reason: str


@dataclass(frozen=True)
class Diagnosis:
    """The judgement of a trace.

    Attributes:
        verdict: "healthy", "sick", or "inconclusive" where the signals do not suffice.
        findings: the likeliest first.
        notes: feared-but-normal observations.
        missing: signals that would have said more, with what each would show.
        signals: how each signal was found: the last finite value by name.
        steps: first and last step that were judged.
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    signals: Mapping[str, float] = field(default_factory=dict)
    steps: tuple[int, int] = (0, 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, schema version included; non-finite numbers become strings."""
        plain: dict[str, Any] = jsonable(
            {
                "schema": SCHEMA,
                "verdict": self.verdict,
                "findings": [asdict(f) for f in self.findings],
                "notes": [asdict(n) for n in self.notes],
                "signals": dict(self.signals),
                "missing": [{"signal": k, "would_show": v} for k, v in self.missing.items()],
                "steps": list(self.steps),
            }
        )
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Diagnosis:
        """The inverse of `to_dict`."""
        return cls(
            verdict=data["verdict"],
            findings=tuple(_finding(f) for f in data["findings"]),
            notes=tuple(Note(**n) for n in data["notes"]),
            missing={m["signal"]: m["would_show"] for m in data["missing"]},
            signals={k: float(v) for k, v in data["signals"].items()},
            steps=(int(data["steps"][0]), int(data["steps"][1])),
        )


def _finding(data: Mapping[str, Any]) -> Finding:
    evidence = tuple(
        Evidence(**{**e, "observed": float(e["observed"]), "window": tuple(e["window"])})
        for e in data["evidence"]
    )
    remedies = tuple(Prescription(**p) for p in data["remedies"])
    return Finding(
        data["failure"],
        float(data["confidence"]),
        int(data["since"]),
        data["summary"],
        evidence,
        remedies,
    )


def jsonable(value: Any) -> Any:
    """Plain values, for JSON; numbers that are not finite are strings."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value
