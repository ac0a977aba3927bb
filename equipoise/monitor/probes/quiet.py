"""What makes a pass of one's own leave no trace: modes, attributes and random states put back."""

from __future__ import annotations

import contextlib
import random
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

WATCHERS = "equipoise.monitor"
SEED = 0  # probes draw the same numbers each time: they differ by the weights alone


@contextlib.contextmanager
def restored(modules: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """Gradients on, autocast off, compiled code eager, random numbers from a fixed seed.

    The monitor's own forward hooks are off inside: they read the loop's passes, not a probe's. On
    the way out every part has the attributes that it had: its mode, plain tensors (bitwise), lists
    and dicts with the members that they held; torch's, Python's and numpy's random states are what
    they were. Parameters and buffers are no concern of this: a `Stage` lends its own.
    """
    kept = [_kept(part) for module in modules for part in module.modules()]
    devices = [device] if device.type != "cpu" else []
    kind = device.type if devices else "cuda"  # with no devices the kind is not used
    python, arrays = random.getstate(), np.random.get_state()
    try:
        for part, *_ in kept:
            _mute(part)
        with (
            torch.random.fork_rng(devices=devices, device_type=kind),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
            _eager(),
        ):
            reseed(device)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        for part, attributes, members, tensors in kept:
            _put_back(part, attributes, members, tensors)


def reseed(device: torch.device, seed: int = SEED) -> None:
    """The same draws again, on the processor and on `device`; no other device is touched."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _eager() -> Any:
    """Compiled functions run as written: a probe is not worth a compilation."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and its import is slow
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")


def _mute(part: nn.Module) -> None:
    for hooks in (part._forward_hooks, part._forward_pre_hooks):
        for key, hook in list(hooks.items()):
            if str(getattr(hook, "__module__", "")).startswith(WATCHERS):
                del hooks[key]


_Kept = tuple[nn.Module, dict[str, Any], list[tuple[Any, Any]], list[tuple[Tensor, int, Tensor]]]


def _kept(part: nn.Module) -> _Kept:
    attributes = dict(vars(part))
    held = (v for v in attributes.values() if type(v) in (list, set, dict, OrderedDict))
    members = [(v, v.copy()) for v in held]
    plain = [v for v in attributes.values() if isinstance(v, Tensor)]
    with torch.no_grad():
        tensors = [(v, v._version, v.detach().clone()) for v in plain if not v.is_inference()]
    return part, attributes, members, tensors


def _put_back(
    part: nn.Module,
    attributes: dict[str, Any],
    members: list[tuple[Any, Any]],
    tensors: list[tuple[Tensor, int, Tensor]],
) -> None:
    for container, saved in members:
        if len(container) == len(saved) == 0:
            continue
        container.clear()
        (container.extend if isinstance(container, list) else container.update)(saved)
    for name in vars(part).keys() - attributes.keys():
        del vars(part)[name]
    vars(part).update(attributes)
    for tensor, version, saved in tensors:
        if tensor._version != version:
            with torch.no_grad():
                tensor.detach().copy_(saved)
