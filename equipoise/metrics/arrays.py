"""Arrays as metrics read them: float64 on the CPU, one row per sample."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Array = Tensor | np.ndarray


def rows(array: Array, name: str, least: int = 1) -> Tensor:
    """`array` as float64 (N, d), refused unless it has two axes, N >= `least` and finite values.

    Raises:
        ValueError: names the array, and the first row that is not finite.
    """
    tensor = torch.as_tensor(array).detach().cpu().double()  # to the CPU first: MPS has no float64
    if tensor.dim() != 2 or len(tensor) < least:
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}: must be (N, d) with N >= {least};"
            " flatten images, or give more samples"
        )
    broken = (~torch.isfinite(tensor)).any(dim=1).nonzero()
    if len(broken):
        raise ValueError(
            f"{name}: row {int(broken[0])} holds NaN or infinity ({len(broken)} of {len(tensor)}"
            " rows do); remove them, or find what made them"
        )
    return tensor


def same_width(first: Tensor | np.ndarray, second: Tensor | np.ndarray, names: str) -> None:
    """Refuse arrays (N, d) and (M, e) unless d = e.

    Raises:
        ValueError: d differs from e.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{names} have {first.shape[1]} and {second.shape[1]} dimensions; both must come from"
            " the same features"
        )
