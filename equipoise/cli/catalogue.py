"""`list` and `explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from equipoise.cli.say import console
from equipoise.clinic import FAILURES, REMEDIES, RULES
from equipoise.clinic.advice import ADVICE, contradicted
from equipoise.clinic.preflight import CHECKS
from equipoise.errors import RecipeError, nearest, unknown
from equipoise.recipe import load, preset_names
from equipoise.record import SIGNALS, describe


def _first_sentence(thing: Any) -> str:
    return " ".join((thing.__doc__ or "").split("\n\n")[0].split())


def _presets() -> dict[str, str]:
    return {name: load(name).description for name in preset_names()}


def _failures() -> dict[str, str]:
    return {
        f.id: f.meaning + ("" if f.id in RULES else " (named; no rule yet)")
        for f in FAILURES.values()
    }


def _remedies() -> dict[str, str]:
    return {r.id: r.title for r in REMEDIES.values()}


def _advice() -> dict[str, str]:
    return {a.id: f"{a.said} (contradicted)" for a in ADVICE.values()}


def _checks() -> dict[str, str]:
    return {
        c.id: f"looks at {c.looks_at}; speaks at: {c.threshold}"
        + ("" if c.failure is None else f" ({c.failure})")
        for c in CHECKS.values()
    }


def _signals() -> dict[str, str]:
    return {s.name: s.meaning for s in SIGNALS.values()}


def _objectives() -> dict[str, str]:
    from equipoise.game import OBJECTIVES

    return {name: _first_sentence(o.discriminator) for name, o in OBJECTIVES.items()}


def _penalties() -> dict[str, str]:
    from equipoise.game import PENALTIES, WEIGHT_PENALTIES

    on_images = {name: _first_sentence(p.value) for name, p in PENALTIES.items()}
    return on_images | {name: _first_sentence(f) for name, f in WEIGHT_PENALTIES.items()}


def _normalizations() -> dict[str, str]:
    from equipoise.game import NORMALIZATIONS, exact_spectral_norms

    found = {name: _first_sentence(f) for name, f in NORMALIZATIONS.items()}
    return found | {"spectral_exact": _first_sentence(exact_spectral_norms)}


def _augmentations() -> dict[str, str]:
    from equipoise.game import ADA_PARTS, AUGMENTATIONS, DIFFAUGMENT_PARTS

    parts: dict[str, dict[str, Any]] = {"diffaugment": DIFFAUGMENT_PARTS, "ada": ADA_PARTS}
    found = {}
    for name, function in AUGMENTATIONS.items():
        found[name] = _first_sentence(function)
        found |= {f"{name}: {part}": _first_sentence(f) for part, f in parts[name].items()}
    return found


def _initializers() -> dict[str, str]:
    from equipoise.game import INITIALIZERS, fixup

    return {name: _first_sentence(f) for name, f in {**INITIALIZERS, "fixup": fixup}.items()}


def _documented(module: str, table: str) -> Callable[[], dict[str, str]]:
    """A family whose table maps names to documented functions."""

    def entries() -> dict[str, str]:
        import importlib

        found: Mapping[str, Any] = getattr(importlib.import_module(module), table)
        return {name: _first_sentence(function) for name, function in found.items()}

    return entries


def _networks() -> dict[str, str]:
    from equipoise.networks import FAMILIES

    return {name: _first_sentence(family.generator) for name, family in FAMILIES.items()}


def _metrics() -> dict[str, str]:
    from equipoise.evaluation import MEASURES

    return {name: metric.told for name, metric in MEASURES.items()}


def _conventions() -> dict[str, str]:
    from equipoise.evaluation import PRESETS

    return {name: preset.source for name, preset in PRESETS.items()}


LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "presets": _presets,
    "failures": _failures,
    "remedies": _remedies,
    "advice": _advice,
    "checks": _checks,
    "signals": _signals,
    "objectives": _objectives,
    "penalties": _penalties,
    "generator-penalties": _documented("equipoise.training.terms", "GENERATOR_PENALTIES"),
    "constraints": _documented("equipoise.game", "CONSTRAINTS"),
    "normalizations": _normalizations,
    "minibatch": _documented("equipoise.game", "MINIBATCH_LAYERS"),
    "initializers": _initializers,
    "augmentations": _augmentations,
    "weightings": _documented("equipoise.game", "WEIGHTINGS"),
    "orders": _documented("equipoise.training.rounds", "ROUNDS"),
    "schedules": _documented("equipoise.game", "SCHEDULES"),
    "optimizers": _documented("equipoise.game", "OPTIMIZERS"),
    "networks": _networks,
    "data": _documented("equipoise.data", "SOURCES"),
    "metrics": _metrics,
    "conventions": _conventions,
    "features": _documented("equipoise.features", "EXTRACTORS"),
    "metric-families": _documented("equipoise.metrics", "FAMILIES"),
}


def list_entries(family: str) -> None:
    """Print a family, one line each."""
    if family not in LISTS:
        raise RecipeError(unknown("family", family, LISTS))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in LISTS[family]().items():
        table.add_row(escape(name), escape(text))
    console().print(table)


def explain_entry(name: str) -> None:
    """Print all that is known of a failure, remedy, contradicted advice, check or signal."""
    for known, explain in EXPLAINED.items():
        if name in TABLES[known]:
            explain(name)
            return
    if describe(name) is None:
        raise RecipeError(_unexplained(name))
    _explain_signal(name)


def _explain_failure(name: str) -> None:
    out, failure = console(), FAILURES[name]
    out.print(f"[bold]{name}[/] ({failure.group})\n{escape(failure.meaning)}")
    out.print(f"Looks like: {failure.looks_like}.", markup=False)
    out.print(f"Confused with: {failure.confused_with}.", markup=False)
    treating = sorted((r.treats[name], r.title) for r in REMEDIES.values() if name in r.treats)
    for rank, title in treating:
        out.print(f"{rank}. {title}", markup=False)
    for advice in contradicted(name):
        out.print(f"Not prescribed ({advice.id}): {advice.said}", markup=False)
    early = [c.id for c in CHECKS.values() if c.failure == name]
    if early:
        out.print(f"Checked before the first step: {', '.join(early)}.", markup=False)
    if name not in RULES:
        out.print("No rule looks for it yet.")


def _explain_remedy(name: str) -> None:
    out, remedy = console(), REMEDIES[name]
    out.print(f"[bold]{name}[/]: {escape(remedy.title)}\n{escape(remedy.why)}")
    out.print(f"Treats: {', '.join(remedy.treats)}. {remedy.caution}", markup=False)
    out.print(remedy.code, markup=False)
    if remedy.sources:
        out.print(f"Sources: {'; '.join(remedy.sources)}", markup=False)


def _explain_advice(name: str) -> None:
    out, advice = console(), ADVICE[name]
    out.print(f"[bold]{name}[/], not prescribed: {escape(advice.said)}")
    out.print(f"Said of: {', '.join(advice.failures)}.", markup=False)
    out.print(f"Why not: {advice.why_not}", markup=False)
    if advice.instead:
        out.print(f"Instead: {', '.join(advice.instead)}.", markup=False)
    out.print(f"Sources: {'; '.join(advice.sources)}", markup=False)


def _explain_check(name: str) -> None:
    out, check = console(), CHECKS[name]
    kind = "advice" if check.failure is None else f"finds {check.failure}"
    out.print(f"[bold]{name}[/] (checked before the first step; {kind})")
    out.print(f"Looks at: {check.looks_at}.", markup=False)
    out.print(f"Speaks at: {check.threshold}. [{check.source}]", markup=False)
    out.print(f"Way out: {check.way_out}", markup=False)
    out.print(f"Needs: {', '.join(check.needs) or 'nothing'}.", markup=False)


def _explain_signal(name: str) -> None:
    out, signal = console(), describe(name)
    assert signal is not None
    out.print(f"[bold]{escape(name)}[/]: {escape(signal.meaning)}")
    out.print(f"Unit: {signal.unit}.", markup=False)
    out.print(f"Measured: {signal.measured} ({signal.tier}). Source: {signal.source}", markup=False)


TABLES: dict[str, Mapping[str, Any]] = {
    "failure": FAILURES,
    "remedy": REMEDIES,
    "advice": ADVICE,
    "check": CHECKS,
}
EXPLAINED: dict[str, Callable[[str], None]] = {
    "failure": _explain_failure,
    "remedy": _explain_remedy,
    "advice": _explain_advice,
    "check": _explain_check,
}


def _unexplained(name: str) -> str:
    guess = nearest(name, [*(n for table in TABLES.values() for n in table), *SIGNALS])
    hint = f"; did you mean {guess!r}?" if guess else ""
    lists = "equipoise list failures, list remedies, list advice, list checks, list signals"
    return f"unknown failure, remedy, advice, check or signal {name!r}{hint} (all names: {lists})"
