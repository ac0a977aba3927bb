"""SSIM and MS-SSIM of pairs of images, with each convention that gives another number said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.errors import unknown
from equipoise.metrics.averages import mean_measure
from equipoise.metrics.images import Images, Range, from_zero, image_batch, pair_chunks, same_shape
from equipoise.metrics.measure import Measure

WIDTH = 255.0  # pixels are brought to [0, 255] first
K1, K2 = 0.01, 0.03
WINDOW, SIGMA = 11, 1.5
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales; they sum to 1.0001

Border = Literal["valid", "reflect"]


@dataclass(frozen=True)
class Multiscale:
    """How an implementation of MS-SSIM treats what the paper leaves open.

    Attributes:
        shrink_sigma: sigma shrinks with the window where a scale is narrower than 11 pixels.
        pool_channels: average over channels before the powers, not after.
        pad_odd: odd sides grow by repeating their last line before halving; else they are refused.
    """

    shrink_sigma: bool
    pool_channels: bool
    pad_odd: bool


PROTOCOLS = {
    "pggan": Multiscale(shrink_sigma=True, pool_channels=True, pad_odd=False),
    "compare_gan": Multiscale(shrink_sigma=False, pool_channels=False, pad_odd=True),
}


def ssim(first: Images, second: Images, *, data_range: Range, border: Border = "valid") -> Measure:
    """Mean structural similarity of paired images (N, C, H, W), in [-1, 1]; 1 only for equal ones.

    SSIM = (2 mx my + c1)(2 sxy + c2) / ((mx^2 + my^2 + c1)(sx^2 + sy^2 + c2)) under an 11 x 11
    Gaussian of sigma 1.5, c1 = (.01 L)^2, c2 = (.03 L)^2, averaged over places and channels.
    `data_range` is brought to [0, L = 255] first: SSIM is not blind to a shift, so the values of
    [-1, 1] taken as they are (torchmetrics 1.9) are another number.
    border: "valid" as the authors' code, windows inside the image alone; "reflect" as torchmetrics,
    one window for every pixel of the mirrored image.
    error: standard error over images.

    Raises:
        ValueError: shapes differ, a value is not finite or outside the range, a side below 11.

    Source: Wang et al., IEEE TIP 13(4), 2004, eq. 13.
    """
    values = ssim_values(first, second, data_range=data_range, border=border)
    convention = _convention(data_range) | {"border": border}
    return mean_measure("ssim", values, convention=convention)


def ssim_values(
    first: Images, second: Images, *, data_range: Range, border: Border = "valid"
) -> Tensor:
    """SSIM of each pair: float64 (N,); see `ssim`."""
    if border not in ("valid", "reflect"):
        raise ValueError(unknown("border", border, ("valid", "reflect")))
    one, two = image_pair(first, second, data_range)
    if min(one.shape[2:]) < WINDOW:
        raise ValueError(
            f"first has {tuple(one.shape[2:])} pixels: both sides must be at least {WINDOW}, the"
            " window of SSIM; enlarge the images, or use psnr"
        )
    window = gaussian(WINDOW, SIGMA)
    values = []
    for x, y in pair_chunks(one, two):
        a, b = (_bordered(from_zero(t, data_range, WIDTH), border) for t in (x, y))
        values.append(compared(moments_of(a, window), moments_of(b, window), window)[0].mean(dim=1))
    return torch.cat(values)


def ms_ssim(
    first: Images, second: Images, *, data_range: Range, protocol: str = "pggan"
) -> Measure:
    """Mean multi-scale structural similarity of paired images (N, C, H, W), in [0, 1].

    MS-SSIM = SSIM_5^w5 prod_{j<5} CS_j^wj over five scales, each half the last (means of 2 x 2),
    CS the contrast-structure factor, both clamped at 0, windows inside the image alone.
    protocol "pggan": channels are averaged before the powers; "compare_gan" (TensorFlow): after
    them. Images below 176 pixels have coarse scales narrower than the window, which shrinks to
    them; "pggan" shrinks its sigma too. `data_range` is brought to [0, 255].
    torchmetrics 1.9 takes the fifth scale over the mirrored image; the rest agrees with "pggan".
    error: standard error over pairs.

    Raises:
        ValueError: as `ssim`; a side below 16, or under "pggan" one that cannot be halved 4 times.

    Source: Wang et al., Asilomar 2003, eq. 7.
    """
    values = ms_ssim_values(first, second, data_range=data_range, protocol=protocol)
    return mean_measure("ms_ssim", values, convention=multiscale_convention(data_range, protocol))


def ms_ssim_values(
    first: Images, second: Images, *, data_range: Range, protocol: str = "pggan"
) -> Tensor:
    """MS-SSIM of each pair: float64 (N,); see `ms_ssim`."""
    one, two = image_pair(first, second, data_range)
    rule = multiscale(protocol, one)
    values = [
        product_over_scales(
            scales(from_zero(x, data_range, WIDTH), rule),
            scales(from_zero(y, data_range, WIDTH), rule),
            rule,
        )
        for x, y in pair_chunks(one, two)
    ]
    return torch.cat(values)


def image_pair(first: Images, second: Images, data_range: Range) -> tuple[Tensor, Tensor]:
    """Both sides of a paired comparison, checked against the range and against each other."""
    one = image_batch(first, "first", data_range)
    two = image_batch(second, "second", data_range)
    same_shape(one, two, "first and second")
    return one, two


def multiscale(protocol: str, images: Tensor) -> Multiscale:
    """The protocol of that name, if it can read images of this size.

    Raises:
        ValueError: no such protocol, or sides that it cannot halve four times.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(unknown("protocol of MS-SSIM", protocol, PROTOCOLS))
    rule = PROTOCOLS[protocol]
    least = 2 ** (len(WEIGHTS) - 1)
    sides = tuple(images.shape[2:])
    if min(sides) < least or (not rule.pad_odd and any(side % least for side in sides)):
        need = f"at least {least}" if rule.pad_odd else f"multiples of {least}"
        raise ValueError(
            f"images have {sides} pixels: protocol {protocol!r} halves them four times and needs"
            f" sides that are {need}; resize or crop, or use ssim"
        )
    return rule


def multiscale_convention(data_range: Range, protocol: str) -> dict[str, object]:
    """What two MS-SSIM values must agree in."""
    return _convention(data_range) | {"protocol": protocol, "weights": WEIGHTS, "border": "valid"}


class Moments(NamedTuple):
    """Images (N, C, H, W) beside their windowed means and mean squares."""

    image: Tensor
    mean: Tensor
    square: Tensor


def gaussian(size: int, sigma: float) -> Tensor:
    """The 1-D window (size,), float64, sum 1; the 2-D window is its outer product."""
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(offset**2) / (2 * sigma**2))
    return weights / weights.sum()


def blurred(images: Tensor, window: Tensor) -> Tensor:
    """Windowed means at the places where the window fits."""
    n, channels, height, width = images.shape
    planes = images.reshape(n * channels, 1, height, width)
    planes = F.conv2d(F.conv2d(planes, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return planes.reshape(n, channels, *planes.shape[2:])


def moments_of(images: Tensor, window: Tensor) -> Moments:
    """Taken once per image, however many it is compared with."""
    return Moments(images, blurred(images, window), blurred(images**2, window))


def compared(a: Moments, b: Moments, window: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM and mean contrast-structure factor (N, C); one image broadcasts against many."""
    c1, c2 = (K1 * WIDTH) ** 2, (K2 * WIDTH) ** 2
    product = a.mean * b.mean
    squares = a.mean**2 + b.mean**2
    contrast = (2 * (blurred(a.image * b.image, window) - product) + c2) / (
        a.square + b.square - squares + c2
    )
    similarity = (2 * product + c1) / (squares + c1) * contrast
    return similarity.mean(dim=(2, 3)), contrast.mean(dim=(2, 3))


def scales(images: Tensor, rule: Multiscale) -> list[Moments]:
    """The five scales of images in [0, 255]."""
    levels = []
    for level in range(len(WEIGHTS)):
        if level:
            images = F.avg_pool2d(_even(images), 2)
        levels.append(moments_of(images, scale_window(images, rule)))
    return levels


def product_over_scales(a: list[Moments], b: list[Moments], rule: Multiscale) -> Tensor:
    """MS-SSIM (N,) of what `scales` gave."""
    terms = []
    for level, (x, y) in enumerate(zip(a, b, strict=True)):
        similarity, contrast = compared(x, y, scale_window(x.image, rule))
        terms.append(similarity if level == len(WEIGHTS) - 1 else contrast)
    stacked = torch.stack(terms)  # (5, N, C)
    if rule.pool_channels:
        stacked = stacked.mean(dim=2, keepdim=True)
    weights = torch.tensor(WEIGHTS, dtype=torch.float64).view(-1, 1, 1)
    return (stacked.clamp(min=0) ** weights).prod(dim=0).mean(dim=1)


def scale_window(images: Tensor, rule: Multiscale) -> Tensor:
    """The window of one scale: 11 wide, or as wide as the images."""
    size = min(WINDOW, *images.shape[2:])
    return gaussian(size, SIGMA * size / WINDOW if rule.shrink_sigma else SIGMA)


def _even(images: Tensor) -> Tensor:
    tall, wide = images.shape[2] % 2, images.shape[3] % 2
    return F.pad(images, (0, wide, 0, tall), mode="replicate") if tall or wide else images


def _bordered(images: Tensor, border: Border) -> Tensor:
    if border == "valid":
        return images
    return F.pad(images, (WINDOW // 2,) * 4, mode="reflect")


def _convention(data_range: Range) -> dict[str, object]:
    return {"window": WINDOW, "sigma": SIGMA, "k": (K1, K2), "data_range": data_range,
            "pixels": "0-255"}  # fmt: skip
