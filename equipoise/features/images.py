"""From images as users hold them to what a network reads: checked, quantized, resized, scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise import errors
from equipoise.errors import DataError
from equipoise.features.resize import RESIZES, center_crop

SLACK = 1e-3  # by which floats may leave [-1, 1]: an eighth of a level, tanh's rounding and more

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def rounded(images: Tensor) -> Tensor:
    """Levels 0..255 of images in [-1, 1]: floor(127.5 x + 128), clamped; StyleGAN's, the field's.

    It is round((x + 1) * 127.5) with halves up.
    """
    return (images * 127.5 + 128).floor().clamp(0, 255)


def truncated(images: Tensor) -> Tensor:
    """Levels 0..255 of images in [-1, 1]: floor((x + 1) * 127.5), clamped; torchmetrics' way.

    Half a level darker than `rounded` on average.
    """
    return ((images + 1) / 2 * 255).floor().clamp(0, 255)


def unquantized(images: Tensor) -> Tensor:
    """(x + 1) * 127.5, not rounded."""
    return (images + 1) * 127.5


QUANTIZATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "round": rounded,
    "truncate": truncated,
    "none": unquantized,
}


def _moments(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    def column(values: Sequence[float]) -> Tensor:
        return images.new_tensor(values).view(-1, 1, 1)

    return (images / 255 - column(mean)) / column(std)


NORMALIZATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "bytes": lambda images: images,
    "tf": lambda images: (images - 128) / 128,  # the 2015 graph, torch-fidelity, StyleGAN
    "unit": lambda images: images / 127.5 - 1,  # 2 x - 1 of pytorch-fid
    "imagenet": lambda images: _moments(images, *IMAGENET),
    "clip": lambda images: _moments(images, *CLIP),
}
AS_GIVEN = "as_given"
CROPS = ("none", "center")
GRAYS = ("keep", "tell", "repeat", "refuse")
BEYONDS = ("refuse", "clamp")


@dataclass(frozen=True)
class Preprocess:
    """What is done to images before a network reads them; all of it is part of the metric.

    Attributes:
        resize: a name in RESIZES, or "none".
        size: side in pixels after `resize`.
        crop: "center" takes the middle square first; "none" squeezes oblong images.
        quantize: floats in [-1, 1] -> levels 0..255: "round", "truncate" or "none". Images of
            uint8 are levels already.
        normalize: levels -> what the network reads: "tf" (x - 128) / 128, "unit" x / 127.5 - 1,
            "imagenet", "clip" (mean and standard deviation), "bytes" 0..255. "as_given": the
            network reads the tensor as the caller holds it (then nothing else may be asked).
        gray: images of one channel: "repeat" to three, "tell" (repeat, and warn once), "refuse",
            "keep".
        beyond: floats out of [-1, 1]: "refuse", or "clamp" as published code does to a generator
            without tanh.
        low, high: what black and white are in float images; -1 and 1, or 0 and 1.
    """

    resize: str = "none"
    size: int | None = None
    crop: str = "none"
    quantize: str = "round"
    normalize: str = "unit"
    gray: str = "repeat"
    beyond: str = "refuse"
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _one_of("resize", self.resize, ("none", *RESIZES))
        _one_of("quantize", self.quantize, QUANTIZATIONS)
        _one_of("normalize", self.normalize, (AS_GIVEN, *NORMALIZATIONS))
        _one_of("crop", self.crop, CROPS)
        _one_of("gray", self.gray, GRAYS)
        _one_of("beyond", self.beyond, BEYONDS)
        fits = (self.resize == "none") if self.size is None else self.resize != "none"
        if not fits or (self.size is not None and self.size < 1):
            raise ValueError(
                f"resize is {self.resize!r} and size is {self.size!r}: name a resize and a size of"
                " 1 pixel or more, or neither"
            )
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}; say what black is")
        if self.normalize == AS_GIVEN and (self.resize, self.crop) != ("none", "none"):
            raise ValueError(
                f"normalize 'as_given' leaves images alone, and resize is {self.resize!r}, crop"
                f" {self.crop!r}; name a normalization ({', '.join(NORMALIZATIONS)}) as well"
            )

    def told(self) -> dict[str, str]:
        """Resize, quantization and normalization by name, as a metric records them."""
        if self.normalize == AS_GIVEN:
            return {"resize": "none", "quantization": "none", "normalization": AS_GIVEN}
        crop = "center_crop_" if self.crop == "center" else ""
        resize = "none" if self.size is None else f"{self.resize}_{self.size}"
        return {
            "resize": crop + resize,
            "quantization": self.quantize,
            "normalization": self.normalize,
        }

    def __call__(self, images: Tensor, first: int = 0) -> Tensor:
        """Images (N, C, H, W) -> what the network reads.

        Args:
            images: uint8 levels, or floats from `low` to `high`.
            first: index of the first image, for messages.

        Raises:
            DataError: no images, another type, NaN or values out of range; the image is named.
        """
        if self.normalize == AS_GIVEN:
            refuse_not_finite(images, first)
            return images
        images = self._three_channels(_checked(images, first))
        levels = images.float() if images.dtype == torch.uint8 else self._levels(images, first)
        if self.crop == "center":
            levels = center_crop(levels)
        if self.size is not None:
            levels = RESIZES[self.resize](levels, self.size)
        return NORMALIZATIONS[self.normalize](levels)

    def _three_channels(self, images: Tensor) -> Tensor:
        if images.shape[1] == 3 or self.gray == "keep":
            return images
        if self.gray == "refuse" or images.shape[1] != 1:
            raise DataError(
                f"images have {images.shape[1]} channel(s) and the network reads 3; "
                + (
                    "pass gray='repeat' to repeat the one channel"
                    if images.shape[1] == 1
                    else "give red, green and blue (composite or drop an alpha channel)"
                )
            )
        return images.expand(-1, 3, -1, -1)

    def _levels(self, images: Tensor, first: int) -> Tensor:
        refuse_not_finite(images, first)
        images = (images.float() - self.low) * (2 / (self.high - self.low)) - 1
        if self.beyond == "refuse":
            self._refuse_beyond(images, first)
        return QUANTIZATIONS[self.quantize](images.clamp(-1, 1))

    def _refuse_beyond(self, images: Tensor, first: int) -> None:
        reach = images.flatten(1).abs().amax(dim=1)
        wrong = (reach > 1 + SLACK).nonzero()
        if not len(wrong):
            return
        image = images[int(wrong[0])]
        scale = (self.high - self.low) / 2
        low, high = (float((v + 1) * scale + self.low) for v in (image.min(), image.max()))
        raise DataError(
            f"image {first + int(wrong[0])} has values from {low:.4g} to {high:.4g}: float images"
            f" must lie in [{self.low:g}, {self.high:g}]; pass low= and high= if black and white"
            " are others, uint8 for levels 0..255, or beyond='clamp' for one that overshoots"
        )


def refuse_not_finite(images: Tensor, first: int = 0) -> None:
    """Refuse images (N, ...) with NaN or infinity.

    Raises:
        DataError: names the first such image and counts its broken values.
    """
    if not images.is_floating_point():
        return
    broken = ~torch.isfinite(images.flatten(1) if images.dim() > 1 else images[:, None])
    wrong = broken.any(dim=1).nonzero()
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"image {first + at} holds NaN or infinity ({int(broken[at].sum())} of"
            f" {broken.shape[1]} values; {len(wrong)} such image(s) in this batch); leave it out,"
            " or find what made it"
        )


def _checked(images: Tensor, first: int) -> Tensor:
    if images.dim() != 4 or 0 in images.shape:
        raise DataError(
            f"images have shape {tuple(images.shape)}: must be (N, C, H, W) with no side 0"
            + ("; give one image as images[None]" if images.dim() == 3 else "")
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DataError(
            f"images are {images.dtype}: must be uint8 levels 0..255 or floats; convert them"
        )
    return images


def _one_of(what: str, name: str, choices: Iterable[str]) -> None:
    choices = list(choices)
    if name not in choices:
        raise ValueError(errors.unknown(what, name, choices))
