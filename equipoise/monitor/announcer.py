"""Who is told of a finding, and when the run is judged while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from equipoise.errors import StopTraining
from equipoise.monitor.arguments import OnFinding
from equipoise.monitor.governor import Governor
from equipoise.record import Finding

JUDGED_EVERY = 20  # judged at every tick first, later whenever a run has grown by one part in 20
PURSE = "judge"


class Announcer:
    """Judges a growing run now and then, and tells each failure once.

    Attributes:
        known: failures that were announced.
    """

    def __init__(
        self,
        on_finding: OnFinding,
        governor: Governor,
        findings: Callable[[], Sequence[Finding]],
        noted: Callable[[Finding], None],
    ) -> None:
        """`findings()` judges the run; `noted` is told of each new finding first."""
        self.known: set[str] = set()
        self._on_finding, self._governor = on_finding, governor
        self._findings, self._noted = findings, noted
        self._judge_at = 1
        self._seconds = 0.0  # that judging took the last time

    def due(self, ticks: int) -> bool:
        """Whether the run is to be judged after so many ticks, and can be afforded now."""
        return ticks >= self._judge_at and self._governor.affords(self._seconds, PURSE)

    def judge(self, ticks: int) -> list[Finding]:
        """New findings; the next judgement is due when the run has grown."""
        self._judge_at = ticks + max(1, ticks // JUDGED_EVERY)
        began = time.perf_counter()
        try:
            return self.new()
        finally:
            self._seconds = time.perf_counter() - began
            self._governor.charge(self._seconds, reading=False, purse=PURSE)

    def new(self) -> list[Finding]:
        """Findings not announced before."""
        found = [f for f in self._findings() if f.failure not in self.known]
        for finding in found:
            self.known.add(finding.failure)
            self._noted(finding)
        return found

    def act(self, finding: Finding, step: int) -> None:
        """Do with a finding what the user asked for.

        Raises:
            StopTraining: the user asked for "stop". What a callable raises is the loop's own.
        """
        if self._on_finding == "stop":
            raise StopTraining(f"step {step}: {finding.failure}: {finding.summary}")
        if self._on_finding == "warn":
            print(f"equipoise: step {step}: {finding.summary}", file=sys.stderr)
        elif callable(self._on_finding):
            self._on_finding(finding)
