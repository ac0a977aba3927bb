"""Sums and broadcasts over torch.distributed, for states on any device under any backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed


def ready(what: str) -> None:
    """Refuse to speak where no process group is.

    Raises:
        RuntimeError: torch.distributed is not initialized.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        raise RuntimeError(
            f"{what}: torch.distributed is not initialized; call init_process_group first, or use"
            " merge() within one process"
        )


def agree(group: Any, values: Sequence[int], what: str, names: str) -> None:
    """Refuse, on every process alike, integers that differ between processes.

    Raises:
        RuntimeError: torch.distributed is not initialized.
        ValueError: they differ.
    """
    ready(what)
    mine = torch.tensor([*values, *(-int(v) for v in values)], dtype=torch.int64)
    highest = _on_wire(mine, group)
    distributed.all_reduce(highest, op=distributed.ReduceOp.MAX, group=group)
    high, low = highest.cpu()[: len(values)], -highest.cpu()[len(values) :]
    if not torch.equal(high, low):
        raise ValueError(
            f"{what}: ({names}) is {tuple(int(v) for v in values)} here and lies between"
            f" {tuple(low.tolist())} and {tuple(high.tolist())} over the processes; make the"
            " states alike on each"
        )


def total(tensor: Tensor, group: Any) -> Tensor:
    """The sum over all processes; the tensor given stays."""
    summed = _on_wire(tensor, group)
    distributed.all_reduce(summed, group=group)
    return summed


def sent(tensor: Tensor, source: int, group: Any) -> Tensor:
    """What the `source`-th process of the group holds; elsewhere `tensor` gives shape and type."""
    copy = _on_wire(tensor, group)
    distributed.broadcast(copy, distributed.get_global_rank(_group(group), source), group=group)
    return copy.cpu()


def place(group: Any) -> tuple[int, int]:
    """This process's rank in the group and the number of processes."""
    return distributed.get_rank(group), distributed.get_world_size(group)


def _group(group: Any) -> Any:
    return distributed.group.WORLD if group is None else group


def _on_wire(tensor: Tensor, group: Any) -> Tensor:
    cuda = "nccl" in str(distributed.get_backend(group))  # NCCL moves nothing that lies on the CPU
    return tensor.detach().to("cuda" if cuda else "cpu", copy=True).contiguous()
