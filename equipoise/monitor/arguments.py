"""What `Monitor` is given, checked, named and unwrapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from equipoise.errors import unknown
from equipoise.game import OBJECTIVES
from equipoise.record import Finding

Modules = nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module] | None
Optimizers = (
    torch.optim.Optimizer
    | Sequence[torch.optim.Optimizer]
    | Mapping[str, torch.optim.Optimizer]
    | None
)
OnFinding = Literal["warn", "stop"] | Callable[[Finding], None] | None

ROLES = ("generator", "discriminator")


class Seat(NamedTuple):
    """A player before it is watched: its name, role, modules and optimizer."""

    name: str
    role: str
    modules: list[nn.Module]
    optimizer: torch.optim.Optimizer | None


def check(
    objective: str | None,
    overhead: float,
    on_finding: OnFinding,
    tick: int,
    schedule: str,
    stride: int,
    adversarial_start: int,
) -> None:
    """Refuse an argument out of its range.

    Raises:
        ValueError: with the argument, its value and the rule.
    """
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
    if adversarial_start < 0:
        raise ValueError(f"adversarial_start = {adversarial_start!r}: a step, 0 or later")


def seats(
    generator: Modules,
    discriminator: Modules,
    generator_optimizer: Optimizers,
    discriminator_optimizer: Optimizers,
) -> list[Seat]:
    """Who plays, from one thing, a list or a mapping of each.

    Raises:
        ValueError: something that is no module or optimizer, or two players of one name.
    """
    given = ((generator, generator_optimizer), (discriminator, discriminator_optimizer))
    found = []
    for role, (modules, optimizers) in zip(ROLES, given, strict=True):
        bare = {name: bare_module(m, role) for name, m in _named(modules, role).items()}
        steps = {
            name: _bare_optimizer(o, f"{role}_optimizer")
            for name, o in _named(optimizers, role).items()
        }
        found += [Seat(name, role, *pair) for name, pair in _matched(bare, steps).items()]
    names = [seat.name for seat in found]
    if len(set(names)) < len(names):
        raise ValueError(f"two players share a name ({', '.join(names)}); name each differently")
    return found


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
) -> dict[str, tuple[list[nn.Module], torch.optim.Optimizer | None]]:
    """Each player's modules and optimizer: by name, else by position where there are as many.

    One optimizer for several modules makes one player of them.
    """
    if len(modules) > 1 and len(optimizers) == 1:
        return {name: (list(modules.values()), o) for name, o in optimizers.items()}
    if len(modules) == len(optimizers) and set(modules) != set(optimizers):
        optimizers = dict(zip(modules, optimizers.values(), strict=True))
    names = list(modules) + [n for n in optimizers if n not in modules]
    return {n: ([modules[n]] if n in modules else [], optimizers.get(n)) for n in names}


def bare_module(module: Any, argument: str = "module") -> nn.Module:
    """The module inside compiled and data-parallel wrappers: a probe must start no collective.

    Raises:
        ValueError: not a module.
    """
    while True:
        inner = getattr(module, "_orig_mod", None)
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = module.module
        if inner is None:
            break
        module = inner
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"{argument} is {type(module).__name__}: pass an nn.Module, a list or mapping of them,"
            " or None"
        )
    return module


def _bare_optimizer(optimizer: Any, argument: str) -> torch.optim.Optimizer:
    """The optimizer inside wrappers (Accelerate, Fabric, Lightning), which call its step."""
    while isinstance(getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = optimizer.optimizer
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(
            f"{argument} is {type(optimizer).__name__}: pass a torch.optim.Optimizer, a list or"
            " mapping of them, or None"
        )
    return optimizer
