"""From a position in the endless stream of samples to places in blocks (epochs) of fixed size."""

from __future__ import annotations

from collections.abc import Iterator


def spans(images_seen: int, n: int, block: int) -> Iterator[tuple[int, int, int]]:
    """(block index, start, stop): positions [images_seen, images_seen + n) cut at block borders.

    >>> list(spans(5, 6, 4))
    [(1, 1, 4), (2, 0, 3)]

    Raises:
        ValueError: n < 1 or images_seen < 0.
    """
    if n < 1 or images_seen < 0:
        raise ValueError(
            f"batch of n = {n} at images_seen = {images_seen}: n must be at least 1 and images_seen"
            " at least 0"
        )
    position, end = images_seen, images_seen + n
    while position < end:
        index, start = divmod(position, block)
        stop = min(block, start + end - position)
        yield index, start, stop
        position += stop - start
