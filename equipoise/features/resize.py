"""Resizing as the field's metrics do it: each way is another metric, so each has a name.

All take float images (N, C, H, W) on the scale 0..255 and give float32 (N, C, size, size). Parmar
et al. (arXiv:2104.11222) show that the choice moves FID by more than most papers' gains.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise import errors

Resize = Callable[[Tensor, int], Tensor]


def clean(images: Tensor, size: int) -> Tensor:
    """Bicubic by Pillow on each channel as floats, antialiased, clipped to 0..255, not rounded.

    The "clean" way of clean-fid (Parmar et al. 2022, `make_resizer("PIL", False, "bicubic")`).
    It runs on the CPU, one channel at a time.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    pillow = _pillow()
    source = images.detach().to("cpu", torch.float32).numpy()
    out = np.empty((*source.shape[:2], size, size), np.float32)
    for index in np.ndindex(source.shape[:2]):
        channel = pillow.fromarray(np.ascontiguousarray(source[index]))
        out[index] = np.asarray(channel.resize((size, size), pillow.Resampling.BICUBIC))
    return torch.from_numpy(out.clip(0, 255)).to(images.device)


def pil_bicubic(images: Tensor, size: int) -> Tensor:
    """Bicubic by Pillow on 8-bit images, antialiased: the result is rounded to whole levels.

    What dgm-eval (Stein et al. 2023), CLIP's own transform and CMMD do. Values between levels are
    rounded before. It runs on the CPU, one image at a time.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    pillow = _pillow()
    levels = images.detach().cpu().float().round().clamp(0, 255).to(torch.uint8).numpy()
    out = np.empty((*levels.shape[:2], size, size), np.float32)
    for index in np.ndindex(levels.shape[:2]):  # Pillow resizes each channel alone
        channel = pillow.fromarray(np.ascontiguousarray(levels[index]))
        out[index] = np.asarray(channel.resize((size, size), pillow.Resampling.BICUBIC))
    return torch.from_numpy(out).to(images.device)


def tf1_bilinear(images: Tensor, size: int) -> Tensor:
    """Bilinear as TensorFlow 1: out[i] samples in[i * H / size], no half-pixel shift, no antialias.

    The resize within the graph of the original FID and of StyleGAN; torch-fidelity's default.
    """
    images = images.float()
    low, high, weight = _tf1_axis(images.shape[3], size, images.device)
    images = images[..., low] + (images[..., high] - images[..., low]) * weight
    low, high, weight = _tf1_axis(images.shape[2], size, images.device)
    top = images[:, :, low]
    return top + (images[:, :, high] - top) * weight[:, None]


def torch_bilinear(images: Tensor, size: int) -> Tensor:
    """`F.interpolate` bilinear, half-pixel centres, no antialias: as pytorch-fid resizes."""
    return F.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False)


def torch_bilinear_antialias(images: Tensor, size: int) -> Tensor:
    """`F.interpolate` bilinear, half-pixel centres, antialiased: torchmetrics since 1.8."""
    return F.interpolate(
        images.float(), (size, size), mode="bilinear", align_corners=False, antialias=True
    )


def torch_bicubic_antialias(images: Tensor, size: int) -> Tensor:
    """`F.interpolate` bicubic, antialiased, not clipped: FD-DINOv2 as EDM2 takes it."""
    return F.interpolate(
        images.float(), (size, size), mode="bicubic", align_corners=False, antialias=True
    )


RESIZES: dict[str, Resize] = {
    "clean": clean,
    "pil_bicubic": pil_bicubic,
    "tf1_bilinear": tf1_bilinear,
    "torch_bilinear": torch_bilinear,
    "torch_bilinear_antialias": torch_bilinear_antialias,
    "torch_bicubic_antialias": torch_bicubic_antialias,
}


def center_crop(images: Tensor) -> Tensor:
    """The middle square of images (N, C, H, W); an odd remainder goes to the far side."""
    side = min(images.shape[2:])
    top, left = ((length - side) // 2 for length in images.shape[2:])
    return images[:, :, top : top + side, left : left + side]


def _tf1_axis(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `size` outputs: lower and upper source index, and the upper one's weight."""
    scale = torch.tensor(length / size, dtype=torch.float32)
    place = torch.arange(size, dtype=torch.float32) * scale  # float32, as TensorFlow computes it
    low = place.long().clamp_max(length - 1)
    high = (low + 1).clamp_max(length - 1)
    return low.to(device), high.to(device), (place - low).to(device)


def _pillow():  # type: ignore[no-untyped-def]  # a module
    try:
        from PIL import Image
    except ImportError as error:
        raise errors.need("PIL", "train") from error
    return Image
