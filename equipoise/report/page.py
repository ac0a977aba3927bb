"""One HTML page that tells a run: it asks nothing of the network and holds all that it shows."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

from equipoise.errors import need
from equipoise.recipe import Recipe, dump
from equipoise.record import Diagnosis, Finding, Series, Trace, TrialRow, write_text
from equipoise.report import words
from equipoise.report.recipes import changes, edit_text, text
from equipoise.report.thinning import POINTS, kept

LEDGER_ROWS = 300  # the newest that the page shows
READINGS = 60_000  # of all curves together, about 0.7 MB on the page
_FEWEST = 200  # readings of a curve, however many curves there are
_EXTRA = ("plotly", "jinja2", "PIL")


@dataclass(frozen=True)
class Subject:
    """All that a report is told from; see `write_report`."""

    title: str
    trace: Trace
    diagnosis: Diagnosis | None = None
    recipe: Recipe | None = None
    trials: Sequence[TrialRow] = ()
    ledger: Sequence[TrialRow] = ()
    preset: Recipe | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, the likeliest first; nothing when the run was not judged."""
        return self.diagnosis.findings if self.diagnosis else ()

    @property
    def onset(self) -> int | None:
        """Since when the likeliest failure is there."""
        return self.findings[0].since if self.findings else None


@dataclass(frozen=True)
class Card:
    """A drawn figure as the page places it."""

    title: str
    caption: str
    alt: str
    json: str
    height: int


def write_report(
    path: Path,
    *,
    title: str,
    trace: Trace,
    diagnosis: Diagnosis | None,
    recipe: Recipe | None,
    trials: Sequence[TrialRow] = (),
    ledger: Sequence[TrialRow] = (),
    preset: Recipe | None = None,
) -> Path:
    """Write one self-contained HTML page (under 8 MB) and return its path.

    Told in order: verdict and findings, curves, samples, `trials`, `ledger`, `recipe` (with its
    difference from `preset`). What is None, empty or unreadable is left out, and the page says so.

    Raises:
        MissingExtraError: plotly, jinja2 or pillow is not installed.
        RecordError: `path` cannot be written; an older file there is kept.
    """
    subject = Subject(title, trace, diagnosis, recipe, trials, ledger, preset)
    page = render(subject)
    write_text(Path(path), page.encode("utf-8", "replace").decode())  # lone surrogates from logs
    return Path(path)


def render(subject: Subject) -> str:
    """The page as text."""
    figures, gallery = _drawing_rooms()
    subject = replace(subject, trace=lean(subject.trace))
    onset, trace = subject.onset, subject.trace
    galleries = [gallery.samples(trace, onset), gallery.interpolation(trace, onset)]
    return _template().render(
        subject=subject,
        diagnosis=subject.diagnosis,
        findings=subject.findings,
        evidence=_evidence_cards(figures, subject),
        curves=_curve_cards(figures, trace, onset),
        others=_other_cards(figures, trace, onset),
        galleries=[(g, _gallery_card(g)) for g in galleries if g.frames],
        skipped=gallery.skipped_lines(galleries),
        trials=[(row, _trial_card(figures, row)) for row in subject.trials],
        ledger=sorted(subject.ledger, key=lambda row: row.created, reverse=True)[:LEDGER_ROWS],
        left_out=max(0, len(subject.ledger) - LEDGER_ROWS),
        recipe_text=dump(subject.recipe) if subject.recipe else "",
        changes=changes(subject.preset, subject.recipe)
        if subject.preset and subject.recipe
        else None,
        environment=_environment(trace),
        facts=_facts(trace),
    )


def lean(trace: Trace) -> Trace:
    """The trace with its series thinned so that all of them together fit the page.

    Up to `READINGS` / 2,000 signals nothing is lost that a chart would draw. Logits are left whole,
    because their band needs mean and spread at the same steps.
    """
    limit = max(_FEWEST, min(POINTS, READINGS // max(1, len(trace.signals))))
    thinned = {
        name: series if limit == POINTS or name.startswith("logits/") else _thin(series, limit)
        for name, series in trace.signals.items()
    }
    return replace(trace, signals=thinned)


def _thin(series: Series, limit: int) -> Series:
    keep = kept(series.values, limit)
    return Series(series.steps[keep], series.values[keep])


def _drawing_rooms() -> tuple[ModuleType, ModuleType]:
    """The modules that draw, or the error that names the extra they need."""
    for module in _EXTRA:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise need("pillow" if module == "PIL" else module, "report") from error
    from equipoise.report import figures, gallery

    return figures, gallery


def _template() -> Any:
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("equipoise.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("human", "joined", "meaning", "number", "p_value", "plain", "trial_sentence", "whole")
    environment.filters |= {name: getattr(words, name) for name in names}
    environment.filters |= {"edit": edit_text, "yaml": text, "script": _script}
    files = resources.files("equipoise.report") / "templates"
    environment.globals |= {
        "style": Markup((files / "page.css").read_text(encoding="utf-8")),
        "behaviour": Markup((files / "page.js").read_text(encoding="utf-8")),
        "plotly": Markup(get_plotlyjs()),
        "headline": words.headline,
        "verdicts": words.VERDICTS,
        "trial_verdicts": words.TRIAL_VERDICTS,
        "takes_effect": words.TAKES_EFFECT,
    }
    return environment.get_template("page.html")


def _script(value: Any) -> Any:
    """JSON, as text or as a value, that cannot end the script element around it."""
    from markupsafe import Markup

    raw = value if isinstance(value, str) else json.dumps(value)
    return Markup(raw.replace("<", "\\u003c").replace("\u2028", "\\u2028"))


def _card(title: str, caption: str, alt: str, figure: Any) -> Card:
    return Card(title, caption, alt, figure.to_json(), int(figure.layout.height))


def _chart_cards(module: Any, charts: Iterable[Any]) -> list[Card]:
    return [_card(c.title, c.caption, c.alt, module.draw(c)) for c in charts]


def _curve_cards(figures: Any, trace: Trace, onset: int | None) -> list[Card]:
    return [c for one in figures.CURVES for c in _chart_cards(one, one.data(trace, onset))]


def _other_cards(figures: Any, trace: Trace, onset: int | None) -> list[Card]:
    shown = tuple(prefix for one in figures.CURVES for prefix in one.SHOWS)
    return _chart_cards(figures.others, figures.others.data(trace, onset, shown))


def _evidence_cards(figures: Any, subject: Subject) -> list[tuple[Any, list[Card], list[str]]]:
    """Per finding: its charts, and the names of signals that the trace does not hold."""
    cards = []
    for finding in subject.findings:
        charts = [figures.evidence.data(subject.trace, e, finding.since) for e in finding.evidence]
        drawn = [c for found in charts for c in _chart_cards(figures.evidence, found)]
        absent = [e.signal for e, found in zip(finding.evidence, charts, strict=True) if not found]
        cards.append((finding, drawn, absent))
    return cards


def _gallery_card(gallery: Any) -> Card | None:
    if gallery.figure is None:
        return None
    return _card(gallery.title, gallery.caption, gallery.frames[-1].alt, gallery.figure)


def _trial_card(figures: Any, row: TrialRow) -> Card:
    pairs = figures.paired.data(row)
    return _card(
        f"Improvement of {row.metric}, pair by pair", "", pairs.alt, figures.paired.draw(pairs)
    )


def _environment(trace: Trace) -> dict[str, str]:
    found = trace.facts.get("environment")
    return {str(k): _plain(v) for k, v in found.items()} if isinstance(found, Mapping) else {}


def _facts(trace: Trace) -> dict[str, str]:
    """What was played, in a few words for the head of the page."""
    facts = {k: _plain(trace.header[k]) for k in ("objective", "batch") if trace.header.get(k)}
    steps = [s.steps for s in trace.signals.values() if len(s)]
    if steps:
        facts["last step"] = words.whole(int(max(s[-1] for s in steps)))
    for name, series in (("kimg", trace.kimg.finite()), ("seconds", trace.seconds.finite())):
        if len(series):
            facts[name] = words.number(series.last)
    facts["signals"] = words.whole(len(trace.signals))
    if trace.damaged:
        facts["unreadable lines"] = words.whole(trace.damaged)
    return facts


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
