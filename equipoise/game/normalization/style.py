"""Normalization that carries a style, and the pixel norm: the StyleGAN family's layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x / sqrt(mean_c x_c^2 + eps): each pixel's feature vector to length sqrt(C).

    (N, C, ...) -> the same; on (N, z_dim) it puts z on a sphere. Karras et al. 2018, section 4.2.
    """
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + eps)


class PixelNorm(nn.Module):
    """`pixel_norm` as a layer; nothing to learn."""

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(x, self.eps)


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """scale (x - mu(x)) / sigma(x) + shift, mu and sigma over each sample's pixels, per channel.

    x (N, C, ...), scale and shift (N, C). With scale = sigma(y), shift = mu(y) of style features y
    it is Huang and Belongie 2017, eq. 8; with learned ones, Karras et al. 2019, eq. 1.

    Raises:
        ValueError: x has no pixels to take statistics over.
    """
    if x.dim() < 3:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: adaptive instance normalization needs (N, C, ...) with"
            " pixels; for vectors use ConditionalBatchNorm(dim=...)"
        )
    flat = x.flatten(2)
    variance, mean = torch.var_mean(flat, dim=2, correction=0, keepdim=True)
    normal = (flat - mean) * torch.rsqrt(variance + eps)
    return (normal * scale[..., None] + shift[..., None]).view_as(x)


class AdaIN(nn.Module):
    """Adaptive instance normalization by a style: (x (N, C, ...), w (N, dim)) -> as x.

    (scale, shift) = affine(w), first near (1, 0). Karras et al. 2019, eq. 1.
    """

    def __init__(self, channels: int, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.affine = nn.Linear(dim, 2 * channels)
        with torch.no_grad():
            self.affine.bias.copy_(torch.cat([torch.ones(channels), torch.zeros(channels)]))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return adain(x, *self.affine(w).chunk(2, dim=1), self.eps)


def modulated_weight(
    weight: Tensor, style: Tensor, demodulate: bool = True, eps: float = 1e-8
) -> Tensor:
    """w'_nijk = s_ni w_ijk; then w' / sqrt(sum_ik w'^2 + eps): (O, I, k, k), (N, I) -> (N, O, ...).

    Demodulation makes each output channel's expected variance 1 for unit, independent inputs.
    Karras et al. 2020, eq. 1-3.
    """
    modulated = weight[None] * style[:, None, :, None, None]
    if demodulate:
        modulated = modulated * torch.rsqrt(modulated.square().sum((2, 3, 4), keepdim=True) + eps)
    return modulated


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, demodulate: bool = True, padding: int = 0
) -> Tensor:
    """Each sample convolved with its own modulated weight, as one grouped convolution.

    x (N, I, H, W), weight (O, I, k, k), style (N, I) -> (N, O, H', W'). Twin:
    `modulated_conv2d_by_sample`. Karras et al. 2020, eq. 1-3 and appendix B.

    Raises:
        ValueError: style is not (N, I).
    """
    n, channels = x.shape[:2]
    if style.shape != (n, channels):
        raise ValueError(
            f"style has shape {tuple(style.shape)}: one factor a sample and input channel is"
            f" needed, {(n, channels)}"
        )
    own = modulated_weight(weight, style, demodulate).flatten(0, 1)  # (N O, I, k, k)
    out = functional.conv2d(x.reshape(1, n * channels, *x.shape[2:]), own, None, 1, padding, 1, n)
    return out.view(n, len(weight), *out.shape[2:])


def modulated_conv2d_by_sample(
    x: Tensor, weight: Tensor, style: Tensor, demodulate: bool = True, padding: int = 0
) -> Tensor:
    """The slow twin of `modulated_conv2d`: one convolution a sample."""
    weights = modulated_weight(weight, style, demodulate)
    rows = [
        functional.conv2d(row[None], own, padding=padding)
        for row, own in zip(x, weights, strict=True)
    ]
    return torch.cat(rows)


class ModulatedConv2d(nn.Module):
    """A convolution whose weight a style scales: (x (N, I, H, W), w (N, dim)) -> (N, O, H, W).

    s = affine(w), first near 1; odd kernels, size kept. Karras et al. 2020, section 2.2.

    Raises:
        ValueError: an even kernel.
    """

    def __init__(
        self, channels: int, out_channels: int, dim: int, kernel: int = 3, demodulate: bool = True
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel = {kernel}: an odd kernel keeps the size; use 1, 3 or 5")
        self.demodulate, self.padding = demodulate, kernel // 2
        self.weight = nn.Parameter(torch.randn(out_channels, channels, kernel, kernel))
        if not demodulate:  # nothing else brings the variance back to 1
            nn.init.normal_(self.weight, std=(channels * kernel**2) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.affine = nn.Linear(dim, channels)
        nn.init.ones_(self.affine.bias)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        out = modulated_conv2d(x, self.weight, self.affine(w), self.demodulate, self.padding)
        return out + self.bias[:, None, None]
