"""What probes look at, taken from the loop's own calls and batches, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from equipoise.monitor.arguments import Seat, bare_module
from equipoise.monitor.audit.calls import equal, tensors
from equipoise.monitor.observation import Observation
from equipoise.monitor.probes import Network, Scene

MOST_SAMPLES = 64  # of each captured tensor
MOST_BYTES = 1 << 26  # of reals gathered to compare fakes with
MOST_REALS = 4096
ATTEMPTS = 64  # iterations looked at until every network was seen called

HeldOut = Tensor | tuple[Tensor, Tensor] | None
Callables = Callable[..., Any] | None


class Given(NamedTuple):
    """What the user told the monitor about how its networks are called."""

    held_out: HeldOut = None
    training: Tensor | None = None
    latents: Tensor | None = None
    generate: Callables = None
    discriminate: Callables = None
    gammas: Mapping[str, float] = {}


@dataclass(frozen=True)
class Call:
    """One forward call of a network: the input, what stood behind it, what came out."""

    first: Tensor
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Tensor, ...] = ()


@dataclass
class Part:
    """One module of a player, and the calls of it in this iteration."""

    name: str
    role: str
    module: nn.Module
    learns: frozenset[str] | None
    calls: list[Call]


class Capture:
    """Builds the scene: latents and arguments of real calls, the first reals, labels.

    Forward hooks hold an iteration's calls until `observe` shows which of them made the fakes and
    which judged the reals; then they are taken away. Tensors are copied, `MOST_SAMPLES` of each.
    What is `Given` needs no capture. A tensor behind the input with one entry for each sample is
    taken for the condition. Fully sharded modules are left alone: a probe must not start a
    collective.
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        modules: Mapping[str, Iterable[nn.Module]],
        given: Given,
        timed: Callable[[Callable[[], None]], None],
    ) -> None:
        """`modules`: what the loop calls, by role; `timed` runs a hook's work under guard."""
        self.wanted = False
        self.complete = False
        self._given = given
        self._timed = timed
        self._attempts = 0
        self._parts = [part for seat in seats for part in _parts(seat)]
        self._scene: Scene | None = None
        self._reals: list[Tensor] = []
        self._handles: list[Any] = []
        if any(_sharded(part.module) for part in self._parts):
            self._parts = []
        if self._parts:
            self._hook(modules)

    def detach(self) -> None:
        """Remove the hooks; doing so twice does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for part in self._parts:
            part.calls.clear()

    def observe(self, seen: Observation) -> None:
        """An iteration is over: look at its calls until the scene is whole, gather reals."""
        if not self._parts:
            return
        if self._handles:
            self._attempts += 1
            self._compose(seen)
            for part in self._parts:
                part.calls.clear()
            if self.complete or self._attempts >= ATTEMPTS:
                self.detach()
        if self._scene is not None and seen.real is not None:
            self._gather(seen.real)

    def scene(self, objective: str | None, rates: Mapping[str, float]) -> Scene | None:
        """What is known so far; None before the first call was seen."""
        if self._scene is None:
            return None
        reals = self._given.training
        if reals is None and self._reals:
            if len(self._reals) > 1:
                self._reals = [torch.cat(self._reals)]
            reals = self._reals[0]
        return replace(self._scene, objective=objective, learning_rates=dict(rates), reals=reals)

    def _hook(self, modules: Mapping[str, Iterable[nn.Module]]) -> None:
        for role, called in modules.items():
            parts = {id(part.module): part for part in self._parts if part.role == role}
            for module in called:
                part = parts.get(id(bare_module(module)))
                if part is not None:
                    keep = self._keeper(part)
                    self._handles.append(module.register_forward_hook(keep, with_kwargs=True))

    def _keeper(self, part: Part) -> Callable[..., None]:
        """A forward hook of this module's, which probes mute by its module's name."""

        def keep(_: nn.Module, arguments: Any, keywords: Any, output: Any) -> None:
            if self.wanted and arguments and isinstance(arguments[0], Tensor):
                self._timed(lambda: part.calls.append(_call(arguments, keywords, output)))

        return keep

    def _compose(self, seen: Observation) -> None:
        makers = [part for part in self._parts if part.role == "generator"]
        judges = [part for part in self._parts if part.role != "generator"]
        made, judged = self._made(makers, seen), self._judged(judges, seen)
        self.complete = bool((made or not makers) and (judged or not judges))
        if made or judged:
            self._scene = self._composed(made, judged)

    def _made(self, makers: Sequence[Part], seen: Observation) -> list[tuple[Part, Call]]:
        """The generator that made the fakes, and how; one at most."""
        found = _maker(makers, seen.fake)
        if found is None and makers and self._given.generate and self._given.latents is not None:
            found = makers[0], Call(self._given.latents)
        return [] if found is None else [found]

    def _judged(self, judges: Sequence[Part], seen: Observation) -> list[tuple[Part, Call]]:
        """The discriminators that judged the reals or the fakes, and how."""
        calls = [(part, _judging(part, seen, alone=len(judges) == 1)) for part in judges]
        found = [(part, call) for part, call in calls if call is not None]
        if not found and judges and self._given.discriminate and seen.real is not None:
            return [(judges[0], Call(seen.real))]
        return found

    def _composed(
        self, made: Sequence[tuple[Part, Call]], judged: Sequence[tuple[Part, Call]]
    ) -> Scene:
        given = self._given
        labels = _labels([call for _, call in (*judged, *made)])
        latents = given.latents
        if latents is None and made:
            latents = _copied(made[0][1].first)
        held_out, theirs = _pair(given.held_out)
        return Scene(
            generators={p.name: _network(p, call, labels, given.generate) for p, call in made},
            discriminators={
                p.name: _network(p, call, labels, given.discriminate) for p, call in judged
            },
            latents=latents,
            labels=None if labels is None else _copied(labels),
            held_out=held_out,
            held_out_labels=theirs,
            gammas=given.gammas,
        )

    def _gather(self, real: Tensor) -> None:
        """Keep reals: one batch, or where fakes are compared with them as many as fit."""
        if self._given.training is not None:
            return
        size = max(real[:1].numel() * real.element_size(), 1)
        many = min(MOST_REALS, max(MOST_BYTES // size, MOST_SAMPLES))
        room = many if self._given.held_out is not None else MOST_SAMPLES
        room -= sum(len(batch) for batch in self._reals)
        if room > 0:
            self._reals.append(real.detach()[:room].clone())


def _parts(seat: Seat) -> list[Part]:
    """A player's modules, each with the names of the parameters that its optimizer holds."""
    held = None
    if seat.optimizer is not None:
        held = {id(p) for group in seat.optimizer.param_groups for p in group["params"]}
    parts = []
    for index, module in enumerate(seat.modules):
        named = module.named_parameters(remove_duplicate=False)
        learns = None if held is None else frozenset(n for n, p in named if id(p) in held)
        name = seat.name if len(seat.modules) == 1 else f"{seat.name}_{index}"
        parts.append(Part(name, seat.role, module, learns, []))
    return parts


def _sharded(module: nn.Module) -> bool:
    names = {type(part).__name__ for part in module.modules()}
    return any("FullySharded" in name or name.startswith("FSDP") for name in names)


def _call(arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any) -> Call:
    outputs = tuple(tensor.detach() for tensor in tensors(output))
    return Call(arguments[0].detach(), arguments[1:], dict(keywords), outputs)


def _maker(parts: Sequence[Part], fake: Tensor | None) -> tuple[Part, Call] | None:
    """The call that made the fakes; the last call of the only generator where none is shown."""
    for part in parts:
        for call in reversed(part.calls):
            if fake is not None and call.outputs and equal(call.outputs[0], fake):
                return part, call
    if len(parts) == 1 and parts[0].calls:
        return parts[0], parts[0].calls[-1]
    return None


def _judging(part: Part, seen: Observation, alone: bool) -> Call | None:
    """The call that judged the reals (else the fakes); of an only discriminator any."""
    for batch in (seen.real, seen.fake):
        for call in part.calls:
            if batch is not None and equal(call.first, batch):
                return call
    return part.calls[0] if alone and part.calls else None


def _behind(call: Call) -> list[tuple[int | str, Any]]:
    """What stands behind the input, by position or name."""
    return [*enumerate(call.arguments), *call.keywords.items()]


def _per_sample(call: Call, value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and len(value) == len(call.first)


def _labels(calls: Sequence[Call]) -> Tensor | None:
    """The first condition behind an input."""
    for call in calls:
        for _, value in _behind(call):
            if _conditions(call, value):
                return value.detach()
    return None


def _conditions(call: Call, value: Any) -> bool:
    """Whether it may be a label: one entry a sample, and no second batch of samples."""
    return _per_sample(call, value) and value.shape != call.first.shape


def _network(part: Part, call: Call, labels: Tensor | None, stands_in: Callables) -> Network:
    def few(value: Any) -> Any:
        return _copied(value) if _per_sample(call, value) else value

    condition = None
    if labels is not None:
        kind = labels.dtype, labels.shape[1:]
        condition = next(
            (
                where
                for where, value in _behind(call)
                if _conditions(call, value) and (value.dtype, value.shape[1:]) == kind
            ),
            None,
        )
    return Network(
        part.module,
        tuple(few(value) for value in call.arguments),
        {name: few(value) for name, value in call.keywords.items()},
        condition,
        stands_in,
        part.learns,
    )


def _copied(value: Tensor) -> Tensor:
    return value.detach()[:MOST_SAMPLES].clone()


def _pair(held_out: HeldOut) -> tuple[Tensor | None, Tensor | None]:
    return held_out if isinstance(held_out, tuple) else (held_out, None)
