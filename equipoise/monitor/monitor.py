"""The monitor: attach it to any adversarial loop, call `observe` once per iteration."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from equipoise.clinic import diagnose
from equipoise.errors import EquipoiseError, StopTraining
from equipoise.game import OBJECTIVES
from equipoise.monitor.announcer import Announcer
from equipoise.monitor.arguments import ROLES, Modules, OnFinding, Optimizers, check, seats
from equipoise.monitor.audit import Audit, callables
from equipoise.monitor.capture import Callables, Capture, Given, HeldOut
from equipoise.monitor.governor import Governor
from equipoise.monitor.history import History
from equipoise.monitor.infer import Inference
from equipoise.monitor.observation import Observation
from equipoise.monitor.player import Player
from equipoise.monitor.probing import Probing, chosen, interval, playable
from equipoise.monitor.pull import Pull
from equipoise.monitor.ranks import Company
from equipoise.monitor.readings import whole_logits
from equipoise.monitor.sinks import Sink, Sinks, Tap
from equipoise.monitor.terms import Terms
from equipoise.monitor.tick import Tick
from equipoise.record import Diagnosis, Finding, Trace

Scalers = torch.amp.GradScaler | Mapping[str, torch.amp.GradScaler] | None
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

    on_attach: ClassVar[Callable[[Monitor], None] | None] = None  # `equipoise audit` sets it

    def __init__(
        self,
        generator: Modules,
        discriminator: Modules,
        generator_optimizer: Optimizers = None,
        discriminator_optimizer: Optimizers = None,
        *,
        held_out: HeldOut = None,
        objective: str | None = None,
        run_dir: str | os.PathLike[str] | None = None,
        overhead: float = 0.01,
        on_finding: OnFinding = None,
        tick: int = 50,
        schedule: Literal["adaptive", "fixed"] = "adaptive",
        stride: int = 10,
        adversarial_start: int = 0,
        generate: Callables = None,
        discriminate: Callables = None,
        training: Tensor | None = None,
        latents: Tensor | None = None,
        penalties: Mapping[str, float] | None = None,
        probes: Sequence[str] | None = None,
        header: Mapping[str, Any] | None = None,
        sinks: Sequence[Sink | Tap] = (),
        scaler: Scalers = None,
        process_group: Any = None,
    ) -> None:
        """Attach to the players.

        Args:
            generator, discriminator: a module, several as a list or mapping, or None.
            generator_optimizer, discriminator_optimizer: likewise; their step hooks are used.
                Without them gradients are read at `observe`, untagged, and movement is unknown.
            held_out: reals never trained on, (N, ...), or (reals, labels); lets overfitting be told
                from dominance, and memorizing from learning.
            objective: a name of `equipoise.game.OBJECTIVES`; None = inferred, and said so.
            run_dir: where the trace is written; None keeps it in memory.
            overhead: share of the loop's time that watching may cost, in (0, 1].
            on_finding: "warn" prints, "stop" raises `StopTraining` from `observe`, a callable is
                called with each new finding, and what it raises is the loop's own.
            tick: observes between two rows of the trace.
            schedule: "adaptive" holds `overhead`; "fixed" reads every `stride` observes (updates
                and batches at most every tenth).
            adversarial_start: step before which a still discriminator is normal.
            generate: stands for the first generator in probes: of (latents, ...), as the loop calls
                it. None: the module itself, with the arguments of a real call.
            discriminate: likewise for the discriminator, of (samples, ...).
            training: reals trained on, (N, ...); None: those that `observe` is shown.
            latents: what the generator is called with, (N, ...); None: a real call's.
            penalties: weight of each of the discriminator's penalties, by name, for probes that
                differentiate its loss; those that need more than images are left out.
            probes: names of `equipoise.monitor.probes.PROBES`, [] for none; None: the cheap ones,
                on a fixed schedule those that rules read, as often as 2 % of the steps allow.
            header: further entries for the trace's header.
            sinks: where each tick's values and each finding go as well, see
                `equipoise.monitor.sinks`, or functions f(step, values). One that raises is off.
            scaler: the gradient scaler, or a mapping of them by player: its scale is read once a
                tick, so that updates which it skips are no stall.
            process_group: of torch.distributed, or True for the default one: the ranks' readings
                become one, in one collective a tick; rank 0 decides what is read and found, probes,
                and writes. Every rank must call `observe` equally often. None: each by itself.

        Raises:
            ValueError: an argument out of its range.
            RecordError: `run_dir` cannot be written to.
        """
        check(objective, overhead, on_finding, tick, schedule, stride, adversarial_start)
        taken = seats(generator, discriminator, generator_optimizer, discriminator_optimizer)
        self._company = Company(process_group)
        leads = self._company.leads
        self._sinks = Sinks(sinks if leads else ())
        self._scalers = scaler if isinstance(scaler, Mapping) else {"all": scaler} if scaler else {}
        self._tick_length = tick
        self._governor = Governor(overhead, schedule, stride, tick)
        self._tick = Tick()
        self._terms = Terms(self._governor, self._tick.add)
        self._objective = objective
        self._inference = Inference()
        self._on_finding = on_finding
        self._announcer = Announcer(on_finding, self._governor, self._judged, self._note)
        self._failed = self._closing = self._reading = self._reads_all = False
        self._step = self._observed = self._images = 0
        self._history = History(
            Path(run_dir) if run_dir is not None and leads else None,
            {
                "objective": objective,
                "chance": OBJECTIVES[objective].chance[0] if objective else None,
                "players": [seat.name for seat in taken],
                "roles": {seat.name: seat.role for seat in taken},
                "adversarial_start": adversarial_start,
                **(header or {}),
            },
        )
        self._players = [
            Player(seat.name, seat.modules, seat.optimizer, self._tick, self._guarded)
            for seat in taken
        ]
        self._called = callables(generator), callables(discriminator)
        self._pull = Pull(self._called[0], self._tick.keep, self._guarded)
        self._seats, self._start = taken, adversarial_start
        given = Given(held_out, training, latents, generate, discriminate, playable(penalties))
        names = chosen(probes if leads else (), schedule == "fixed")
        self._probing = self._prepare(given, names, interval(names, tick) if probes is None else 1)
        self._announces = on_finding is not None or bool(self._sinks)
        if self._announces:
            self._governor.open("judge")
        self._audit: Audit | None = None
        self._leaves = False
        self._state_facts()
        self._want_next()
        if Monitor.on_attach is not None:
            Monitor.on_attach(self)

    def _prepare(self, given: Given, probes: Sequence[str], every: int) -> Probing:
        if probes:
            self._governor.open("probe")
        called = dict(zip(ROLES, self._called, strict=True))
        return Probing(
            Capture(self._seats, called, given, self._guarded),
            probes,
            every,
            lambda seconds: self._governor.affords(seconds, "probe"),
            self._tick.add,
            self._history.fact,
        )

    def audit(self, steps: int = 2, *, stop: bool = False) -> None:
        """Arm the wiring audit for the next `steps` updates of each player.

        It ends after `MOST_ITERATIONS` iterations at the latest and takes its hooks away. What it
        finds is among the findings of `diagnose()` from the iteration on in which it was seen. Best
        armed before the first iteration; arming again starts anew. It reads every gradient of those
        updates, so `overhead` does not hold for them.

        Args:
            steps: updates of each player.
            stop: `observe` raises `StopTraining` when the audit is over.

        Raises:
            ValueError: `steps` is not a positive whole number.
        """
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps = {steps!r}: updates of each player to audit, at least 1")
        if self._audit is not None:
            self._audit.stop()
        self._leaves = stop
        self._safely(lambda: self._arm(steps))

    def _arm(self, steps: int) -> None:
        fact = self._history.fact
        self._audit = Audit(self._seats, self._called, steps, self._start, fact)

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
            StopTraining: `on_finding="stop"` and something was found, or an audit that stops ended.
        """
        if self._failed or self._history.closed:
            self._detach()
            self._observed += 1
            if self._failed and self._observed % self._tick_length == 0:
                self._company.part()
            return
        self._governor.start()
        began = time.perf_counter()
        losses = losses if losses is not None else {}
        given = (real, fake, real_logits, fake_logits, generator_logits, losses, adaptive_weight)
        seen = Observation(*given)
        self._safely(lambda: self._take(seen, step, scalars))
        if self._audit is not None:
            self._audit.observe(seen, self._step)
        self._governor.charge(time.perf_counter() - began, reading=True)
        closes = self._observed % self._tick_length == 0
        if closes:
            self._safely(self._close_tick)
            if self._failed:
                self._company.part()
        self._governor.settle(self._reading)
        self._want_next()
        if closes:
            self._announce()
        if self._leaves and self._audit is not None and self._audit.over:
            raise StopTraining(f"step {self._step}: the wiring audit is over")

    def terms(
        self, *, at: Any, weight: Tensor | float | None = None, **losses: Tensor | float
    ) -> None:
        """Compare named loss terms where they meet; call it before the loop's backward.

        It measures ||d term / d at|| of each term; of `reconstruction=` and `adversarial=` also the
        adversarial share ||w g_adv|| / ||g_rec||, their cosine and the share of opposed signs.
        Only iterations that are read and that `overhead` affords cost anything: one partial
        backward for each term. The graph, `.grad` and random states stay as they were; hooks that
        the loop has put on tensors between a term and `at` run in it. A mistake in the call is said
        once on stderr, and ends nothing.

        Args:
            at: the output with its graph, or a layer's weight (the one that the loop's adaptive
                weight uses, where it has one), or a list of them.
            weight: w, where `adversarial` is passed before its weight; else it is passed weighted.
            losses: scalars with graph, by name, as they enter the sum (all but `adversarial` with
                their weights); a plain number stands for a term that is off.
        """
        if self._reading and not (self._failed or self._history.closed or self._audit_runs):
            self._pull.wanted = False  # its hook would take these partial backwards for the loop's
            self._terms.read(at, losses, weight)
            self._pull.wanted = self._reads_all

    @property
    def _audit_runs(self) -> bool:
        return self._audit is not None and not self._audit.over

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Add values measured elsewhere (an evaluation's metrics) to the trace in memory."""
        kimg = self._images * self._company.size / 1000
        self._history.add(step, kimg, self._governor.elapsed, values, write=False)

    def diagnose(self) -> Diagnosis:
        """Judge the run so far."""
        return diagnose(self.trace())

    def trace(self) -> Trace:
        """The run so far, as rules read it."""
        return self._history.trace()

    def close(self) -> None:
        """Write what is pending, remove the hooks; doing so twice does nothing."""
        self._detach()
        self._closing = True
        if not self._history.closed:
            if self._observed % self._tick_length and not self._tick.empty:
                self._safely(self._close_tick)
            if self._sinks:  # which hear of what was found last
                self._safely(self._announcer.new)
            self._history.close()
        self._sinks.close()

    def state_dict(self) -> dict[str, Any]:
        """Counters for resuming; the readings themselves are in the trace."""
        updates = {p.name: p.updates for p in self._players}
        return {
            "step": self._step,
            "observed": self._observed,
            "images": self._images,
            "updates": updates,
            "probes": self._probing.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from a former `state_dict`, with the trace in `run_dir` up to there."""
        self._step, self._observed = int(state["step"]), int(state["observed"])
        self._images = int(state["images"])
        for player in self._players:
            player.count_from(int(state["updates"].get(player.name, 0)))
        if "probes" in state:
            self._probing.load_state_dict(state["probes"])
        self._history.resume(self._step)
        self._announcer.known = self._history.found()
        self._want_next()

    def adopt(self, trace: Trace, step: int, images: int, updates: Mapping[str, int]) -> None:
        """Go on from what an earlier process wrote up to `step`; later readings are void.

        `updates`: what each player had by then, by name.
        """
        self._history.adopt(trace, step)
        self._step, self._observed, self._images = step, step, images
        for player in self._players:
            player.count_from(updates.get(player.name, 0))
        self._announcer.known = self._history.found()
        self._want_next()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _state_facts(self) -> None:
        optimizers = [p.optimizer for p in self._players if p.optimizer is not None]
        tagged = len(optimizers) == len(self._players)
        self._history.fact("gradients", "tagged" if tagged else "untagged, read at observe")
        if len({id(o) for o in optimizers}) < len(optimizers):
            self._history.fact("one_optimizer", "one optimizer steps several players at once")

    def _want_next(self) -> None:
        """Decide whether the next iteration is read, so that its hooks know."""
        before = self._reading, self._reads_all
        self._reading = self._governor.reads(self._observed)
        self._reads_all = self._reading and self._governor.reads_all(self._observed)
        if self._reads_all or before != (self._reading, self._reads_all):
            self._pull.wanted = self._reads_all
            self._probing.want(self._reading)
            for player in self._players:
                player.wanted = self._reads_all

    def _take(
        self, seen: Observation, step: int | None, scalars: Mapping[str, Tensor | float]
    ) -> None:
        self._step = self._step + 1 if step is None else int(step)
        self._observed += 1
        self._images += seen.real.shape[0] if seen.real is not None else 0
        for name, value in scalars.items():
            self._tick.add(f"metric/{name}" if name in METRIC_NAMES else name, value)
        if self._reading:
            with torch.no_grad():
                self._read(seen)
                self._probing.observe(seen)

    def _read(self, seen: Observation) -> None:
        neutral = self._neutral(seen)
        seen.read(self._tick, neutral, self._known, self._reads_all)
        for player in self._players:
            if player.optimizer is None and player.wanted:
                player.read_gradients()

    def _neutral(self, seen: Observation) -> float | None:
        """The logit of not knowing; None where only differences of logits mean anything."""
        if self._objective is None and not self._inference.over:
            self._infer(seen)
        known = self._known
        if known is None:
            return 0.0
        return None if OBJECTIVES[known].pairs else OBJECTIVES[known].neutral

    @property
    def _known(self) -> str | None:
        """The objective, as told or as inferred."""
        return self._objective or self._inference.told.name

    def _infer(self, seen: Observation) -> None:
        if seen.real_logits is None or seen.fake_logits is None:
            return
        pair = whole_logits(seen.real_logits), whole_logits(seen.fake_logits)
        changed = self._inference.ask(*pair, seen.discriminator_loss)
        if changed or "objective" not in self._history.facts:
            told = self._inference.told
            fact = {"name": told.name, "how": told.how, "scale": told.scale}
            self._history.fact("objective", fact)

    def _close_tick(self) -> None:
        self._probe()
        began = time.perf_counter()
        values = self._tick.fetch()
        for player in self._players:
            if player.optimizer is not None:
                values[f"updates/{player.name}"] = player.updates
                values[f"learning_rate/{player.name}"] = player.learning_rate or 0.0
        if self._governor.schedule == "adaptive":  # a fixed one reads what the step decides alone
            values |= self._governor.pace(self._images)
        for name, scaler in self._scalers.items():
            values[f"loss_scale/{name}"] = float(scaler.get_scale())
        self._governor.close(time.perf_counter() - began)
        values["cost/monitor"] = self._governor.share
        values = self._met(values)
        kimg = self._images * self._company.size / 1000
        self._history.add(self._step, kimg, self._governor.elapsed, values)
        began = time.perf_counter()
        self._sinks.write(self._step, values)
        self._governor.charge(time.perf_counter() - began, reading=False)

    def _met(self, values: dict[str, float]) -> dict[str, float]:
        """The readings of all ranks, read as rank 0 decides; without a group one's own."""
        if self._closing or not self._company.together:
            return values
        met = self._company.meet(values, self._governor.plan(self._observed, self._tick_length))
        self._governor.follow(met.plan.stride)
        return met.values

    def _probe(self) -> None:
        rates = {p.name: p.learning_rate or 0.0 for p in self._players}
        step_seconds = self._governor.elapsed / max(self._observed, 1)
        fixed = self._governor.schedule == "fixed"
        ticks = self._observed // self._tick_length if fixed else None
        seconds = self._probing.run(self._known, rates, step_seconds, ticks)
        if seconds:
            self._governor.charge(seconds, reading=False, purse="probe")

    def _announce(self) -> None:
        """Act on new findings; in a group all ranks do, a tick later, on what rank 0 found."""
        ticks = self._observed // self._tick_length
        found: list[Finding] = []
        if self._announces and self._company.leads and self._announcer.due(ticks):
            self._safely(lambda: found.extend(self._announcer.judge(ticks)))
        for finding in self._company.announced(found):
            self._announcer.act(finding, self._step)

    def _judged(self) -> Sequence[Finding]:
        return self.diagnose().findings

    def _note(self, finding: Finding) -> None:
        self._history.event(self._step, "finding", finding)
        self._sinks.finding(self._step, finding)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a hook's reading: timed, without gradients, and never in the loop's way."""
        began = time.perf_counter()
        with torch.no_grad():
            self._safely(work)
        self._governor.charge(time.perf_counter() - began, reading=True)

    def _safely(self, work: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            work()
        except EquipoiseError as error:  # the user can mend it: a full disk, say
            self._failed = True
            print(f"equipoise: {error}; the monitor is off, training goes on", file=sys.stderr)
        except Exception:
            self._failed = True
            print(
                "equipoise: the monitor failed and is off; training goes on. Please report this:\n"
                + traceback.format_exc(),
                file=sys.stderr,
            )

    def _detach(self) -> None:
        if self._audit is not None:
            self._audit.stop()
        self._pull.detach()
        self._probing.detach()
        for player in self._players:
            player.detach()
