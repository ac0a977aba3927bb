"""The arrays that a run left beside its trace, read without trust."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import RecordError
from equipoise.record import Blob, Trace

Loaded = list[tuple[Blob, NDArray[Any]]]


def entries(trace: Trace, name: str) -> list[Blob]:
    """The blobs called `name` by rising step; of one step the newest."""
    newest = {blob.step: blob for blob in trace.blobs if blob.name == name}
    return [newest[step] for step in sorted(newest)]


def load(trace: Trace, blob: Blob, grid: bool = False) -> NDArray[Any]:
    """The array of a blob, mapped from disk; nothing in it is executed.

    Images are uint8 (n, C, H, W) with C 1 or 3, points are floats (n, 2); with `grid` both have
    (rows, columns) in the place of n.

    Raises:
        RecordError: it lies outside the run's folder, is missing, cannot be read, or is
            neither images nor points.
    """
    path = _path(trace, blob)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise _skipped(blob, "the file is missing") from None
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError):
        raise _skipped(blob, "the file is not a readable .npy array") from None
    if not isinstance(array, np.ndarray) or not _drawable(array, grid):
        many = "rows, columns" if grid else "n"
        kind = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise _skipped(
            blob,
            f"it holds {kind}; expected uint8 images ({many}, C, H, W) with C 1 or 3,"
            f" or float points ({many}, 2)",
        )
    return array


def load_each(trace: Trace, blobs: Sequence[Blob], grid: bool = False) -> tuple[Loaded, list[str]]:
    """What can be read of `blobs`, and a line for each that cannot.

    Arrays that differ in kind or item shape from the newest one are left out with a line too.
    """
    found: Loaded = []
    skipped: list[str] = []
    for blob in blobs:
        try:
            found.append((blob, load(trace, blob, grid)))
        except RecordError as error:
            skipped.append(str(error))
    alike = [pair for pair in found if _kind(pair[1]) == _kind(found[-1][1])]
    skipped += [
        str(_skipped(b, "its shape differs from the newest one's"))
        for b, a in found
        if _kind(a) != _kind(found[-1][1])
    ]
    return alike, skipped


def is_images(array: NDArray[Any]) -> bool:
    """Whether it holds images rather than points."""
    return array.dtype == np.uint8


def _path(trace: Trace, blob: Blob) -> Path:
    if trace.path is None:
        raise _skipped(blob, "the trace has no folder")
    folder = Path(trace.path).parent.resolve()
    try:
        path = (folder / str(blob.path)).resolve()
    except (OSError, ValueError, RuntimeError):
        raise _skipped(blob, "the path is not valid") from None
    if not path.is_relative_to(folder):
        raise _skipped(blob, "the path leaves the run's folder")
    return path


def _skipped(blob: Blob, reason: str) -> RecordError:
    return RecordError(f"{blob.name} at step {blob.step} ({blob.path}): {reason}")


def _drawable(array: NDArray[Any], grid: bool) -> bool:
    if array.size == 0:
        return False
    if is_images(array):
        return array.ndim == 4 + grid and array.shape[-3] in (1, 3)
    return array.dtype.kind == "f" and array.ndim == 2 + grid and array.shape[-1] == 2


def _kind(array: NDArray[Any]) -> tuple[Any, ...]:
    items = array.shape[-3:] if is_images(array) else array.shape[-1:]
    return (is_images(array), array.ndim, *items)
