"""What every source of reals offers, and the refusal of settings that a source does not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from equipoise.errors import DataError

if TYPE_CHECKING:
    from equipoise.data.toys import Mixture


class Source(Protocol):
    """Real samples whose order is a function of (seed, images seen) alone.

    Attributes:
        shape: of one sample: (C, H, W) for images, (d,) for points.
        size: number of samples, None for an endless source.
        mixture: the known density, None where there is none.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def size(self) -> int | None: ...

    @property
    def mixture(self) -> Mixture | None: ...

    def batch(self, seed: int, images_seen: int, n: int) -> Tensor:
        """Samples at positions [images_seen, images_seen + n): float32 (n, *shape).

        However positions are cut into batches, the same position holds the same sample.
        """
        ...

    def reals(self, n: int, seed: int) -> Tensor:
        """A reference set for metrics, never augmented: float32 (m, *shape).

        Endless sources give m = n fresh samples. Finite ones give the first n of an order that
        depends on `seed` alone, and all their samples in their own order where n >= size.
        """
        ...


class Augmentation(Protocol):
    """Settings of `equipoise.data.augment.augment`; all at zero means off."""

    @property
    def flip(self) -> bool: ...

    @property
    def crop(self) -> int: ...

    @property
    def color(self) -> float: ...


def active(augmentation: Augmentation | None) -> bool:
    """Whether any change of the reals is on."""
    return augmentation is not None and bool(
        augmentation.flip or augmentation.crop > 0 or augmentation.color > 0
    )


def refuse(kind: str, reason: str, **settings: object) -> None:
    """Refuse settings that data of this kind does not read.

    Raises:
        DataError: one of `settings` is neither None nor an augmentation that is off.
    """
    for name, value in settings.items():
        if name == "augment" and not active(value):  # type: ignore[arg-type]  # named so
            continue
        if value is not None:
            raise DataError(
                f"data.{name} = {value!r} means nothing for data.kind = {kind!r}: {reason};"
                f" leave data.{name} out"
            )
