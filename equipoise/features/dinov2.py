"""DINOv2 (Oquab et al. 2023, arXiv:2304.07193): its class token, for FD-DINOv2.

Stein et al. (2023, arXiv:2306.04675) find that Frechet distance in these features follows human
judgement where FID does not. Names of modules are those of Meta's published files.
"""

from __future__ import annotations

import functools
import math
import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.features import weights
from equipoise.features.checkpoint import build, read_state
from equipoise.features.extractor import Extractor
from equipoise.features.images import Preprocess

_URL = "https://dl.fbaipublicfiles.com/dinov2"
DINOV2_B = weights.Weights(
    name="dinov2_vit_b_14",
    url=f"{_URL}/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
    sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    file="dinov2_vitb14_pretrain.pth",
    size=346_378_731,
)
DINOV2_L = weights.Weights(
    name="dinov2_vit_l_14",
    url=f"{_URL}/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    file="dinov2_vitl14_pretrain.pth",
    size=1_217_586_395,
)
SIZE = 224
HEAD = 64  # channels per attention head, in every published size
DEPTHS = {768: 12, 1024: 24}  # blocks by width
OFFSET = 0.1  # added to the grid where the position embedding is interpolated; see `_positions`


class Attention(nn.Module):
    """Multi-head self-attention on (N, T, d); query, key and value in one layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        qkv = self.qkv(x).view(count, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        joined: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, tokens, width))
        return joined


class Scale(nn.Module):
    """LayerScale: one factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Mlp(nn.Module):
    """Two layers with exact GELU between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """x + ls1(attn(norm1(x))), then x + ls2(mlp(norm2(x)))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)
        self.ls2 = Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class Patches(nn.Module):
    """Images (N, 3, H, W) -> tokens (N, H W / p^2, d), row by row."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return tokens


class DinoV2(nn.Module):
    """Images (N, 3, H, W), H and W multiples of the patch, -> normalized class token (N, width).

    Args:
        width, depth, heads: of the transformer.
        patch: side of a patch in pixels.
        grid: patches per side in the position embedding (37 in the published files: 518 pixels).
    """

    def __init__(self, width: int, depth: int, heads: int, patch: int = 14, grid: int = 37) -> None:
        super().__init__()
        self.patch = patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, grid**2 + 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # in the file; used in training alone
        self.patch_embed = Patches(patch, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[2] // self.patch, x.shape[3] // self.patch
        tokens = self.patch_embed(x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(rows, columns)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens)[:, 0]
        return out

    def _positions(self, rows: int, columns: int) -> Tensor:
        """The position embedding for a grid, bicubic where it is not the stored one.

        Meta's code hands the ratio (rows + 0.1) / grid to the interpolation, not the size, and
        its published features are taken so; Hugging Face's code passes the size and gives others.
        """
        grid = math.isqrt(self.pos_embed.shape[1] - 1)
        if (rows, columns) == (grid, grid):
            return self.pos_embed
        first, rest = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        image = rest.unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
        ratios = ((rows + OFFSET) / grid, (columns + OFFSET) / grid)
        moved = F.interpolate(image, scale_factor=ratios, mode="bicubic")
        return torch.cat([first, moved.flatten(2).transpose(1, 2)], dim=1)


def dinov2(
    published: weights.Weights,
    dim: int,
    *,
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """DINOv2's class token as an extractor, with EDM2's preparation of images.

    224 x 224 by torch's antialiased bicubic, ImageNet mean and deviation. dgm-eval resizes by
    Pillow: `resize="pil_bicubic"`. torch-fidelity's "dinov2" resizes without antialias and compares
    with neither: `resize="tf1_bilinear"`.

    Raises:
        MissingWeightsError, WeightsError: as `weights.find`; or the file does not fit.
    """
    found = weights.find(published, path, sha256=sha256, download=download)
    state = read_state(found.path)
    make = functools.partial(DinoV2, dim, DEPTHS[dim], dim // HEAD)
    network = build(make, state, f"DINOv2 {published.name}")
    ready = Preprocess(
        resize="torch_bicubic_antialias", size=SIZE, normalize="imagenet", gray="tell"
    )
    return Extractor(weights.named(published.name, found), network, ready, dim, found.sha256)


def dinov2_vit_b_14(
    *,
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """DINOv2 ViT-B/14: class token, 768 values; see `dinov2`."""
    return dinov2(DINOV2_B, 768, path=path, sha256=sha256, download=download)


def dinov2_vit_l_14(
    *,
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """DINOv2 ViT-L/14: class token, 1024 values, those of FD-DINOv2; see `dinov2`."""
    return dinov2(DINOV2_L, 1024, path=path, sha256=sha256, download=download)
