"""Moving pixels: gathers, which have derivatives of every order by the images."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from equipoise.errors import unknown


def check_images(images: Tensor) -> None:
    """Refuse what is not (N, C, H, W)."""
    if images.dim() != 4:
        raise ValueError(
            f"images have shape {tuple(images.shape)}: augmentation needs (N, C, H, W); for points"
            " use instance_noise"
        )


def parts_of(policy: str, choices: Iterable[str]) -> list[str]:
    """The comma-separated names of a policy, in its order; "" is none."""
    choices = list(choices)
    names = [name.strip() for name in policy.split(",") if name.strip()]
    for name in names:
        if name not in choices:
            raise ValueError(unknown("augmentation", name, choices))
    return names


def uniform(n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """n draws of U(0, 1), float32, made on the generator's device, for the images' device."""
    device = generator.device if generator else like.device
    return torch.rand(n, generator=generator, device=device, dtype=torch.float32).to(like.device)


def normal(n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """n draws of N(0, 1), as `uniform`."""
    device = generator.device if generator else like.device
    return torch.randn(n, generator=generator, device=device, dtype=torch.float32).to(like.device)


def each(values: Tensor, images: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1), in the images' precision."""
    return values[:, None, None, None].to(images.dtype)


def grid(images: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel: long, (1, H, 1) and (1, 1, W)."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    return rows[None, :, None], columns[None, None, :]


def take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """out[n, c, i, j] = images[n, c, rows[n, i, j], columns[n, i, j]], indices in range."""
    n, channels, height, width = images.shape
    index = (rows * width + columns).expand(n, height, width).reshape(n, 1, -1)
    return images.flatten(2).gather(2, index.expand(-1, channels, -1)).view(images.shape)


def reflected(index: Tensor, size: int) -> Tensor:
    """Indices mirrored at the edge pixels into [0, size): -1 -> 1, size -> size - 2."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def bilinear(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images at real coordinates (N, H, W), mirrored outside.

    torch's `grid_sample` has no second derivative, which R1 through an augmentation needs.
    """
    height, width = images.shape[2:]
    top, left = rows.floor(), columns.floor()
    down, right = ((x - x.floor())[:, None].to(images.dtype) for x in (rows, columns))
    i0, i1 = (reflected(top.long() + k, height) for k in (0, 1))
    j0, j1 = (reflected(left.long() + k, width) for k in (0, 1))
    above = (1 - right) * take(images, i0, j0) + right * take(images, i0, j1)
    below = (1 - right) * take(images, i1, j0) + right * take(images, i1, j1)
    return (1 - down) * above + down * below
