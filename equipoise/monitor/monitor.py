"""The monitor: attach it to any adversarial loop, call `observe` once per iteration."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from equipoise.clinic import diagnose
from equipoise.errors import StopTraining, unknown
from equipoise.game import OBJECTIVES
from equipoise.monitor.governor import Governor
from equipoise.monitor.history import History
from equipoise.monitor.infer import inferred_objective
from equipoise.monitor.player import Player
from equipoise.monitor.probes import held_out_logits
from equipoise.monitor.readings import (
    batch_readings,
    diversity_readings,
    flat_logits,
    pair_readings,
    side_readings,
)
from equipoise.monitor.tick import Tick
from equipoise.record import Diagnosis, Finding, Trace

Modules = nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module] | None
Optimizers = (
    torch.optim.Optimizer
    | Sequence[torch.optim.Optimizer]
    | Mapping[str, torch.optim.Optimizer]
    | None
)
OnFinding = Literal["warn", "stop"] | Callable[[Finding], None] | None

LOSS_NAMES = {"d": "discriminator", "g": "generator"}
METRIC_NAMES = frozenset({"fid", "kid", "precision", "recall", "density", "coverage"})


class Monitor:
    """Watches an adversarial training run and says whether it is well.

    Measuring never changes training: the monitor reads detached values, in the optimizers' own step
    hooks and in `observe`, draws no random numbers, and leaves gradients, buffers and modes alone.

    >>> monitor = Monitor(generator, discriminator, g_optimizer, d_optimizer)   # doctest: +SKIP
    >>> monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f,           # doctest: +SKIP
    ...                 losses={"discriminator": ld, "generator": lg})
    >>> print(monitor.diagnose().verdict)                                       # doctest: +SKIP
    """

    def __init__(
        self,
        generator: Modules,
        discriminator: Modules,
        generator_optimizer: Optimizers = None,
        discriminator_optimizer: Optimizers = None,
        *,
        held_out: Tensor | None = None,
        objective: str | None = None,
        run_dir: str | os.PathLike[str] | None = None,
        overhead: float = 0.01,
        on_finding: OnFinding = None,
        tick: int = 50,
        schedule: Literal["adaptive", "fixed"] = "adaptive",
        stride: int = 10,
        header: Mapping[str, Any] | None = None,
    ) -> None:
        """Attach to the players.

        Args:
            generator, discriminator: a module, several as a list or mapping, or None.
            generator_optimizer, discriminator_optimizer: likewise; their step hooks are used.
                Without them gradients are read at `observe`, untagged, and movement is unknown.
            held_out: reals never trained on, (N, ...); lets overfitting be told from dominance.
            objective: "non_saturating", "hinge", "relativistic"; None = inferred, and said so.
            run_dir: where the trace is written; None keeps it in memory.
            overhead: share of the loop's time that watching may cost, in (0, 1].
            on_finding: "warn" prints, "stop" raises `StopTraining` from `observe`, a callable is
                called with each new finding.
            tick: observes between two rows of the trace.
            schedule: "adaptive" holds `overhead`; "fixed" reads every `stride` observes.
            header: further entries for the trace's header.

        Raises:
            ValueError: an argument out of its range.
        """
        _check(objective, overhead, on_finding, tick, schedule, stride)
        self._tick_length = tick
        self._governor = Governor(overhead, schedule, stride)
        self._tick = Tick()
        self._held_out = held_out
        self._discriminators = list(_named(discriminator, "discriminator").values())
        self._objective = objective
        self._on_finding = on_finding
        self._announced: set[str] = set()
        self._failed = False
        self._step = self._observed = self._images = 0
        players = _named(generator, "generator"), _named(discriminator, "discriminator")
        optimizers = (
            _named(generator_optimizer, "generator"),
            _named(discriminator_optimizer, "discriminator"),
        )
        self._players = [
            Player(name, modules, optimizer, self._tick.add, self._guarded)
            for side, optims in zip(players, optimizers, strict=True)
            for name, modules, optimizer in _matched(side, optims)
        ]
        self._history = History(
            Path(run_dir) if run_dir is not None else None,
            {
                "objective": objective,
                "players": [p.name for p in self._players],
                "adversarial_start": 0,
                **(header or {}),
            },
        )
        self._history.fact("gradients", "tagged" if self._tagged else "untagged, read at observe")
        self._want_next()

    def observe(
        self,
        *,
        real: Tensor | None = None,
        fake: Tensor | None = None,
        real_logits: Any = None,
        fake_logits: Any = None,
        generator_logits: Any = None,
        losses: Mapping[str, Tensor | float] | None = None,
        adaptive_weight: Tensor | float | None = None,
        step: int | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """Close an iteration. Every argument is optional; what is passed is read and let go.

        Args:
            real, fake: batches (N, ...).
            real_logits, fake_logits: one pair under one set of the discriminator's weights.
            generator_logits: logits of the generator's step.
            losses: by player or term; "d" and "g" are understood.
            adaptive_weight: weight of the adversarial term, where the loop computes one.
            step: overrides the count of iterations.
            scalars: further numbers by name; `fid=...` becomes "metric/fid".

        Raises:
            StopTraining: `on_finding="stop"` and something was found.
        """
        if self._failed:
            return
        self._governor.start()
        began = time.perf_counter()
        reading = self._reading
        self._step = self._step + 1 if step is None else int(step)
        self._observed += 1
        self._images += len(real) if real is not None else 0
        if reading:
            given = (real, fake, real_logits, fake_logits, generator_logits)
            self._safely(lambda: self._read(*given, losses or {}, adaptive_weight))
        for name, value in scalars.items():
            self._tick.add(f"metric/{name}" if name in METRIC_NAMES else name, value)
        if self._observed % self._tick_length == 0:
            self._safely(self._close_tick)
        self._governor.charge(time.perf_counter() - began, reading)
        self._want_next()
        if self._on_finding is not None and self._observed % self._tick_length == 0:
            self._announce()

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Add values measured elsewhere (an evaluation's metrics) to the trace in memory."""
        self._history.add(step, self._images / 1000, self._governor.elapsed, values, write=False)

    def diagnose(self) -> Diagnosis:
        """Judge the run so far."""
        return diagnose(self.trace())

    def trace(self) -> Trace:
        """The run so far, as rules read it."""
        return self._history.trace()

    def close(self) -> None:
        """Write what is pending, remove the hooks; doing so twice does nothing."""
        for player in self._players:
            player.detach()
        if not self._history.closed:
            if self._observed % self._tick_length:
                self._safely(self._close_tick)
            self._history.close()

    def state_dict(self) -> dict[str, Any]:
        """Counters for resuming; the readings themselves are in the trace."""
        updates = {p.name: p.updates for p in self._players}
        return {
            "step": self._step,
            "observed": self._observed,
            "images": self._images,
            "updates": updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from a former `state_dict`."""
        self._step, self._observed = int(state["step"]), int(state["observed"])
        self._images = int(state["images"])
        for player in self._players:
            player.updates = int(state["updates"].get(player.name, 0))
        self._want_next()

    def adopt(self, trace: Trace, step: int, images: int) -> None:
        """Go on from what an earlier process wrote up to `step`; later readings are void."""
        self._history.adopt(trace, step)
        self._step, self._observed, self._images = step, step, images
        for player in self._players:
            player.updates = int(self._history.last(f"updates/{player.name}"))
        self._announced = self._history.found()
        self._want_next()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _tagged(self) -> bool:
        return all(p.optimizer is not None for p in self._players)

    def _want_next(self) -> None:
        """Decide whether the next iteration is read, so that its hooks know."""
        self._reading = self._governor.reads(self._observed)
        for player in self._players:
            player.wanted = self._reading

    def _read(
        self,
        real: Tensor | None,
        fake: Tensor | None,
        real_logits: Any,
        fake_logits: Any,
        generator_logits: Any,
        losses: Mapping[str, Tensor | float],
        adaptive_weight: Tensor | float | None,
    ) -> None:
        add = self._tick.add
        for name, value in losses.items():
            add(f"loss/{LOSS_NAMES.get(name, name)}", value)
        if adaptive_weight is not None:
            add("adaptive_weight", adaptive_weight)
        readings: dict[str, Tensor] = {}
        with torch.no_grad():
            sides = {
                side: flat_logits(logits)
                for side, logits in (("real", real_logits), ("fake", fake_logits))
                if logits is not None
            }
            for side, logits in sides.items():
                readings |= side_readings(logits, side)
            if len(sides) == 2:
                relativistic = self._is_relativistic(sides, losses)
                readings |= pair_readings(sides["real"], sides["fake"], relativistic)
            if generator_logits is not None:
                readings["logits/generator/mean"] = flat_logits(generator_logits).mean()
            for side, batch in (("real", real), ("fake", fake)):
                if batch is not None:
                    readings |= batch_readings(batch, side)
            if real is not None and fake is not None:
                readings |= diversity_readings(real, fake)
            for player in self._players:
                if player.optimizer is None:
                    player.read_gradients()
        for name, reading in readings.items():
            add(name, reading)

    def _is_relativistic(
        self, sides: Mapping[str, Tensor], losses: Mapping[str, Tensor | float]
    ) -> bool:
        if self._objective is None and "objective" not in self._history.facts:
            loss = losses.get("discriminator", losses.get("d"))
            found, how = inferred_objective(sides["real"], sides["fake"], loss)
            self._history.fact("objective", {"name": found, "how": how})
        known = self._history.facts.get("objective", {}).get("name", self._objective)
        return known in OBJECTIVES and OBJECTIVES[known].pairs

    def _close_tick(self) -> None:
        if self._held_out is not None and self._discriminators:
            logits = held_out_logits(self._discriminators[0], self._held_out)
            self._tick.add("logits/held_out/mean", logits.mean())
        values = self._tick.fetch()
        for player in self._players:
            if player.optimizer is not None:
                values[f"updates/{player.name}"] = player.updates
                values[f"learning_rate/{player.name}"] = player.learning_rate or 0.0
        values["cost/monitor"] = self._governor.share
        self._history.add(self._step, self._images / 1000, self._governor.elapsed, values)

    def _announce(self) -> None:
        began = time.perf_counter()
        findings = [f for f in self.diagnose().findings if f.failure not in self._announced]
        self._governor.charge(time.perf_counter() - began, reading=False)
        for finding in findings:
            self._announced.add(finding.failure)
            self._history.event(self._step, "finding", finding)
            if self._on_finding == "stop":
                raise StopTraining(f"step {self._step}: {finding.failure}: {finding.summary}")
            if self._on_finding == "warn":
                print(f"equipoise: step {self._step}: {finding.summary}", file=sys.stderr)
            elif callable(self._on_finding):
                self._on_finding(finding)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a hook's reading: timed, without gradients, and never in the loop's way."""
        began = time.perf_counter()
        with torch.no_grad():
            self._safely(work)
        self._governor.charge(time.perf_counter() - began, reading=False)

    def _safely(self, work: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            work()
        except Exception:
            self._failed = True
            print(
                "equipoise: the monitor failed and is off; training goes on. Please report this:\n"
                + traceback.format_exc(),
                file=sys.stderr,
            )


def _check(
    objective: str | None,
    overhead: float,
    on_finding: OnFinding,
    tick: int,
    schedule: str,
    stride: int,
) -> None:
    if objective is not None and objective not in OBJECTIVES:
        raise ValueError(unknown("objective", objective, OBJECTIVES))
    if not 0 < overhead <= 1:
        raise ValueError(f"overhead = {overhead!r}: a share of the step time in (0, 1], e.g. 0.01")
    if tick < 1 or stride < 1:
        raise ValueError(f"tick = {tick!r}, stride = {stride!r}: both must be at least 1")
    if schedule not in ("adaptive", "fixed"):
        raise ValueError(f"schedule = {schedule!r}: 'adaptive' or 'fixed'")
    if on_finding is not None and on_finding not in ("warn", "stop") and not callable(on_finding):
        raise ValueError(f"on_finding = {on_finding!r}: 'warn', 'stop' or a callable")


def _named(value: Any, name: str) -> dict[str, Any]:
    """One thing, a list or a mapping as {name: thing}."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return {f"{name}_{i}" if len(value) > 1 else name: v for i, v in enumerate(value)}
    return {name: value}


def _matched(
    modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer]
) -> list[tuple[str, list[nn.Module], torch.optim.Optimizer | None]]:
    """Each player with its modules and optimizer; one optimizer for several modules merges them."""
    if len(modules) > 1 and len(optimizers) == 1:
        (name, optimizer), *_ = optimizers.items()
        return [(name, list(modules.values()), optimizer)]
    names = list(modules) + [n for n in optimizers if n not in modules]
    return [(n, [modules[n]] if n in modules else [], optimizers.get(n)) for n in names]
