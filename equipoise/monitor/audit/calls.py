"""Calls of the discriminator: what went in, what came out, which gradients came back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.monitor.audit.place import place

MOST_VALUES = 1 << 16  # larger outputs are feature maps, which say nothing about labels
MOST_NODES = 1 << 15  # of a graph that is searched for the generator
VIEWS = ("View", "Squeeze", "Unsqueeze", "Reshape", "Alias", "Transpose", "ToCopy", "Select")


@dataclass
class Part:
    """One tensor that a call returned: its values, and the gradient that each backward sent."""

    held: Tensor | None  # detached; let go once its kind is known
    values: Tensor
    first: bool  # the logits, where a call returns features too
    squashed: bool  # a sigmoid made it
    segments: list[tuple[str, int, int]] = field(default_factory=list)
    pulls: dict[int, Tensor] = field(default_factory=dict)  # by backward pass


@dataclass
class Call:
    """One forward pass of a discriminator."""

    where: str
    training: bool
    linked: bool  # a gradient can flow from the logits into the samples
    attached: bool  # and on into a generator's parameters
    inputs: list[Tensor]  # detached; let go at the end of the iteration
    made: bool  # the first input is what a generator returned
    dtype: torch.dtype
    parts: list[Part] = field(default_factory=list)
    zeros: dict[int, float] = field(default_factory=dict)  # share of zeros in dL/dx, by backward

    @property
    def kinds(self) -> set[str]:
        """ "real", "fake" or both, as far as known."""
        return {kind for part in self.parts for kind, _, _ in part.segments}

    def tasks(self) -> set[int]:
        """Backward passes whose gradient came to these logits."""
        return {task for part in self.parts for task in part.pulls}


class Calls:
    """Records every call of the discriminators, and which samples generators made."""

    def __init__(
        self,
        generators: Iterable[nn.Module],
        discriminators: Iterable[nn.Module],
        guard: Callable[[Callable[[], None]], None],
    ) -> None:
        generators = list(generators)
        self.calls: list[Call] = []
        self.activation: str | None = None  # what bounds the generator's samples
        self._parameters = {id(p) for m in generators for p in m.parameters()}
        self._guard = guard
        self._made: list[Tensor] = []  # kept for the iteration, so that no storage is used again
        self._open: list[Call] = []
        self._handles = [m.register_forward_hook(self._after_generator) for m in generators]
        self._handles += [
            m.register_forward_hook(self._after_discriminator, with_kwargs=True)
            for m in discriminators
        ]

    def remove(self) -> None:
        """Take every hook away and let every tensor go."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._made, self._open = [], [], []
        for call in self.calls:
            call.inputs = []

    def _after_generator(self, _: nn.Module, __: Any, output: Any) -> None:
        self._guard(lambda: self._keep(tensors(output)))

    def _keep(self, samples: list[Tensor]) -> None:
        self._made.extend(t.detach() for t in samples)
        if samples:
            self.activation = self.activation or _bound(samples[0])

    def _after_discriminator(
        self, module: nn.Module, arguments: Any, options: Any, output: Any
    ) -> None:
        self._guard(lambda: self._note(module, tensors([arguments, options]), output))

    def _note(self, module: nn.Module, inputs: list[Tensor], output: Any) -> None:
        samples = [t for t in inputs if t.is_floating_point()]
        found = [t for t in tensors(output) if t.is_floating_point()]
        if not found or not samples:
            return
        call = Call(
            place(),
            module.training,
            any(t.grad_fn is not None for t in samples),
            any(_reaches(t.grad_fn, self._parameters) for t in samples),
            [t.detach() for t in samples],
            any(shares(samples[0], made) for made in self._made),
            found[0].dtype,
        )
        logits = {id(t) for t in logit_tensors(output)}
        for tensor in found:
            if tensor.numel() <= MOST_VALUES:
                call.parts.append(self._part(tensor, id(tensor) in logits))
        if call.linked:
            self._watch_samples(call, samples)
        self.calls.append(call)
        self._open.append(call)

    def _part(self, tensor: Tensor, first: bool) -> Part:
        held = tensor.detach()
        part = Part(held, held.reshape(-1).float().clone(), first, _squashed(tensor))
        if tensor.requires_grad:
            tensor.register_hook(lambda g: self._guard(lambda: _pull(part, g)))
        return part

    def _watch_samples(self, call: Call, samples: list[Tensor]) -> None:
        for tensor in samples:
            if tensor.grad_fn is not None:
                tensor.register_hook(lambda g: self._guard(lambda: _count_zeros(call, g)))

    def close(self, real: Any, fake: Any, logits: Iterable[tuple[str, Any]]) -> None:
        """End an iteration: name the kind of each call from what `observe` was shown.

        `logits`: (kind, logits). Known logits decide, else known samples, else who made them.
        """
        for kind, given in logits:
            for tensor in tensors(given):
                self._by_logits(kind, tensor)
        for call in self._open:
            if call.made and call.kinds == {"real"}:  # what observe was shown contradicts itself
                for part in call.parts:
                    part.segments = []
            elif not call.kinds and len(call.inputs) and call.parts:
                self._by_samples(call, real, fake)
        for call in self._open:
            call.inputs = []
            call.parts = [part for part in call.parts if part.first or part.segments]
            for part in call.parts:
                part.held = None
        self._open, self._made = [], []

    def _by_logits(self, kind: str, tensor: Tensor) -> None:
        parts = [p for call in self._open for p in call.parts if p.held is not None]
        same = [(p, _offset(p, tensor)) for p in parts if shares(p.held, tensor)]
        if not same:
            wanted = tensor.detach().reshape(-1).float()
            same = [(p, at) for p in parts for at in _found_at(p.values, wanted)]
        if len(same) == 1:  # equal values twice: nobody knows which
            part, at = same[0]
            part.segments.append((kind, at, at + tensor.numel()))

    def _by_samples(self, call: Call, real: Any, fake: Any) -> None:
        first, kind = call.inputs[0], None
        if call.made or call.attached or equal(first, fake):
            kind = "fake"
        elif equal(first, real):
            kind = "real"
        if kind is not None:
            for part in call.parts:
                if part.first:
                    part.segments.append((kind, 0, part.values.numel()))


def _pull(part: Part, gradient: Tensor) -> None:
    task = torch._C._current_graph_task_id()
    flat = gradient.detach().reshape(-1).float()
    part.pulls[task] = part.pulls[task] + flat if task in part.pulls else flat.clone()


def _count_zeros(call: Call, gradient: Tensor) -> None:
    share = float((gradient.detach() == 0).float().mean())
    call.zeros[torch._C._current_graph_task_id()] = share


def callables(modules: Any) -> list[nn.Module]:
    """The modules to hook: what the loop calls, seen through data-parallel wrappers.

    A compiled module is hooked from outside, where its graph is not touched; one that was compiled
    in place is left alone.
    """
    if isinstance(modules, Mapping):
        modules = list(modules.values())
    found = []
    for module in modules if isinstance(modules, (list, tuple)) else [modules]:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        if isinstance(module, nn.Module) and not _compiled_in_place(module):
            found.append(module)
    return found


def _compiled_in_place(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in nested lists, tuples and mappings, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in tensors(v)]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in tensors(v)]
    return []


def logit_tensors(output: Any) -> list[Tensor]:
    """The logits of what a discriminator returned: of a tuple the first, of a list all."""
    if isinstance(output, tuple) and output:
        return logit_tensors(output[0])
    if isinstance(output, list):
        return [t for part in output for t in logit_tensors(part)]
    return tensors(output)


def shares(a: Tensor | None, b: Tensor) -> bool:
    """Whether two tensors lie in one piece of memory."""
    if a is None or a.device != b.device or not a.numel() or not b.numel():
        return False
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def _offset(part: Part, view: Tensor) -> int:
    assert part.held is not None
    return max(0, int(view.storage_offset()) - int(part.held.storage_offset()))


def _found_at(values: Tensor, wanted: Tensor) -> list[int]:
    """Where a call's values hold these, at its beginning or its end."""
    if not 0 < len(wanted) <= len(values) or values.device != wanted.device:
        return []
    starts = sorted({0, len(values) - len(wanted)})
    return [at for at in starts if torch.equal(values[at : at + len(wanted)], wanted)]


def equal(a: Tensor, b: Any) -> bool:
    """Whether `b` is the same samples: in one piece of memory with `a`, or number by number."""
    if not isinstance(b, Tensor) or a.shape != b.shape or a.device != b.device:
        return False
    return shares(a, b) or torch.equal(a, b.detach().to(a.dtype))


def _maker(tensor: Tensor) -> str:
    """The operation that made a tensor, looking through views; "" where it is not recorded."""
    node = tensor.grad_fn
    for _ in range(4):
        if node is None or not node.name().startswith(VIEWS):
            break
        node = node.next_functions[0][0]
    return "" if node is None else node.name()


def _squashed(tensor: Tensor) -> bool:
    return _maker(tensor).startswith("Sigmoid")


def _bound(tensor: Tensor) -> str | None:
    name = _maker(tensor)
    return next((word for word in ("tanh", "sigmoid") if name.lower().startswith(word)), None)


def _reaches(node: Any, parameters: set[int]) -> bool:
    """Whether the graph behind `node` leads to one of these parameters."""
    seen: set[Any] = set()
    stack = [node]
    while stack and len(seen) < MOST_NODES:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if id(getattr(node, "variable", None)) in parameters:
            return True
        stack += [following for following, _ in node.next_functions]
    return False
