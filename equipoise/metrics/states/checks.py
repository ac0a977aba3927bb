"""Features as a state takes them in, and what states ask of one another."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array


def admitted(features: Array, d: int | None, seen: int) -> Tensor:
    """`features` as a detached tensor (N, d) of finite values, of any float type and N >= 0.

    Args: d None for any width; `seen` rows came before, so that a broken one has its number.

    Raises:
        ValueError: not two axes, another width, or NaN or infinity (the first sample is named).
    """
    tensor = torch.as_tensor(features).detach()
    if tensor.dim() != 2 or (d is not None and tensor.shape[1] != d):
        raise ValueError(
            f"features has shape {tuple(tensor.shape)}: must be (N, {'d' if d is None else d}), one"
            " row per sample; flatten what has more axes, and keep to one extractor per state"
        )
    if not tensor.is_floating_point():
        tensor = tensor.double()
    # one sum is cheaper than a mask; it may overflow on finite values, and then the mask decides
    if tensor.numel() and not bool(torch.isfinite(tensor.sum(dtype=wide(tensor)))):
        _refuse_broken(tensor, seen)
    return tensor


def wide(tensor: Tensor) -> torch.dtype:
    """The type to sum in: float64, and float32 on MPS, which has no other."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _refuse_broken(tensor: Tensor, seen: int) -> None:
    broken = (~torch.isfinite(tensor)).any(dim=1).nonzero().flatten().tolist()
    if broken:
        raise ValueError(
            f"features: sample {seen + broken[0]} (row {broken[0]} of this batch) holds NaN or"
            f" infinity, as do {len(broken)} of the batch's {len(tensor)} rows; leave the image"
            " out, or find what broke it (float16 overflows at 65504)"
        )


def refuse(name: str, mine: object, others: object, what: str, out: str) -> None:
    """Refuse two states that differ in `what`.

    Raises:
        ValueError: `mine` is not `others`.
    """
    if mine != others:
        raise ValueError(f"{name}: {what} is {mine} here and {others} there; {out}")
