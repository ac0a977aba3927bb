"""A diagnosis and a trial in words: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from equipoise.record import Diagnosis, Finding, Prescription, TrialRow

COLOURS = {"healthy": "green", "sick": "red", "inconclusive": "yellow"}
TRIAL_COLOURS = {"keep": "green", "revert": "red", "inconclusive": "yellow"}
SHOWN_MISSING = 4


def console(stderr: bool = False) -> Console:
    """A console that is plain when it is not a terminal."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def edit_text(edit: Mapping[str, Any]) -> str:
    """An edit as it is typed after --set."""
    return " ".join(f"{path}={value:g}" if isinstance(value, float) else f"{path}={value}"
                    for path, value in edit.items())  # fmt: skip


def say_diagnosis(out: Console, diagnosis: Diagnosis, remedies: int = 3) -> None:
    """Print verdict, findings with evidence and remedies, notes and what was missing."""
    colour = COLOURS[diagnosis.verdict]
    first, last = diagnosis.steps
    out.print(f"[bold {colour}]{diagnosis.verdict.upper()}[/]  steps {first} to {last}")
    for number, finding in enumerate(diagnosis.findings, 1):
        out.print(_finding_panel(number, finding, remedies))
    for note in diagnosis.notes:
        out.print(f"[dim]Normal:[/] {escape(note.summary)} {escape(note.reason)}")
    if diagnosis.verdict != "sick":
        _say_missing(out, diagnosis.missing)


def _say_missing(out: Console, missing: Mapping[str, str]) -> None:
    for name, shows in list(missing.items())[:SHOWN_MISSING]:
        out.print(f"[dim]Not logged:[/] {escape(name)} would show {escape(shows)}")
    if len(missing) > SHOWN_MISSING:
        out.print(
            f"[dim]... and {len(missing) - SHOWN_MISSING} more signals (--json lists them)[/]"
        )


def _finding_panel(number: int, finding: Finding, remedies: int) -> Panel:
    parts: list[RenderableType] = [Text(finding.summary), _evidence_table(finding)]
    for rank, remedy in enumerate(finding.remedies[:remedies], 1):
        parts.append(_remedy_lines(rank, remedy))
    more = len(finding.remedies) - remedies
    if more > 0:
        parts.append(Text(f"... and {more} more remedies", style="dim"))
    title = f"{number}. {finding.failure} (confidence {finding.confidence:.0%}, since step {finding.since})"
    return Panel(Group(*parts), title=title, title_align="left", border_style="red")


def _evidence_table(finding: Finding) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("evidence", "observed", "expected", "steps"):
        table.add_column(heading, overflow="fold")
    for e in finding.evidence:
        observed = f"{e.observed:.4g} ({e.statistic})"
        table.add_row(e.signal, observed, e.expected, f"{e.window[0]}-{e.window[1]}")
    return table


def _remedy_lines(rank: int, remedy: Prescription) -> RenderableType:
    lines: list[RenderableType] = [
        Text(f"\n{rank}. {remedy.title}", style="bold"),
        Text(remedy.why),
    ]
    if remedy.caution:
        lines.append(Text(remedy.caution, style="yellow"))
    if remedy.edit:
        lines.append(Text(f"recipe: --set {edit_text(remedy.edit)}", style="cyan"))
    elif remedy.code:
        lines.append(Syntax(remedy.code, "python", background_color="default", word_wrap=True))
    return Group(*lines)


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """A diagnosis to paste into an issue."""
    lines = [f"**{diagnosis.verdict}** (steps {diagnosis.steps[0]} to {diagnosis.steps[1]})", ""]
    for finding in diagnosis.findings:
        lines += [
            f"### {finding.failure}, since step {finding.since} ({finding.confidence:.0%})",
            "",
        ]
        lines += [
            finding.summary,
            "",
            "| signal | observed | expected | steps |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{e.signal}` | {e.observed:.4g} | {e.expected} | {e.window[0]}-{e.window[1]} |"
            for e in finding.evidence
        ]
        lines += (
            [""] + [_remedy_markdown(rank, r) for rank, r in enumerate(finding.remedies, 1)] + [""]
        )
    lines += [f"- Normal: {note.summary} {note.reason}" for note in diagnosis.notes]
    lines += [
        f"- Not logged: `{name}` would show {what}" for name, what in diagnosis.missing.items()
    ]
    return "\n".join(lines).rstrip() + "\n"


def _remedy_markdown(rank: int, remedy: Prescription) -> str:
    edit = f" (`--set {edit_text(remedy.edit)}`)" if remedy.edit else ""
    return f"{rank}. {remedy.title}{edit}. {remedy.why}"


def say_trial(out: Console, row: TrialRow) -> None:
    """Print one arm's figures and verdict."""
    table = Table(title=f"{row.metric} ({row.better} is better)", title_justify="left", box=None)
    for heading in ("seed", row.baseline, row.arm, "improvement"):
        table.add_column(heading, justify="right")
    sign = -1 if row.better == "lower" else 1
    for seed, base, arm in zip(row.seeds, row.baseline_values, row.arm_values, strict=True):
        table.add_row(str(seed), f"{base:.4g}", f"{arm:.4g}", f"{sign * (arm - base):+.4g}")
    out.print(table)
    low, high = row.interval
    out.print(
        f"mean improvement {row.improvement:+.4g}, 95 % interval [{low:.4g}, {high:.4g}],"
        f" p = {row.p_value:.4g} (exact one-sided sign-flip test, {len(row.seeds)} pairs)",
        markup=False,
    )
    out.print(f"[bold {TRIAL_COLOURS[row.verdict]}]{row.verdict.upper()}[/]  {escape(row.reason)}")
    for failure in row.failures:
        out.print(f"[yellow]failed:[/] {escape(failure)}")


def say_trials(out: Console, rows: Iterable[TrialRow]) -> None:
    """Print the ledger's verdicts, one line each."""
    table = Table(box=None, header_style="dim")
    for heading in ("when", "baseline", "arm", "metric", "improvement", "p", "verdict"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        colour = TRIAL_COLOURS[row.verdict]
        table.add_row(
            row.created,
            escape(row.baseline),
            escape(row.arm),
            row.metric,
            f"{row.improvement:+.4g}",
            f"{row.p_value:.3g}",
            f"[{colour}]{row.verdict}[/]",
        )
    out.print(table)
