"""The live display of a run: step, kimg, time left; speed, losses, verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from equipoise.cli.say import COLOURS, metrics_text, say
from equipoise.clinic import diagnose
from equipoise.record import Trace

if TYPE_CHECKING:
    from equipoise.training import Answer, Game, Iteration

REFRESH = 0.25  # seconds between looks at the losses
JUDGE = 2.0  # seconds between verdicts
EARLY = 0.2  # share of the run before which every verdict is premature
BAR = 24  # columns, where the terminal has room


class LiveProgress:
    """An observer that draws; on anything but a terminal it prints a line per evaluation."""

    def __init__(self, out: Console, live: bool, folder: Path | None = None) -> None:
        """`folder`, where the run goes, is told when it begins: a refused run has none."""
        self._out = out
        self._drawn = live and out.is_terminal
        self._loud = live and not out.is_terminal
        self._folder = folder
        self._display: Live | None = None
        self._looked = self._judged = 0.0
        self._began = time.perf_counter()
        self._name = ""
        self._first_step = self._total = 0
        self._verdict = "watching"

    def begin(self, game: Game, step: int) -> None:
        """Start the display."""
        if self._folder is not None:
            say(self._out, f"run directory: {self._folder}")
            self._folder = None
        self._name, self._total, self._first_step = game.recipe.name, game.recipe.iterations, step
        self._began = time.perf_counter()
        if self._drawn:
            self._display = Live(console=self._out, transient=True, auto_refresh=False)
            self._display.start()

    def after(self, iteration: Iteration) -> Answer:
        """Look now and then; always go on."""
        from equipoise.training import CONTINUE

        now = time.perf_counter()
        if self._display is not None and now - self._looked >= REFRESH:
            self._looked = now
            self._display.update(self._picture(iteration, now), refresh=True)
        return CONTINUE

    def _picture(self, iteration: Iteration, now: float) -> Group:
        done = iteration.step - self._first_step
        left = (now - self._began) / max(done, 1) * (self._total - iteration.step)
        where = (
            f"step {iteration.step}/{self._total}  {iteration.kimg:.1f} kimg  {clock(left)} left"
        )
        room = self._out.width - len(self._name) - len(where) - 4
        bar = ProgressBar(self._total, iteration.step, width=max(4, min(BAR, room)))
        top = Table.grid(padding=(0, 2))
        top.add_row(Text(self._name, overflow="ellipsis"), bar, Text(where, no_wrap=True))
        return Group(top, Text.from_markup(self._state(iteration)))

    def _state(self, iteration: Iteration) -> str:
        speed = iteration.images / max(iteration.seconds, 1e-9)
        losses = "  ".join(
            f"{escape(player)} {float(loss):.3f}" for player, loss in iteration.losses.items()
        )
        colour = COLOURS.get(self._verdict, "dim")
        return f"[{colour}]{self._verdict}[/]  {speed:,.0f} img/s  loss: {losses}"

    def measured(self, step: int, metrics: Mapping[str, float]) -> None:
        """Say an evaluation, where there is no live display."""
        if self._loud:
            say(self._out, f"step {step}/{self._total}  {metrics_text(metrics)}")

    def judge(self, trace: Trace) -> None:
        """Look at the trace so far, not too often."""
        now = time.perf_counter()
        if self._display is None or now - self._judged < JUDGE:
            return
        self._judged = now
        early = trace.last_step < EARLY * self._total
        self._verdict = "watching" if early else diagnose(trace).verdict

    def end(self) -> None:
        """Take the display away."""
        if self._display is not None:
            self._display.stop()
            self._display = None


def clock(seconds: float) -> str:
    """A duration: "42 s", "3:05", "1:02:03".

    >>> clock(185.2)
    '3:05'
    """
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if whole < 100:
        return f"{whole} s"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
