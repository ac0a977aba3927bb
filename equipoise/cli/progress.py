"""The live line of a run: step, kimg, speed, losses, verdict, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from equipoise.clinic import diagnose
from equipoise.cli.say import COLOURS
from equipoise.record import Trace

if TYPE_CHECKING:
    from equipoise.training import Answer, Game, Iteration

REFRESH = 0.25  # seconds between looks at the losses
JUDGE = 2.0  # seconds between verdicts
EARLY = 0.2  # share of the run before which every verdict is premature


class LiveProgress:
    """An observer that draws; on anything but a terminal it prints a line per evaluation."""

    def __init__(self, out: Console, live: bool) -> None:
        self._out = out
        self._live = live and out.is_terminal
        self._loud = live
        self._bar: Progress | None = None
        self._looked = self._judged = 0.0
        self._began = time.perf_counter()
        self._first_step = self._total = 0
        self._verdict = "watching"

    def begin(self, game: Game, step: int) -> None:
        """Start the display."""
        self._total, self._first_step = game.recipe.iterations, step
        self._began = time.perf_counter()
        if self._live:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[line]}"),
                console=self._out, transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(game.recipe.name, total=self._total, line="")

    def after(self, iteration: Iteration) -> Answer:
        """Look now and then; always go on."""
        from equipoise.training import CONTINUE

        now = time.perf_counter()
        if self._bar is not None and now - self._looked >= REFRESH:
            self._looked = now
            self._bar.update(self._task, completed=iteration.step, line=self._line(iteration, now))
        return CONTINUE

    def _line(self, iteration: Iteration, now: float) -> str:
        done = iteration.step - self._first_step
        left = (now - self._began) / max(done, 1) * (self._total - iteration.step)
        speed = iteration.images / max(iteration.seconds, 1e-9)
        loss = {player: float(value) for player, value in iteration.losses.items()}
        colour = COLOURS.get(self._verdict, "dim")
        return (
            f"step {iteration.step}/{self._total}  {iteration.kimg:.1f} kimg  {speed:,.0f} img/s"
            f"  D {loss['discriminator']:.3f}  G {loss['generator']:.3f}"
            f"  [{colour}]{self._verdict}[/]  {left:.0f} s left"
        )

    def measured(self, step: int, metrics: Mapping[str, float]) -> None:
        """Say an evaluation, where there is no live display."""
        if self._loud and not self._live:
            values = "  ".join(f"{k.removeprefix('metric/')} {v:.4g}" for k, v in metrics.items())
            self._out.print(f"step {step}/{self._total}  {values}", markup=False)

    def judge(self, trace: Trace) -> None:
        """Look at the trace so far, not too often."""
        now = time.perf_counter()
        if self._bar is None or now - self._judged < JUDGE:
            return
        self._judged = now
        early = trace.last_step < EARLY * self._total
        self._verdict = "watching" if early else diagnose(trace).verdict

    def end(self) -> None:
        """Take the display away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
