"""From facts to a diagnosis before the first step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from equipoise.clinic.order import SICK
from equipoise.clinic.preflight import data, game, labels, networks
from equipoise.clinic.preflight.entry import Check, Facts, Said
from equipoise.clinic.remedies import prescribe
from equipoise.record import Diagnosis, Evidence, Finding, Note, Prescription

CHECKS: dict[str, Check] = {
    check.id: check for check in (*data.CHECKS, *networks.CHECKS, *labels.CHECKS, *game.CHECKS)
}
AT_START = (0, 0)
PLAYERS = ("generator", "discriminator")


def preflight(facts: Facts, recipe: Mapping[str, Any] | None = None) -> Diagnosis:
    """Judge two networks and their data before the first step; `recipe` fills in remedies' edits.

    Findings name failures that are already there (what is not finite vetoes all others); notes are
    advice. Healthy needs both networks to have answered a call and finite reals to have been seen;
    without it the verdict is inconclusive.
    """
    findings: list[Finding] = []
    notes: list[Note] = []
    for check in CHECKS.values():
        said = check.judge(facts) if check.answers(facts) else None
        if said is None:
            continue
        if check.failure is None:
            notes.append(Note(check.id, said.summary, f"{check.way_out} [{check.source}]"))
        else:
            findings.append(_finding(check, said, recipe))
    lost = [f for f in findings if f.failure == "non_finite"]
    findings = sorted(lost or findings, key=lambda finding: -finding.confidence)
    notes += [Note("recipe_warning", line, "") for line in facts.get("recipe/warnings", ())]
    return Diagnosis(
        verdict=_verdict(facts, findings),
        findings=tuple(findings),
        notes=tuple(notes),
        missing=_missing(facts),
        signals=_numbers(facts),
        steps=AT_START,
    )


def _finding(check: Check, said: Said, recipe: Mapping[str, Any] | None) -> Finding:
    assert check.failure is not None
    own = Prescription(
        check.id,
        said.way_out or check.way_out,
        f"Speaks at: {check.threshold}. [{check.source}]",
        watch=said.evidence[0][0] if said.evidence else "",
    )
    return Finding(
        check.failure,
        said.confidence,
        0,
        said.summary,
        tuple(Evidence(n, v, expected, AT_START, "fact") for n, v, expected in said.evidence),
        (own, *prescribe(check.failure, recipe)),
    )


def _verdict(facts: Facts, findings: list[Finding]) -> Any:
    if any(finding.confidence >= SICK for finding in findings):
        return "sick"
    played = all(f"{name}/takes" in facts or f"{name}/outputs" in facts for name in PLAYERS)
    return "healthy" if played and "real/low" in facts else "inconclusive"


def _missing(facts: Facts) -> dict[str, str]:
    """Facts without which a check could not answer, with what they would show."""
    missing: dict[str, list[str]] = {}
    for check in CHECKS.values():
        absent = next((name for name in check.needs if facts.get(name) is None), None)
        if absent is not None and check.asked:
            missing.setdefault(absent, []).append(check.looks_at)
    said = {name: "; ".join(dict.fromkeys(shows)) for name, shows in missing.items()}
    for name in PLAYERS:
        if f"{name}/refused" in facts:
            said[name] = f"all that needs a call of it, which failed: {facts[f'{name}/refused']}"
    return said


def _numbers(facts: Facts) -> dict[str, float]:
    """Facts that are finite numbers; truth values as 0 and 1."""
    return {
        name: float(value)
        for name, value in sorted(facts.items())
        if isinstance(value, (bool, int, float)) and math.isfinite(value)
    }
