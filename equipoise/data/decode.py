"""One image file, decoded wholly or refused by name."""

from __future__ import annotations

import os
import warnings
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from equipoise import errors
from equipoise.errors import DataError

if TYPE_CHECKING:
    import PIL.Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def decoded(
    file: str | os.PathLike[str] | IO[bytes],
    name: str,
    mode: str | None = None,
    side: int | None = None,
) -> PIL.Image.Image:
    """An image as "L" (grey) or "RGB", turned as its EXIF says and laid over white.

    Args:
        file: a path, or an open file.
        name: what errors call it.
        mode: None: grey where the file is, else colour.
        side: cut to the central square and resized to so many pixels with Pillow's bicubic filter;
            None: left in its size.

    Raises:
        DataError: it does not decode wholly, or has more than 8 bits a channel.
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise errors.need("pillow", "train") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                opened.load()
                image = _flat(ImageOps.exif_transpose(opened), mode)
        return (
            image if side is None else ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
        )
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; resize or remove it"
        ) from error
    except DataError as error:
        raise DataError(f"{name} {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, zlib.error ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name} is damaged or no image ({reason}); replace or remove it"
        ) from error


def _flat(image: PIL.Image.Image, mode: str | None) -> PIL.Image.Image:
    from PIL import Image

    if image.mode[0] in "IF":  # Pillow would clip these to white without a word
        raise DataError(
            f"has pixels of mode {image.mode!r}, more than 8 bits a channel; convert it to 8 bits"
        )
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode or ("L" if grey else "RGB"))


def scaled(image: PIL.Image.Image) -> Tensor:
    """Pixels (C, H, W) in 0 to 255, float32."""
    values = np.asarray(image, dtype=np.float32).reshape(*image.size[::-1], len(image.getbands()))
    return torch.from_numpy(values).permute(2, 0, 1)
