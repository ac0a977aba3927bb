"""Which backward passes each update consumes: gradients tagged as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.monitor.arguments import Seat
from equipoise.monitor.audit.place import place

MOST_COPIED = 1 << 16  # numbers of one parameter compared before and after an update


@dataclass
class Backward:
    """One backward pass that left gradients in parameters."""

    task: int
    where: str
    reached: set[str] = field(default_factory=set)
    consumed: dict[str, int] = field(default_factory=dict)  # unit -> number of its first update


@dataclass
class Update:
    """One step of an optimizer, as the audit saw it."""

    unit: str
    number: int
    where: str
    consumed: list[Backward] = field(default_factory=list)
    stale: list[Backward] = field(default_factory=list)
    empty: bool = True  # no gradient, or one of exact zeros
    arrived: bool = False  # gradients came since the update before
    frozen: bool = False
    rate: float = 0.0
    half: bool = False  # every parameter is float16 or bfloat16
    moved: bool | None = None


class Unit:
    """One optimizer and the parameters that it updates; several players may share it."""

    def __init__(self, player: str, role: str, optimizer: torch.optim.Optimizer) -> None:
        self.name, self.roles, self.players = player, {role}, [player]
        self.optimizer = optimizer
        self.updates: list[Update] = []
        self.arrivals = 0  # gradients that came and are not 0, one per parameter and pass
        self.met = self.begun = 0  # of these, how many an update has met, or found as it began
        self.under_way: Update | None = None
        self.before: list[Tensor] = []

    def share(self, player: str, role: str) -> None:
        """Take in another player that the same optimizer steps."""
        self.players.append(player)
        self.roles.add(role)
        self.name = " and ".join(self.players)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer holds now."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]


class Arrivals:
    """Tags every gradient that arrives in a parameter with its backward pass.

    A parameter's gradient holds the arrivals since it was last None or zero. An update consumes
    what its parameters hold then. What one update consumed and a later one of the same optimizer
    consumes again is stale; what updates of two roles consume has reached one too many.
    """

    def __init__(self, units: list[Unit], guard: Callable[[Callable[[], None]], None]) -> None:
        self.units = units
        self.backwards: dict[int, Backward] = {}
        self._guard = guard
        self._held: dict[int, list[Backward]] = {}
        self._storage: dict[int, int] = {}
        self._handles: list[Any] = []
        self._watched: set[int] = set()
        for unit in units:
            self._watch(unit)

    def remove(self) -> None:
        """Take every hook away."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._held = [], {}

    def backward(self, task: int) -> Backward:
        """The record of one backward pass, by autograd's own number."""
        if task not in self.backwards:
            self.backwards[task] = Backward(task, place())
        return self.backwards[task]

    def _watch(self, unit: Unit) -> None:
        self._handles += [
            unit.optimizer.register_step_pre_hook(
                lambda *_: self._guard(lambda: self._begin(unit))
            ),
            unit.optimizer.register_step_post_hook(lambda *_: self._guard(lambda: self._end(unit))),
        ]
        for parameter in unit.parameters:
            self._tag(unit, parameter)

    def _tag(self, unit: Unit, parameter: nn.Parameter) -> None:
        known = id(parameter) in self._watched
        if known or not parameter.is_leaf or not parameter.requires_grad:
            return  # a frozen one is watched once it learns
        self._watched.add(id(parameter))
        self._handles += [
            parameter.register_hook(lambda _: self._guard(lambda: self._look(parameter))),
            parameter.register_post_accumulate_grad_hook(
                lambda p: self._guard(lambda: self._arrive(unit, p))
            ),
        ]

    def _look(self, parameter: nn.Parameter) -> None:
        """Before accumulation: is there anything that the arrival adds to?"""
        if not self._holds(parameter):
            self._held.pop(id(parameter), None)

    def _arrive(self, unit: Unit, parameter: Tensor) -> None:
        record = self.backward(torch._C._current_graph_task_id())
        record.reached.add(unit.name)
        held = self._held.setdefault(id(parameter), [])
        if record not in held:
            held.append(record)
        if parameter.grad is not None and not parameter.grad.is_sparse:
            self._storage[id(parameter)] = parameter.grad.data_ptr()
            unit.arrivals += bool(parameter.grad.detach().any())

    def _holds(self, parameter: Tensor) -> bool:
        """Whether the parameter still holds the gradient that arrived in it, other than zeros."""
        grad = parameter.grad
        if grad is None or grad.is_sparse:
            return False
        if grad.data_ptr() != self._storage.get(id(parameter)):
            return False  # put there by the loop itself: nobody knows where from
        return bool(grad.detach().any())

    def _begin(self, unit: Unit) -> None:
        parameters = unit.parameters
        for parameter in parameters:  # groups may have been added, or parameters unfrozen
            self._tag(unit, parameter)
        unit.under_way = Update(
            unit.name,
            len(unit.updates) + 1,
            place(),
            frozen=not any(p.requires_grad for p in parameters),
            rate=max((float(g["lr"]) for g in unit.optimizer.param_groups), default=0.0),
            half=all(p.dtype in (torch.float16, torch.bfloat16) for p in parameters),
        )
        unit.before = [_sample(p) for p in parameters]
        unit.begun = unit.arrivals
        self._consume(unit, unit.under_way)

    def _consume(self, unit: Unit, update: Update) -> None:
        update.arrived, update.empty = unit.arrivals > unit.met, True
        update.consumed, update.stale = [], []
        for parameter in unit.parameters:
            grad = parameter.grad
            if grad is not None and (grad.is_sparse or bool(grad.detach().any())):
                update.empty = False
            if self._holds(parameter):
                _sort(self._held.get(id(parameter), []), update)

    def _end(self, unit: Unit) -> None:
        update, unit.under_way = unit.under_way, None
        if update is None:
            return
        if unit.arrivals > unit.begun:  # a closure has run inside the step
            self._consume(unit, update)
        unit.met = unit.arrivals
        for record in update.consumed:
            record.consumed.setdefault(unit.name, update.number)
        pairs = zip(unit.parameters, unit.before, strict=False)
        update.moved = not all(torch.equal(_sample(now), before) for now, before in pairs)
        unit.before = []
        unit.updates.append(update)


def _sort(held: list[Backward], update: Update) -> None:
    """Part what an update consumes into new arrivals and those of an earlier update."""
    for record in held:
        older = record.consumed.get(update.unit, update.number) < update.number
        into = update.stale if older else update.consumed
        if record not in into:
            into.append(record)


def _sample(parameter: Tensor) -> Tensor:
    """An even selection of the parameter's numbers, copied."""
    flat = parameter.detach().reshape(-1)
    return flat[:: -(-max(flat.numel(), 1) // MOST_COPIED)].clone()


def units_of(seats: Iterable[Seat]) -> list[Unit]:
    """One unit per optimizer, named after the players that it steps."""
    found: dict[int, Unit] = {}
    for seat in seats:
        if seat.optimizer is None:
            continue
        if id(seat.optimizer) in found:
            found[id(seat.optimizer)].share(seat.name, seat.role)
        else:
            found[id(seat.optimizer)] = Unit(seat.name, seat.role, seat.optimizer)
    return list(found.values())
