"""What do we make of real logs? Every case of the labelled collections, with and without metrics.

    python -m benchmarks.cases [--cases FOLDER] [--json FILE]

`FOLDER` (default: `shared/cases` beside the project, or above it) holds `studiogan/` (whole runs of
a public benchmark; the label and the onset come from its FID) and `public/` (excerpts that people
posted; the label comes from the thread). A run of `studiogan` is judged as it is, and again with
every line that states a metric removed. Right means:

* collapse: sick, named one of the failures that an FID that doubles may be, from within one
  evaluation of the step where the FID passed twice its best;
* degrade, never_learned: sick, named `stagnation`, `divergence` or what a collapse is named;
* stable, healthy: not sick;
* without metrics, and of an excerpt that was cut from a longer log, a sick run may be
  `inconclusive` (*open*): some collapses leave no mark on any loss. Never `healthy`.

Ends with 1 when a log is unread, a well run called sick, or a whole sick run with metrics missed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equipoise import diagnose
from equipoise.errors import RecordError
from equipoise.logs import read_log
from equipoise.record import Trace

_METRIC_LINE = re.compile(
    r"\b(?:FID|IS|KID|inception|precision|recall|density|coverage|F_?(?:beta|1/8|8))\b[^:=]{0,60}"
    r"[:=]|fid\d+k|_mean\"",
    re.IGNORECASE,
)
# What an FID that more than doubles, or that never falls, may rightly be named.
COLLAPSE = ("mode_collapse", "divergence", "discriminator_overfitting", "discriminator_dominance")
DECLINE = ("stagnation", "divergence", *COLLAPSE)
STUDIOGAN = {
    "collapse": COLLAPSE,
    "degrade": DECLINE,
    "never_learned": DECLINE,
    "stable": (),
}
PUBLIC = {
    "discriminator_overpowers": ("discriminator_dominance", "vanishing_gradient"),
    "exploding_gradient_or_nan": ("exploding_gradient", "non_finite", "divergence"),
    "oscillation_non_convergence": ("oscillation", "stagnation", "divergence"),
    "bn_leak_or_norm_issue": ("batch_norm_leak", "vanishing_gradient", "stagnation"),
    "data_range_or_pipeline_bug": ("data_range_mismatch", "broken_metric"),
    "other": ("broken_metric",),
}


@dataclass(frozen=True)
class Case:
    """One log with what is known about it: `onset` in steps, None where nobody labelled it."""

    name: str
    path: Path
    label: str
    sick: bool
    named: tuple[str, ...]
    onset: int | None = None
    whole: bool = True


@dataclass(frozen=True)
class Judged:
    """A case and what was said of it.

    `mark` is right, open (undecided, though the run was sick), missed, wrong name, wrong onset,
    false alarm or unread; `off` the distance to the labelled onset in evaluations.
    """

    name: str
    kind: str
    label: str
    verdict: str
    first: str
    since: int | None
    onset: int | None
    off: float | None
    mark: str


def collection(folder: Path) -> Iterator[Case]:
    """The cases of both collections."""
    for name, entry in sorted(_index(folder / "studiogan").items()):
        label = entry["label"]
        onset = entry["onset_fid_doubles"]
        path = folder / "studiogan" / name
        yield Case(name, path, label, label != "stable", STUDIOGAN[label], onset)
    for name, entry in sorted(_index(folder / "public").items()):
        names = tuple(f for label in entry["labels"] for f in PUBLIC.get(label, ()))
        label = ", ".join(entry["labels"])
        path = folder / "public" / name
        yield Case(name, path, label, not entry["healthy"], names, whole=entry["complete"])


def _index(folder: Path) -> dict[str, dict[str, Any]]:
    index: dict[str, dict[str, Any]] = json.loads((folder / "index.json").read_text("utf-8"))
    return index


def judge(case: Case, kind: str, path: Path, evaluation: float) -> Judged:
    """Diagnose the log at `path`; `evaluation`: steps between two evaluations of the whole log."""
    try:
        diagnosis = diagnose(path)
    except RecordError:
        mark = "unread" if kind == "as it is" else "open"  # it held nothing but metrics
        return Judged(case.name, kind, case.label, "-", "-", None, case.onset, None, mark)
    first = diagnosis.findings[0] if diagnosis.findings else None
    sick = diagnosis.verdict == "sick"
    since = first.since if first else None
    off = None
    if case.onset is not None and since is not None and evaluation > 0:
        off = (since - case.onset) / evaluation
    name = first.failure if first else "-"
    mark = _mark(case, kind, diagnosis.verdict, name if sick else "-", off)
    return Judged(
        case.name, kind, case.label, diagnosis.verdict, name, since, case.onset, off, mark
    )


def _mark(case: Case, kind: str, verdict: str, first: str, off: float | None) -> str:
    if not case.sick:
        return "false alarm" if verdict == "sick" else "right"
    if verdict != "sick":
        undecided = verdict == "inconclusive" and (kind != "as it is" or not case.whole)
        return "open" if undecided else "missed"
    if first not in case.named:
        return "wrong name"
    exact = off is None or abs(off) <= 1
    return "right" if exact or kind != "as it is" else "wrong onset"


def spacing(trace: Trace) -> float:
    """Median steps between two evaluations of FID, 0 where there are fewer than two."""
    steps = trace.series("metric/fid").steps
    return float(np.median(np.diff(steps))) if len(steps) > 1 else 0.0


def judged(case: Case, folder: Path) -> list[Judged]:
    """The case as it is and, if it is a whole run with metrics, without their lines."""
    try:
        evaluation = spacing(read_log(case.path))
    except RecordError:
        evaluation = 0.0
    rows = [judge(case, "as it is", case.path, evaluation)]
    if case.path.parent.name == "studiogan":
        bare = folder / "bare.log"
        text = case.path.read_text("utf-8", "replace")
        kept = [line for line in text.splitlines() if not _METRIC_LINE.search(line)]
        bare.write_text("\n".join(kept) + "\n", "utf-8")
        rows.append(judge(case, "no metrics", bare, evaluation))
    return rows


def counts(rows: list[Judged]) -> dict[str, str]:
    """The figures that the issue asks for, in words."""
    with_fid = [r for r in rows if r.kind == "as it is"]
    without = [r for r in rows if r.kind == "no metrics"]
    told: dict[str, str] = {}
    for kind, part in (("as it is", with_fid), ("no metrics", without)):
        falls = [r for r in part if r.label == "collapse"]
        declines = [r for r in part if r.label in ("degrade", "never_learned")]
        stable = [r for r in part if r.label == "stable"]
        found = [r for r in falls if r.verdict == "sick"]
        near = [r for r in found if r.off is not None and abs(r.off) <= 1]
        told[f"{kind}: collapses found"] = f"{len(found)} of {len(falls)}"
        told[f"{kind}: onset within one evaluation"] = f"{len(near)} of {len(falls)}"
        sick = sum(r.verdict == "sick" for r in declines)
        told[f"{kind}: declines found"] = f"{sick} of {len(declines)}"
        alarms = sum(r.verdict == "sick" for r in stable)
        told[f"{kind}: stable runs called sick"] = f"{alarms} of {len(stable)}"
    marks = Counter(r.mark for r in rows if r.label not in STUDIOGAN)
    told["public"] = ", ".join(f"{n} {mark}" for mark, n in marks.most_common())
    return told


def table(rows: list[Judged]) -> str:
    """The rows as Markdown."""
    head = ("case", "lines", "label", "verdict", "first", "since", "onset", "off", "mark")
    lines = [_cells(head), _cells(("---",) * len(head))]
    for r in rows:
        off = "-" if r.off is None else f"{r.off:+.1f}"
        since, onset = ("-" if v is None else str(v) for v in (r.since, r.onset))
        name = re.sub(r"-train-[\d_]+\.log$", "", r.name)
        shown = (name, r.kind, r.label, r.verdict, r.first, since, onset, off, r.mark)
        lines.append(_cells(shown))
    return "\n".join(lines)


def _cells(values: tuple[str, ...]) -> str:
    return f"| {' | '.join(values)} |"


def find_cases() -> Path | None:
    """`shared/cases`, beside one of the folders above this file."""
    folders = (above / "shared" / "cases" for above in Path(__file__).resolve().parents)
    return next((folder for folder in folders if folder.is_dir()), None)


def main() -> int:
    """Judge all, print the table and the counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cases", description=__doc__)
    parser.add_argument("--cases", type=Path, default=find_cases())
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    options = parser.parse_args()
    if options.cases is None or not options.cases.is_dir():
        parser.error(f"no folder of cases at {options.cases}; give --cases FOLDER")
    with tempfile.TemporaryDirectory() as scratch:
        rows = [r for case in collection(options.cases) for r in judged(case, Path(scratch))]
    told = counts(rows)
    print(table(rows), "\n\n" + "\n".join(f"{what}: {figure}" for what, figure in told.items()))
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n", "utf-8")
    return 1 if any(r.mark in ("false alarm", "missed", "unread") for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
