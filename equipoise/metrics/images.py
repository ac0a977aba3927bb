"""Images as metrics read them: (N, C, H, W), finite, and inside the range that was stated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array

Images = Array | Sequence[Array]
Range = tuple[float, float]

CHUNK = 64  # items brought to float64 at once
SLACK = 1e-5  # of the range: more than float32 rounding of (x + 1) / 2 * 255 adds


def image_batch(
    images: Images, name: str, data_range: Range | None = None, least: int = 1
) -> Tensor:
    """`images` as (N, C, H, W) in their own type, checked; a list is stacked.

    Raises:
        ValueError: another number of axes, fewer than `least`, a list of mixed sizes, NaN or
            infinity, a value outside `data_range`; the first image at fault is named.
    """
    return checked_batch(images, name, "NCHW", data_range, least)


def checked_batch(
    items: Images,
    name: str,
    axes: str,
    data_range: Range | None = None,
    least: int = 1,
    item: str = "image",
) -> Tensor:
    """Items of any kind, `axes` naming their tensor ("NCHW", "NTCHW", "NPD", "NT")."""
    batch = _stacked(items, name, item)
    if batch.dim() != len(axes) or len(batch) < least or 0 in batch.shape:
        wanted = ", ".join(axes)
        raise ValueError(
            f"{name} has shape {tuple(batch.shape)}: must be ({wanted}), none 0, with N >= {least};"
            f" reshape, or give more {item}s"
        )
    if data_range is not None:
        _check_range(data_range)
    for start in range(0, len(batch), CHUNK):
        _check_values(batch[start : start + CHUNK], start, name, data_range, item)
    return batch


def same_shape(first: Tensor, second: Tensor, names: str, from_axis: int = 0) -> None:
    """Refuse two batches whose shapes differ from axis `from_axis` on.

    Raises:
        ValueError: they differ; grayscale against colour is called that.
    """
    one, two = tuple(first.shape), tuple(second.shape)
    if one[from_axis:] == two[from_axis:]:
        return
    way = "resize or crop both alike"
    if from_axis == 0 and one[0] != two[0]:
        way = "give as many of the one as of the other, paired by position"
    elif len(one) > 3 and len(two) > 3 and one[-3] != two[-3]:
        way = "grayscale against colour: repeat the gray channel, or turn the colour images gray"
    raise ValueError(f"{names} have shapes {one} and {two}: must agree; {way}")


def from_zero(batch: Tensor, data_range: Range, width: float = 1.0) -> Tensor:
    """float64 on the CPU, `data_range` brought to [0, width]."""
    low, high = data_range
    return (batch.detach().cpu().double() - low) * (width / (high - low))


def pair_chunks(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both batches, `CHUNK` items at a time."""
    for start in range(0, len(first), CHUNK):
        yield first[start : start + CHUNK], second[start : start + CHUNK]


def _stacked(items: Images, name: str, item: str) -> Tensor:
    if isinstance(items, Tensor) or not isinstance(items, list | tuple):
        return torch.as_tensor(items).detach()
    each = [torch.as_tensor(one).detach() for one in items]
    for index, one in enumerate(each):
        if one.shape != each[0].shape:
            raise ValueError(
                f"{name}: {item} {index} has shape {tuple(one.shape)} and {item} 0"
                f" {tuple(each[0].shape)}; all must agree: resize or crop them alike"
            )
    if not each:
        raise ValueError(f"{name} is empty: must hold at least one {item}")
    return torch.stack(each)


def _check_range(data_range: Range) -> None:
    low, high = data_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"data_range = {data_range}: must be (low, high), finite, low < high; (-1, 1) for tanh,"
            " (0, 255) for bytes"
        )


def _check_values(
    chunk: Tensor, start: int, name: str, data_range: Range | None, item: str
) -> None:
    flat = chunk.flatten(1)
    broken = (~torch.isfinite(flat)).any(dim=1).nonzero()
    if len(broken):
        raise ValueError(
            f"{name}: {item} {start + int(broken[0])} holds NaN or infinity; remove it, or find"
            " what made it"
        )
    if data_range is None:
        return
    low, high = data_range
    slack = SLACK * (high - low)
    outside = ((flat < low - slack) | (flat > high + slack)).any(dim=1).nonzero()
    if len(outside):
        one = flat[int(outside[0])]
        raise ValueError(
            f"{name}: {item} {start + int(outside[0])} spans [{float(one.min()):.4g},"
            f" {float(one.max()):.4g}], outside data_range {data_range}; state the true range, or"
            " clamp first"
        )
