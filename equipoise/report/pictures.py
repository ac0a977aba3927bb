"""Images as one PNG picture, small pixels enlarged so that they are seen."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP = 2  # pixels between tiles
GAP_GREY = 128  # seen on white and on black
TILE = 48  # pixels that a tile has at least about, by whole enlargement


@dataclass(frozen=True)
class Plan:
    """How much is drawn: tiles per picture, points in time, longest side of a tile in pixels."""

    tiles: int
    frames: int
    side: int


PLANS = tuple(
    Plan(*plan)
    for plan in (
        (64, 40, 128),
        (36, 40, 128),
        (16, 40, 128),
        (16, 20, 128),
        (16, 12, 64),
        (16, 8, 64),
        (9, 8, 64),
        (9, 6, 32),
    )
)


def fitting(stacks: Sequence[NDArray[Any]], budget: int, plans: Sequence[Plan] = PLANS) -> Plan:
    """The first plan whose pictures of `stacks`, each (n, C, H, W), fit `budget` bytes.

    None fits: the last. The size is judged from the first, the middle and the last stack.
    """
    probes = [stacks[i] for i in sorted({0, len(stacks) // 2, len(stacks) - 1})]
    for plan in plans:
        largest = max(len(picture(stack, plan)) for stack in probes)
        if largest * min(len(stacks), plan.frames) <= budget:
            return plan
    return plans[-1]


def picture(images: NDArray[np.uint8], plan: Plan, columns: int | None = None) -> str:
    """Images (n, C, H, W) as a grid, in a `data:` address; `columns` None: as square as it goes."""
    shown = np.asarray(images[: plan.tiles]) if columns is None else np.asarray(images)
    columns = columns or int(np.ceil(np.sqrt(len(shown))))
    return data_address(grid(_sized(shown, plan.side), columns))


def _sized(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Tiles enlarged by repeating pixels, or reduced by averaging to at most `side`."""
    longest = max(images.shape[-2:])
    if longest > side:
        return _reduced(images, -(-longest // side))
    factor = max(1, TILE // longest)
    return images.repeat(factor, axis=-2).repeat(factor, axis=-1)


def _reduced(images: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    small = [
        [np.asarray(Image.fromarray(np.ascontiguousarray(c)).reduce(factor)) for c in image]
        for image in images
    ]
    return np.asarray(small, np.uint8)


def grid(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Tiles (n, C, h, w) row by row as one picture (H, W, C), a grey gap between them."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels)
    canvas = np.full(shape, GAP_GREY, np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return canvas


def data_address(pixels: NDArray[np.uint8]) -> str:
    """Pixels (H, W, 1 or 3) as PNG in a `data:` address."""
    buffer = io.BytesIO()
    grey = pixels.shape[-1] == 1
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    image.save(buffer, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
