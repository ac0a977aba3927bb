"""The wiring audit: two updates of each player, watched hook by hook, told as facts."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.monitor.arguments import Seat
from equipoise.monitor.audit.arrivals import Arrivals, Backward, units_of
from equipoise.monitor.audit.calls import Call, Calls
from equipoise.monitor.audit.pulls import pull
from equipoise.monitor.audit.shapes import accidental
from equipoise.monitor.audit.told import leaks, starved, stuck
from equipoise.monitor.observation import Observation

MOST_ITERATIONS = 64
MOST_TOLD = 8  # of one kind: the rest repeats them

State = Callable[[str, Any], None]


class Audit:
    """Armed for `steps` updates of each player, at most `MOST_ITERATIONS` iterations.

    Hooks read and return nothing: gradients, values and modes stay as they are. An error ends the
    audit, is said once, and never reaches the loop.
    """

    def __init__(
        self,
        seats: list[Seat],
        called: tuple[list[nn.Module], list[nn.Module]],
        steps: int,
        start: int,
        fact: State,
    ) -> None:
        """`called`: generators and discriminators, as the loop calls them; `start`: D may rest."""
        self.over = False
        self._seats, self._steps, self._start, self._fact = seats, steps, start, fact
        self._told: dict[str, Any] = {}
        self._first: int | None = None
        self._step = self._iterations = 0
        self._range: dict[str, Any] = {}
        self._shapes: list[dict[str, Any]] = []
        self._arrivals = Arrivals(units_of(seats), self._guarded)
        self._calls = Calls(*called, self._guarded)
        self._mixed_up = _foreign_parameters(seats)

    def observe(self, seen: Observation, step: int) -> None:
        """An iteration is over: name what was seen in it, and end if it was enough."""
        if not self.over:
            self._guarded(lambda: self._close(seen, step))

    def stop(self) -> None:
        """Take every hook away; doing so twice does nothing."""
        self.over = True
        self._arrivals.remove()
        self._calls.remove()

    def _close(self, seen: Observation, step: int) -> None:
        self._iterations += 1
        self._step = step
        self._first = step if self._first is None else self._first
        logits = (
            ("real", seen.real_logits),
            ("fake", seen.fake_logits),
            ("fake", seen.generator_logits),
        )
        self._calls.close(seen.real, seen.fake, logits)
        self._read_range(seen)
        self._read_shapes(seen)
        units = self._arrivals.units
        enough = bool(units) and all(len(u.updates) >= self._steps for u in units)
        over = enough or self._iterations >= MOST_ITERATIONS
        self._tell(over)
        if over:
            self.stop()

    def _tell(self, over: bool) -> None:
        step = self._step
        found: dict[str, Any] = {"audit/leaks": self._mixed_up}
        if not self._mixed_up:  # which explains all that one sees of gradients
            found = self._of_gradients(over)
        found |= {
            "audit/range": self._range,
            "audit/shapes": self._shapes[:MOST_TOLD],
            "audit": {
                "since": self._first,
                "until": step,
                "iterations": self._iterations,
                "updates": {u.name: len(u.updates) for u in self._arrivals.units},
                "over": over,
                "unseen": self._unseen(over),
            },
        }
        for name, value in found.items():
            if value and self._told.get(name) != value:
                self._told[name] = value
                self._fact(name, value)

    def _of_gradients(self, over: bool) -> dict[str, Any]:
        arrivals, calls, begun = self._arrivals, self._calls.calls, self._step >= self._start
        return {
            "audit/leaks": leaks(arrivals, calls),
            "audit/stuck": stuck(arrivals.units, self._steps, over, begun, self._zeroed()),
            "audit/starved": starved(arrivals, calls, self._steps),
            "audit/pulls": self._pulls(),
            "audit/batch_norm": self._batch_norm(),
            "audit/precision": self._precision(),
        }

    def _owner(self, record: Backward) -> str | None:
        """The role whose loss a backward pass descends; None where several consume it."""
        by_name = {u.name: u for u in self._arrivals.units}
        roles = {role for name in record.consumed for role in by_name[name].roles}
        return roles.pop() if len(roles) == 1 else None

    def _owned(self) -> Iterable[tuple[Call, int, str]]:
        """(call, backward pass, role) wherever a role's loss sent a gradient to a call's logits."""
        for call in self._calls.calls:
            for task in sorted(call.tasks()):
                record = self._arrivals.backwards.get(task)
                role = self._owner(record) if record is not None else None
                if role is not None:
                    yield call, task, role

    def _pulls(self) -> list[dict[str, Any]]:
        found = []
        for call, task, role in self._owned():
            for part in call.parts:
                for kind, start, stop in part.segments if task in part.pulls else ():
                    told = pull(part.values[start:stop], part.pulls[task][start:stop])
                    if told is not None:
                        place = {"player": role, "kind": kind, "where": call.where}
                        found.append({**place, "squashed": part.squashed, **told})
        return found[: 8 * MOST_TOLD]

    def _zeroed(self) -> bool:
        """Whether logits got gradients, all of them exactly 0: a term of weight 0, or content."""
        sent = [g for c in self._calls.calls for p in c.parts for g in p.pulls.values()]
        return bool(sent) and not any(bool(g.any()) for g in sent)

    def _read_range(self, seen: Observation) -> None:
        if self._range or not _floating(seen.real) or not _floating(seen.fake):
            return
        self._range = {
            "real": _spread(seen.real),
            "fake": _spread(seen.fake),
            "activation": self._calls.activation,
        }

    def _read_shapes(self, seen: Observation) -> None:
        for name, loss in seen.losses.items():
            shape = accidental(loss)
            known = [told["loss"] for told in self._shapes]
            if shape is not None and name not in known:
                self._shapes.append({"loss": name, "shape": list(shape)})

    def _batch_norm(self) -> dict[str, Any]:
        norms = [
            m.training
            for seat in self._seats
            if seat.role == "discriminator"
            for module in seat.modules
            for m in module.modules()
            if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]
        if not norms:
            return {}
        fed: dict[str, dict[str, str]] = {"discriminator": {}, "generator": {}}
        for call, _, role in self._owned():
            if call.kinds and call.training:
                fed[role][" and ".join(sorted(call.kinds, reverse=True))] = call.where
        return {"layers": len(norms), "fed": fed}

    def _precision(self) -> list[dict[str, Any]]:
        found = []
        for call, task, role in self._owned():
            if role == "generator" and task in call.zeros:
                dtype = str(call.dtype).removeprefix("torch.")
                found.append({"dtype": dtype, "zeros": call.zeros[task], "where": call.where})
        return found[:MOST_TOLD]

    def _unseen(self, over: bool) -> list[str]:
        missing = []
        units = self._arrivals.units
        if len({p for u in units for p in u.players}) < len(self._seats):
            missing.append("an optimizer of each player: pass them to Monitor")
        if over and not self._calls.calls:
            missing.append("calls of the discriminator: its forward was not called as a module")
        elif over and not any(c.kinds for c in self._calls.calls):
            missing.append("which logits are real and fake: pass real_logits and fake_logits")
        if not self._range:
            missing.append("samples: pass real and fake to observe")
        few = [u.name for u in units if len(u.updates) < self._steps]
        if over and few:
            missing.append(f"{self._steps} updates of {', '.join(few)}")
        return missing

    def _guarded(self, work: Callable[[], None]) -> None:
        if self.over:
            return
        try:
            with torch.no_grad():
                work()
        except Exception:
            self.stop()
            print(
                "equipoise: the wiring audit failed and is off; training goes on. Please report"
                f" this:\n{traceback.format_exc()}",
                file=sys.stderr,
            )


def _foreign_parameters(seats: list[Seat]) -> list[dict[str, Any]]:
    """Optimizers that hold another role's parameters; one optimizer for both roles is none."""
    found = []
    for seat in seats:
        if seat.optimizer is None:
            continue
        rivals = [s for s in seats if s.role != seat.role and s.optimizer is not seat.optimizer]
        shared = any(s.optimizer is seat.optimizer and s.role != seat.role for s in seats)
        own = {
            id(p) for s in seats if s.role == seat.role for m in s.modules for p in m.parameters()
        }
        held = {id(p) for group in seat.optimizer.param_groups for p in group["params"]} - own
        for rival in rivals if not shared and own else ():
            theirs = {id(p) for module in rival.modules for p in module.parameters()}
            if held & theirs:
                names = {"player": seat.name, "other": rival.name, "count": len(held & theirs)}
                found.append({"check": "parameters", **names})
    return found


def _floating(samples: Any) -> bool:
    return isinstance(samples, Tensor) and samples.is_floating_point() and samples.numel() > 0


def _spread(samples: Any) -> dict[str, float]:
    wide = samples.detach().float()
    return {
        "lowest": float(wide.min()),
        "highest": float(wide.max()),
        "mean": float(wide.mean()),
        "std": float(wide.std(correction=0)),
        "beyond_1": float((wide.abs() > 1.05).float().mean()),
        "below_0": float((wide < -0.05).float().mean()),
    }
