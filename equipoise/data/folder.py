"""A folder of images, read once and held in memory."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from equipoise.data.arrays import ArraySource
from equipoise.data.decode import SUFFIXES, decoded, scaled
from equipoise.data.source import Augmentation
from equipoise.errors import DataError

LARGEST = 2 << 30  # bytes of float32 pixels held in memory


def open_folder(
    *,
    path: str | os.PathLike[str] | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    augment: Augmentation | None = None,
) -> ArraySource:
    """Every image under `path` (subfolders too, in order of path), as (channels, side, side).

    Each is turned as its EXIF says, laid over white where transparent, cut to the central square
    and resized with Pillow's bicubic filter to `resolution` pixels a side, in [-1, 1]. Files and
    folders whose name starts with a dot are passed over; of moving images the first frame is read.
    All pixels are decoded here and stay in memory: 4 x channels x resolution^2 bytes an image.

    Raises:
        DataError: no such folder, fewer than 2 images, an image that does not decode wholly or has
            more than 8 bits a channel, more than 2 GiB in all, or a wrong setting.
        MissingExtraError: Pillow is not installed.
    """
    channels = 3 if channels is None else channels
    side = _side(resolution, channels)
    root = _root(path)
    images = _images(root)
    _refuse_too_large(root, len(images), channels, side)
    pixels = torch.empty(len(images), channels, side, side)
    for row, image in zip(pixels, images, strict=True):
        row.copy_(_read(image, channels, side))
    return ArraySource(pixels, augment)


def _side(resolution: int | None, channels: int) -> int:
    if resolution is None or resolution < 1:
        raise DataError(
            f"data.resolution = {resolution}: data.kind = 'folder' needs the side in pixels that"
            " images are resized to; set it, for example data.resolution=32"
        )
    if channels not in (1, 3):
        raise DataError(f"data.channels = {channels}: must be 1 (grey) or 3 (RGB)")
    return resolution


def _root(path: str | os.PathLike[str] | None) -> Path:
    if not path:
        raise DataError("data.path is not set: data.kind = 'folder' needs the folder of images")
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"data.path = {str(path)!r}: no such folder; check the spelling")
    if not root.is_dir():
        raise DataError(
            f"data.path = {str(path)!r} is a file; give the folder that holds the images"
        )
    return root


def _images(root: Path) -> list[Path]:
    files = _files(root)
    images = [f for f in files if f.suffix.lower() in SUFFIXES]
    kinds = ", ".join(s.removeprefix(".") for s in SUFFIXES)
    if not files:
        raise DataError(
            f"data.path = {str(root)!r}: the folder is empty; put images in it ({kinds})"
        )
    if not images:
        found = Counter(f.suffix.lower() or "no suffix" for f in files)
        listing = ", ".join(f"{suffix} x {n}" for suffix, n in found.most_common(5))
        raise DataError(
            f"data.path = {str(root)!r}: {len(files)} files, none an image: {listing};"
            f" images end in {kinds}"
        )
    if len(images) < 2:
        raise DataError(
            f"data.path = {str(root)!r} holds 1 image ({images[0].name}); training needs at least 2"
        )
    return images


def _files(root: Path) -> list[Path]:
    found = []
    for folder, subfolders, names in os.walk(root, onerror=_unreadable):
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def _unreadable(error: OSError) -> None:
    raise DataError(
        f"cannot list folder {error.filename}: {error.strerror}; make it readable"
    ) from error


def _refuse_too_large(root: Path, count: int, channels: int, side: int) -> None:
    needed = 4 * count * channels * side * side
    if needed > LARGEST:
        raise DataError(
            f"data.path = {str(root)!r}: {count} images of {channels} x {side} x {side} need"
            f" {needed / 2**30:.1f} GiB of memory, and the limit is {LARGEST / 2**30:.0f} GiB;"
            " lower data.resolution or use fewer images"
        )


def _read(path: Path, channels: int, side: int) -> Tensor:
    image = decoded(path, f"image {path}", "L" if channels == 1 else "RGB", side)
    return scaled(image) / 127.5 - 1
