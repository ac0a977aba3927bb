"""A diagnosis and a trial in words: for the terminal, and as Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from equipoise.record import Diagnosis, Evidence, Finding, Prescription, TrialRow

COLOURS = {"healthy": "green", "sick": "red", "inconclusive": "yellow"}
TRIAL_COLOURS = {"keep": "green", "revert": "red", "inconclusive": "yellow"}
IN_FULL = 3  # remedies told with reason and change; further ones by name
SHOWN_MISSING = 4
INDENT = 3


def console(stderr: bool = False) -> Console:
    """A console that is plain when it is not a terminal."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def say(out: Console, line: str) -> None:
    """Print a line that a reader may copy or search for: as it is, never broken."""
    out.print(line, markup=False, soft_wrap=True)


def edit_text(edit: Mapping[str, Any]) -> str:
    """An edit as it is typed: `--set a.b=1 --set c=2`."""
    return " ".join(f"--set {shlex.quote(f'{path}={_typed(v)}')}" for path, v in edit.items())


def _typed(value: Any) -> str:
    """A value as YAML that fits on a command line."""
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Metrics on one line, without the prefix of their signals."""
    return "  ".join(f"{name.removeprefix('metric/')} {v:.4g}" for name, v in metrics.items())


def say_diagnosis(out: Console, diagnosis: Diagnosis) -> None:
    """Print verdict, findings with evidence, remedies, notes and what was missing.

    The first finding that has remedies tells them in full. Later findings name what is new, because
    findings of one run mostly share their cause and their cure.
    """
    out.print(f"[bold {COLOURS[diagnosis.verdict]}]{diagnosis.verdict.upper()}[/]  ", end="")
    out.print(_headline(diagnosis))
    told: set[str] = set()
    for number, finding in enumerate(diagnosis.findings, 1):
        _say_finding(out, number, finding, told)
    for note in diagnosis.notes:
        out.print(f"[dim]Normal:[/] {escape(note.summary)} {escape(note.reason)}")
    _say_missing(out, diagnosis)


def _headline(diagnosis: Diagnosis) -> str:
    first, last = diagnosis.steps
    when = f"in steps {first} to {last}" if last else "before the first step"
    if diagnosis.verdict == "sick":
        count = len(diagnosis.findings)
        return f"{count} finding{'s' if count > 1 else ''} {when}"
    if diagnosis.verdict == "healthy":
        found = "nothing wrong" if not diagnosis.findings else "suspicion, nothing sure,"
        return f"{found} found {when}"
    return f"too little was logged to judge steps {first} to {last}"


def _say_finding(out: Console, number: int, finding: Finding, told: set[str]) -> None:
    """Print one finding; `told` holds the remedies that the reader has seen, and grows."""
    out.print(
        f"\n[bold red]{number}. {escape(finding.failure)}[/]"
        f"  since step {finding.since}, confidence {finding.confidence:.0%}"
    )
    _say_indented(out, Text(finding.summary))
    _say_indented(out, _evidence_table(finding.evidence))
    if told:
        _say_new_remedies(out, finding.remedies, told)
    else:
        _say_remedies(out, finding.remedies)
    told.update(r.remedy for r in finding.remedies)


def _say_indented(out: Console, part: RenderableType, by: int = INDENT) -> None:
    out.print(Padding(part, (0, 0, 0, by), expand=False))


def _evidence_table(evidence: Iterable[Evidence]) -> Table:
    """Signals and steps stay whole; what was expected wraps."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("evidence", "observed", "expected", "steps"):
        table.add_column(heading, no_wrap=heading != "expected", overflow="fold")
    for e in evidence:
        table.add_row(
            escape(e.signal),
            escape(_observed(e)),
            escape(e.expected),
            f"{e.window[0]}-{e.window[1]}",
        )
    return table


def _observed(evidence: Evidence) -> str:
    """The value; how the window became one number is said where it is not the median."""
    named = "" if evidence.statistic == "median" else f" ({evidence.statistic})"
    return f"{evidence.observed:.4g}{named}"


def _say_remedies(out: Console, remedies: Sequence[Prescription]) -> None:
    for rank, remedy in enumerate(remedies[:IN_FULL], 1):
        out.print()
        _say_indented(out, _title(f"{rank}.", remedy))
        _say_change(out, remedy)
        _say_indented(out, Text(remedy.why), 2 * INDENT)
        if remedy.caution:
            _say_indented(out, Text(f"Caution: {remedy.caution}", style="yellow"), 2 * INDENT)
    if len(remedies) > IN_FULL:
        out.print()
        _say_rest(out, remedies[IN_FULL:])


def _say_new_remedies(out: Console, remedies: Sequence[Prescription], told: set[str]) -> None:
    new = [r for r in remedies if r.remedy not in told]
    if len(new) < len(remedies):
        also = ", and" if new else ""
        _say_indented(out, Text(f"Treated by remedies above{also}", style="dim"))
    for remedy in new[:IN_FULL]:
        _say_indented(out, _title("-", remedy))
    if len(new) > IN_FULL:
        _say_rest(out, new[IN_FULL:])


def _say_rest(out: Console, remedies: Sequence[Prescription]) -> None:
    more = ", ".join(remedy.remedy for remedy in remedies)
    _say_indented(out, Text(f"Then: {more} (equipoise explain NAME)", style="dim"))


def _title(mark: str, remedy: Prescription) -> Table:
    """Mark, name and title, wrapped beside the mark."""
    row = Table.grid(padding=(0, 1))
    row.add_row(mark, Text.assemble((remedy.remedy, "bold"), f": {remedy.title}"))
    return row


def _say_change(out: Console, remedy: Prescription) -> None:
    """The edit as it is typed, unbroken so that it can be copied; else the change of the code."""
    if remedy.edit:
        out.print(Text(" " * 2 * INDENT + edit_text(remedy.edit), style="cyan"), soft_wrap=True)
    elif remedy.code:
        code = Syntax(remedy.code, "python", background_color="default", word_wrap=True)
        _say_indented(out, code, 2 * INDENT)


def _say_missing(out: Console, diagnosis: Diagnosis) -> None:
    """What was not logged: one line beside a verdict, a list where it is why there is none."""
    missing = diagnosis.missing
    if diagnosis.verdict == "healthy" and missing:
        shows = "; ".join(f"{what} ({name})" for name, what in list(missing.items())[:2])
        out.print(f"[dim]Not judged, because not logged:[/] {escape(shows)}")
    if diagnosis.verdict != "inconclusive":
        return
    for name, what in list(missing.items())[:SHOWN_MISSING]:
        out.print(f"[dim]Not logged:[/] {escape(name)} would show {escape(what)}")
    if len(missing) > SHOWN_MISSING:
        out.print(
            f"[dim]... and {len(missing) - SHOWN_MISSING} more signals (--json lists them)[/]"
        )


def say_next(out: Console, run_dir: Path, diagnosis: Diagnosis) -> None:
    """Print the commands that come next: prove the first remedy, look at the report."""
    folder = shlex.quote(str(run_dir))
    remedies = (r for finding in diagnosis.findings for r in finding.remedies)
    remedy = next((r for r in remedies if r.edit), None)
    out.print()
    if remedy is not None:
        say(out, f"prove it: equipoise trial {folder} --arm {remedy.remedy}")
    say(out, f"look:     equipoise report {folder}")


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """A diagnosis to paste into an issue."""
    lines = [f"**{diagnosis.verdict}**: {_headline(diagnosis)}", ""]
    told: set[str] = set()
    for finding in diagnosis.findings:
        lines += _finding_markdown(finding, told)
        told.update(r.remedy for r in finding.remedies)
    lines += [f"- Normal: {note.summary} {note.reason}" for note in diagnosis.notes]
    lines += [
        f"- Not logged: `{name}` would show {what}" for name, what in diagnosis.missing.items()
    ]
    return "\n".join(lines).rstrip() + "\n"


def _finding_markdown(finding: Finding, told: set[str]) -> Iterator[str]:
    yield f"### {finding.failure}, since step {finding.since} ({finding.confidence:.0%})"
    yield from ("", finding.summary, "")
    yield from ("| signal | observed | expected | steps |", "|---|---|---|---|")
    for e in finding.evidence:
        cells = (f"`{e.signal}`", _observed(e), e.expected, f"{e.window[0]}-{e.window[1]}")
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
    new = [r for r in finding.remedies if r.remedy not in told]
    for rank, remedy in enumerate(new, 1):
        yield from _remedy_markdown(rank, remedy)
    yield ""


def _remedy_markdown(rank: int, remedy: Prescription) -> Iterator[str]:
    edit = f" (`{edit_text(remedy.edit)}`)" if remedy.edit else ""
    yield f"{rank}. **{remedy.remedy}**: {remedy.title}{edit}. {remedy.why}"
    if remedy.code and not remedy.edit:
        yield from ("   ```python", *(f"   {line}" for line in remedy.code.splitlines()), "   ```")


def say_trial(out: Console, row: TrialRow) -> None:
    """Print one arm's figures and verdict."""
    table = Table(title=f"{row.metric} ({row.better} is better)", title_justify="left", box=None)
    for heading in ("seed", row.baseline, row.arm, "improvement"):
        table.add_column(escape(heading), justify="right")
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
            escape(row.metric),
            f"{row.improvement:+.4g}",
            f"{row.p_value:.3g}",
            f"[{colour}]{row.verdict}[/]",
        )
    out.print(table)
