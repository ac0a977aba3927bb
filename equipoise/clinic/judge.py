"""From a trace to a diagnosis."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from equipoise.clinic.adversarial import other_loss
from equipoise.clinic.lint import blamed, lint
from equipoise.clinic.notes import NOTES
from equipoise.clinic.order import SICK, STEPS, settled
from equipoise.clinic.remedies import prescribe
from equipoise.clinic.rules import RULES
from equipoise.clinic.windows import FEWEST, LATE
from equipoise.record import SIGNALS, Diagnosis, Finding, Trace, Verdict

# A run can be called healthy when the balance of the players and the spread of the fakes were seen.
BALANCE = ("auc/discriminator", "accuracy/discriminator")
DIVERSITY = ("diversity/pairwise", "metric/mode_coverage")
# Rules that speak of a game. There is none before the adversarial start, and what they call late
# must lie after it.
OF_THE_GAME = frozenset(
    {
        "discriminator_dominance", "generator_dominance", "mode_collapse", "stagnation",
        "vanishing_gradient", "runaway_logits",
    }
)  # fmt: skip
# Updates of any player below which only exact rules speak: Adam's second moment alone averages over
# 100 (beta2 = 0.99), and no share of so short a run is "late".
EARLY = 100
BESIDE = frozenset({"adversarial_share"})  # means something beside another loss alone


def diagnose(trace: Trace) -> Diagnosis:
    """Judge a trace in the order of `equipoise.clinic.order`; then notes and what is missing."""
    with np.errstate(over="ignore", invalid="ignore"):  # a run may diverge to any size
        findings = _findings(trace)
        notes = tuple(note for judge in NOTES.values() if (note := judge(trace)) is not None)
    return Diagnosis(
        verdict=_verdict(trace, findings),
        findings=findings,
        notes=notes,
        missing=_missing(trace),
        signals=_last_values(trace),
        steps=_span(trace),
    )


def _findings(trace: Trace) -> tuple[Finding, ...]:
    found: list[Finding] = []
    waits = _waits(trace)
    early = _early(trace)
    told: Finding | None = None
    for step, names in STEPS:
        if early and step != "exact":
            break
        if step == "structure":
            told = lint(trace)
            found += [told] if told is not None else []
        due = [
            name
            for name in names
            if not (waits and name in OF_THE_GAME) and (told is None or name != told.failure)
        ]
        judged = (RULES[name](trace) for name in due)
        found += [finding for finding in judged if finding is not None]
        if step == "exact" and found:
            break  # whatever else it looks like follows from the exact cause
    recipe = trace.header.get("recipe")
    return tuple(
        replace(f, remedies=prescribe(f.failure, recipe, blamed(f))) for f in settled(found)
    )


def _early(trace: Trace) -> bool:
    """Whether updates are counted and no player has had `EARLY` of them."""
    counts = [trace.series(n).finite() for n in trace.signals if n.startswith("updates/")]
    known = [float(series.values[-1]) for series in counts if len(series)]
    return bool(known) and max(known) < EARLY


def _waits(trace: Trace) -> bool:
    """Whether the late part of the run still lies before the adversarial start, in part."""
    first, last = _span(trace)
    return last - LATE * (last - first) < int(trace.header.get("adversarial_start") or 0)


def _verdict(trace: Trace, findings: tuple[Finding, ...]) -> Verdict:
    if any(f.confidence >= SICK for f in findings):
        return "sick"
    if _early(trace):  # the rules that could object were not asked
        return "inconclusive"
    return "healthy" if _seen(trace, BALANCE) and _seen(trace, DIVERSITY) else "inconclusive"


def _seen(trace: Trace, names: tuple[str, ...]) -> bool:
    return any(len(trace.series(name).finite()) >= FEWEST for name in names)


def _missing(trace: Trace) -> dict[str, str]:
    """Signals that would have said more, with what each would show."""
    missing = {}
    beside = other_loss(trace) is not None
    never = trace.facts.get("inapplicable") or ()
    for name, signal in SIGNALS.items():
        stem = name.removesuffix("<player>")
        stem = "metric/" if name == "metric/fid" else stem  # any measure of quality serves
        present = any(n.startswith(stem) if stem != name else n == name for n in trace.signals)
        wanted = name not in never and (beside or name not in BESIDE)
        if signal.would_show and not present and wanted:
            missing[name] = signal.would_show
    return missing


def _last_values(trace: Trace) -> dict[str, float]:
    last = {name: trace.series(name).last for name in sorted(trace.signals)}
    return {name: value for name, value in last.items() if not math.isnan(value)}


def _span(trace: Trace) -> tuple[int, int]:
    steps = [s.steps for s in trace.signals.values() if len(s)]
    return (int(min(s[0] for s in steps)), int(max(s[-1] for s in steps))) if steps else (0, 0)
