"""What a network is made of and what runs in which order: looked at on a private copy."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (nn.Linear, nn.Bilinear, *CONVOLUTIONS, *TRANSPOSED)
BATCH_NORM = nn.modules.batchnorm._BatchNorm
MAX_POOLING = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
POOLING = (*MAX_POOLING, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
RECTIFIERS = (nn.ReLU, nn.ReLU6)
PARAMETRIZATIONS = "parametrizations"
BEFORE = "_forward_pre_hooks"
HOOKS = (BEFORE, "_forward_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a part of a network, with the tensors that went in and came out."""

    name: str
    module: nn.Module
    inputs: tuple[Any, ...]
    output: Any


@dataclass
class Calls:
    """Calls of all parts in the order in which they finished."""

    made: list[Call] = field(default_factory=list)

    def of(self, kinds: tuple[type, ...] | type) -> list[Call]:
        """The calls of parts of these kinds."""
        return [call for call in self.made if isinstance(call.module, kinds)]

    def owners(self) -> list[Call]:
        """The calls of parts that hold weights of their own, the network as a whole left out."""
        return [call for call in self.made if call.name and _owns_weights(call.module)]


def _owns_weights(module: nn.Module) -> bool:
    if isinstance(module, (*WEIGHTED, BATCH_NORM)) and any(True for _ in module.parameters()):
        return True  # a single number may be all the weights that such a layer has
    own = [p for p in module._parameters.values() if p is not None]
    return any(p.numel() > 1 for p in own) or hasattr(module, PARAMETRIZATIONS)


def twin(module: nn.Module) -> nn.Module:
    """A copy that shares nothing with `module` and on which nobody listens.

    Hooks that look on are left behind; hooks before a layer stay, because older spectral and weight
    normalization compute in them.
    """
    shared: dict[int, Any] = {}
    for part in module.modules():
        for kind in HOOKS:  # a hook may hold half the program: it is not copied
            shared |= {id(hook): hook for hook in getattr(part, kind, {}).values()}
    made = copy.deepcopy(module, shared)
    for part in made.modules():
        for kind in HOOKS:
            hooks = getattr(part, kind)
            kept = {k: h for k, h in hooks.items() if kind == BEFORE and not _ours(h)}
            hooks.clear()
            hooks.update(kept)
    return made


def _ours(hook: Any) -> bool:
    """Whether a hook is a monitor's."""
    return str(getattr(hook, "__module__", "")).startswith("equipoise.monitor")


@contextlib.contextmanager
def listening(module: nn.Module) -> Iterator[Calls]:
    """Every call of a part of `module`, parametrizations left out."""
    calls = Calls()
    handles = [
        part.register_forward_hook(_noting(calls, name))
        for name, part in module.named_modules()
        if PARAMETRIZATIONS not in name.split(".")
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _noting(calls: Calls, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.made.append(Call(name, module, inputs, output))

    return note


def structure(calls: Calls) -> dict[str, Any]:
    """Facts that follow from which layers ran in which order.

    batch_norms, max_pooling: names of layers. batch_norm_first: one before the second weighted
    layer. batch_norm_last: one behind the last. last_weighted: its name. rectifiers: "relu",
    "leaky", "mixed" or "other". transposed: (name, kernel, stride) of each axis with several
    pixels. hidden_dense: dense layers fed a flattened map, heads left out. dead: (name, share of
    units that are 0 for all samples) of the worst rectifier, or None.
    """
    weighted = calls.of(WEIGHTED)
    owners = calls.owners()
    return {
        "batch_norms": [call.name for call in calls.of(BATCH_NORM)],
        "batch_norm_first": _normalized_first(calls),
        "batch_norm_last": bool(owners) and isinstance(owners[-1].module, BATCH_NORM),
        "max_pooling": [call.name for call in calls.of(MAX_POOLING)],
        "rectifiers": _rectifiers(calls),
        "transposed": [axis for call in calls.of(TRANSPOSED) for axis in _axes(call)],
        "last_weighted": weighted[-1].name if weighted else None,
        "hidden_dense": [call.name for call in weighted if _flattens(call, calls)],
        "dead": _most_dead(calls),
    }


def _normalized_first(calls: Calls) -> bool:
    """Whether batch normalization comes before the second weighted layer, in nets of three."""
    kinds = [call.module for call in calls.of((*WEIGHTED, BATCH_NORM))]
    weighted = [i for i, module in enumerate(kinds) if isinstance(module, WEIGHTED)]
    if len(weighted) < 3:
        return False
    return any(isinstance(module, BATCH_NORM) for module in kinds[: weighted[1]])


def _rectifiers(calls: Calls) -> str:
    plain, leaky = calls.of(RECTIFIERS), calls.of((nn.LeakyReLU, nn.PReLU))
    if plain and leaky:
        return "mixed"
    return "relu" if plain else "leaky" if leaky else "other"


def _axes(call: Call) -> list[tuple[str, int, int]]:
    """Kernel and stride of each axis, once; a single pixel has no neighbour to overlap with."""
    layer: Any = call.module
    sizes = call.inputs[0].shape[2:]
    pairs = zip(layer.kernel_size, layer.stride, sizes, strict=True)
    wide = dict.fromkeys((kernel, stride) for kernel, stride, size in pairs if size > 1)
    return [(call.name, int(kernel), int(stride)) for kernel, stride in wide]


def _flattens(call: Call, calls: Calls) -> bool:
    """Whether a dense layer reads the flattened map before it, for a dense layer behind it."""
    if not isinstance(call.module, nn.Linear):
        return False
    place = calls.made.index(call)
    before, behind = calls.made[:place], [c.module for c in calls.made[place + 1 :]]
    fed = (m.in_features for m in behind if isinstance(m, nn.Linear))
    if call.module.out_features not in fed:
        return False  # a head
    maps = [c.output for c in before if isinstance(c.module, (*CONVOLUTIONS, *TRANSPOSED))]
    if not maps or not isinstance(maps[-1], Tensor) or maps[-1].dim() < 3:
        return False
    return call.module.in_features == maps[-1][0].numel()


def _most_dead(calls: Calls) -> tuple[str, float] | None:
    shares = [(call.name, dead_share(call.output)) for call in calls.of(RECTIFIERS)]
    return max(shares, key=lambda pair: pair[1]) if shares else None


def dead_share(output: Tensor) -> float:
    """Share of units (channels of a map) that are 0 for every sample."""
    units = output.detach().transpose(0, 1).flatten(1) if output.dim() > 1 else output[None]
    return float((units == 0).all(dim=1).float().mean())


def receptive_field(calls: Calls, output: Tensor) -> int | None:
    """Side in input pixels that one logit sees: 1 + sum (kernel - 1) dilation prod(strides before).

    None where one logit sees the whole image (a dense head, or a map of one pixel). Parallel
    branches are added up, so that the true field is never larger.
    """
    if output.dim() < 4 or output.shape[-1] * output.shape[-2] == 1:
        return None
    field, jump = 1, 1
    for call in calls.of((*CONVOLUTIONS, *POOLING)):
        layer: Any = call.module
        kernel, stride = _last(layer.kernel_size), _last(layer.stride)
        dilation = _last(getattr(layer, "dilation", 1))
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return field


def _last(value: Any) -> int:
    return int(value[-1] if isinstance(value, (tuple, list)) else value)


@contextlib.contextmanager
def replaced(call: Call, scale: float) -> Iterator[None]:
    """Let the layer of `call` give N(0, scale^2) whatever goes in."""

    def other(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        return scale * torch.randn_like(output) if isinstance(output, Tensor) else output

    handle = call.module.register_forward_hook(other)
    try:
        yield
    finally:
        handle.remove()


def spectrally_normalized(module: nn.Module) -> bool:
    """Whether any layer is held by spectral normalization, of either of torch's kinds or exact."""
    parts = list(module.modules())
    hooks = [hook for part in parts for hook in part._forward_pre_hooks.values()]
    return any("SpectralNorm" in type(found).__name__ for found in [*parts, *hooks])
