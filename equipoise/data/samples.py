"""Sets of samples on disk, read in order, a batch at a time: what metrics compare."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from equipoise.data.decode import SUFFIXES, decoded, scaled
from equipoise.errors import DataError

ARRAYS = (".npy", ".npz")
KEYS = ("images", "samples", "features", "x", "arr_0")  # of an archive of arrays, in this order
CHANNELS = (1, 3)
RANGES = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0), "0..255": (0.0, 255.0)}


@dataclass(frozen=True)
class Batch:
    """Consecutive samples of one shape.

    Attributes:
        names: what errors call them.
        values: images uint8 (N, C, H, W), or rows of numbers float32 (N, d).
    """

    names: Sequence[str]
    values: Tensor


class Samples(Protocol):
    """A set of samples in a fixed order."""

    @property
    def path(self) -> Path: ...

    def __len__(self) -> int: ...

    def batches(self, size: int, start: int = 0) -> Iterator[Batch]:
        """From sample `start` on, at most `size` at a time, fewer where the shape changes."""
        ...

    def content_hash(self) -> str:
        """sha256 over names and bytes of all samples."""
        ...


def open_samples(path: str | os.PathLike[str], *, values: str | None = None) -> Samples:
    """A folder of images, a zip of images, or an .npy or .npz array.

    Images may differ in size; grey ones stay grey. Subfolders are read too, in order of path; what
    starts with a dot is passed over. An array holds images (N, H, W, C) or (N, C, H, W) with 1 or 3
    channels (last, where both fit), or rows of numbers (N, d), such as features; of an archive with
    several arrays the first of `KEYS` is read.

    Args:
        path: where.
        values: the range of floating-point images, a key of `RANGES`; uint8 needs none.

    Raises:
        DataError: nothing there, no samples in it, or an array of another kind. Damaged samples are
            named when they are read.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        return ImageFiles(place, _named_files(place))
    if not place.is_file():
        raise DataError(f"{place}: no such file or folder; check the spelling")
    suffix = place.suffix.lower()
    if suffix in ARRAYS:
        return StoredArray(place, values)
    if suffix == ".zip":
        return ImageFiles(place, _named_members(place))
    raise DataError(f"{place}: samples are a folder of images, a .zip of images, .npy or .npz")


class ImageFiles:
    """Images of a folder or a zip."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self._names = path, _only_images(path, names)

    def __len__(self) -> int:
        return len(self._names)

    def batches(self, size: int, start: int = 0) -> Iterator[Batch]:
        """See `Samples`."""
        names: list[str] = []
        images: list[Tensor] = []
        for name, data in self._files(self._names[start:]):
            image = scaled(decoded(io.BytesIO(data), f"image {self.path / name}")).to(torch.uint8)
            if images and (len(images) == size or image.shape != images[0].shape):
                yield Batch(names, torch.stack(images))
                names, images = [], []
            names.append(name)
            images.append(image)
        if images:
            yield Batch(names, torch.stack(images))

    def content_hash(self) -> str:
        """See `Samples`."""
        digest = hashlib.sha256()
        for name, data in self._files(self._names):
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
        return digest.hexdigest()

    def _files(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        with contextlib.ExitStack() as stack:
            archive = None if self.path.is_dir() else stack.enter_context(_opened(self.path))
            for name in names:
                try:
                    data = (
                        (self.path / name).read_bytes() if archive is None else archive.read(name)
                    )
                except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                    reason = " ".join(str(error).split())
                    raise DataError(f"cannot read {self.path / name}: {reason}") from error
                yield name, data


def _named_files(root: Path) -> list[str]:
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        found += [Path(folder, name).relative_to(root).as_posix() for name in names]
    return found


def _named_members(path: Path) -> list[str]:
    with _opened(path) as archive:
        return [member.filename for member in archive.infolist() if not member.is_dir()]


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no zip archive, or a damaged one ({error})") from error


def _only_images(path: Path, names: Sequence[str]) -> list[str]:
    shown = [n for n in names if not any(part.startswith(".") for part in Path(n).parts)]
    images = sorted(n for n in shown if Path(n).suffix.lower() in SUFFIXES)
    if not images:
        counts = Counter(Path(n).suffix.lower() or "no suffix" for n in shown).most_common(5)
        listing = ", ".join(f"{suffix} x {n}" for suffix, n in counts) or "it is empty"
        kinds = ", ".join(s.removeprefix(".") for s in SUFFIXES)
        raise DataError(f"{path} holds no images ({listing}); images end in {kinds}")
    return images


class StoredArray:
    """Images or rows of numbers in one array; an .npy file is mapped, not loaded."""

    def __init__(self, path: Path, values: str | None) -> None:
        self.path = path
        self._array = _array(path)
        self._channels_last = False
        if self._array.ndim == 4:
            self._channels_last = _channels_last(path, self._array.shape)
        elif self._array.ndim != 2:
            raise DataError(
                f"{path} has shape {self._array.shape}: images are (N, H, W, C) or (N, C, H, W)"
                " with 1 or 3 channels, features (N, d)"
            )
        self._range = _range(path, self._array, values)

    def __len__(self) -> int:
        return len(self._array)

    def batches(self, size: int, start: int = 0) -> Iterator[Batch]:
        """See `Samples`."""
        for first in range(start, len(self), size):
            part = np.array(self._array[first : first + size])  # a map cannot be a tensor
            names = [f"{self.path.name}[{i}]" for i in range(first, first + len(part))]
            yield Batch(names, self._values(part, names))

    def _values(self, part: np.ndarray, names: Sequence[str]) -> Tensor:
        tensor = torch.from_numpy(part)
        if tensor.dim() == 2:
            return tensor.float() if tensor.dtype != torch.float64 else tensor
        if self._channels_last:
            tensor = tensor.permute(0, 3, 1, 2)
        return tensor if self._range is None else _as_bytes(tensor, self._range, names)

    def content_hash(self) -> str:
        """See `Samples`."""
        array = self._array
        digest = hashlib.sha256(f"{array.dtype.str}{array.shape}{self._range}".encode())
        for first in range(0, len(array), 1024):
            digest.update(np.ascontiguousarray(array[first : first + 1024]).tobytes())
        return digest.hexdigest()


def _array(path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() == ".npy":
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        with np.load(path, allow_pickle=False) as archive:
            key = next((k for k in KEYS if k in archive), None)
            if key is None:
                raise DataError(
                    f"{path} holds the arrays {', '.join(archive) or 'none'}: name the samples one"
                    f" of {', '.join(KEYS)}"
                )
            return np.asarray(archive[key])
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is no array file, or a damaged one ({reason})") from error


def _channels_last(path: Path, shape: Sequence[int]) -> bool:
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if not (first or last):
        raise DataError(
            f"{path} has shape {tuple(shape)}: images have 1 or 3 channels, (N, H, W, C) or"
            " (N, C, H, W)"
        )
    return last


def _range(path: Path, array: np.ndarray, values: str | None) -> tuple[float, float] | None:
    """The range of floating-point images, None for bytes and for rows of numbers."""
    if array.ndim == 2 or array.dtype == np.uint8:
        if values is not None:
            raise DataError(
                f"values = {values!r}: {path} holds {array.dtype} of shape {array.shape}, whose"
                " range is known; leave it out"
            )
        return None
    if values not in RANGES:
        raise DataError(
            f"{path} holds {array.dtype} images; say what range their values have: values ="
            f" {' or '.join(repr(name) for name in RANGES)} (was {values!r})"
        )
    return RANGES[values]


def _as_bytes(images: Tensor, limits: tuple[float, float], names: Sequence[str]) -> Tensor:
    """Rounded to 0..255; what lies outside of the range by more than rounding is refused."""
    low, high = limits
    slack = (high - low) / 510  # half a level
    finite = images.isfinite().flatten(1).all(1)
    fits = ((images >= low - slack) & (images <= high + slack)).flatten(1).all(1)
    for at in (~(finite & fits)).nonzero().flatten().tolist():
        found = (
            f"values from {float(images[at].min()):.4g} to {float(images[at].max()):.4g}"
            if bool(finite[at])
            else "NaN or infinity"
        )
        raise DataError(
            f"image {names[at]} holds {found}, and the range was said to be {low:g}..{high:g};"
            " clip the images, or say the range that they have"
        )
    levels = (images.double() - low) * (255 / (high - low))
    return levels.round().clamp(0, 255).to(torch.uint8)
