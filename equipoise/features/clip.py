"""CLIP's image tower (Radford et al. 2021, arXiv:2103.00020), for CMMD and CLIP-FID.

Names of modules are those of OpenAI's published files; Hugging Face's layout of the same weights
is understood too. CMMD (Jayasumana et al. 2024, arXiv:2401.09603) reads ViT-L/14 at 336 pixels with
rows of unit norm.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.features import weights
from equipoise.features.checkpoint import State, build, read_state
from equipoise.features.extractor import Extractor
from equipoise.features.images import Preprocess

_URL = "https://openaipublic.azureedge.net/clip/models"
_B_32 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_L_14_336 = "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"
CLIP_B_32 = weights.Weights(
    name="clip_vit_b_32",
    url=f"{_URL}/{_B_32}/ViT-B-32.pt",
    sha256=_B_32,
    file="ViT-B-32.pt",
    others=(f"clip-vit-b-32-{_B_32}.pt",),  # as torch-fidelity keeps it
)
CLIP_L_14_336 = weights.Weights(
    name="clip_vit_l_14_336",
    url=f"{_URL}/{_L_14_336}/ViT-L-14-336px.pt",
    sha256=_L_14_336,
    file="ViT-L-14-336px.pt",
    others=(f"clip-vit-l-14-336px-{_L_14_336}.pt",),
)
HEAD = 64  # channels per attention head


class QuickGelu(nn.Module):
    """x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Multi-head self-attention on (N, T, d), with the names of `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        joined: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(count, tokens, width))
        return joined


class Block(nn.Module):
    """x + attn(ln_1(x)), then x + mlp(ln_2(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", QuickGelu())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class ClipImage(nn.Module):
    """Images (N, 3, H, H) -> embeddings (N, dim), of unit norm unless `unit` is False.

    Args:
        width, depth, heads: of the transformer.
        patch: side of a patch in pixels.
        grid: patches per side.
        dim: of the embedding that image and text share.
        unit: divide each row by its norm.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        patch: int,
        grid: int,
        dim: int,
        unit: bool = True,
    ) -> None:
        super().__init__()
        self.unit = unit
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(grid**2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, dim))

    def forward(self, x: Tensor) -> Tensor:
        patches = self.conv1(x).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(x), 1, -1)
        tokens = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        for block in self.transformer.resblocks:  # type: ignore[union-attr]  # a ModuleList
            tokens = block(tokens)
        rows: Tensor = self.ln_post(tokens[:, 0]) @ self.proj
        return rows / rows.norm(dim=1, keepdim=True) if self.unit else rows


HF_NAMES = {
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.pre_layrnorm.": "ln_pre.",  # their spelling
    "vision_model.post_layernorm.": "ln_post.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
    "vision_model.encoder.layers.": "transformer.resblocks.",
}


def published_names(state: Mapping[str, Tensor]) -> State:
    """The image tower's tensors by OpenAI's names without "visual.", from either layout."""
    if any(key.startswith("vision_model.") for key in state):
        return _from_hugging_face(state)
    prefix = "visual." if any(key.startswith("visual.") for key in state) else ""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def _from_hugging_face(state: Mapping[str, Tensor]) -> State:
    found = {}
    for key, value in state.items():
        if key.startswith("vision_model.") and not key.endswith("position_ids"):
            for theirs, ours in HF_NAMES.items():
                key = key.replace(theirs, ours)
            found[key] = value
        elif key == "visual_projection.weight":
            found["proj"] = value.T
    for stem in {key.split("self_attn.")[0] for key in found if "self_attn." in key}:
        for end in ("weight", "bias"):
            parts = [found.pop(f"{stem}self_attn.{which}_proj.{end}") for which in "qkv"]
            found[f"{stem}attn.in_proj_{end}"] = torch.cat(parts)
    return found


def clip(
    published: weights.Weights,
    shape: tuple[int, int, int, int, int],
    *,
    unit: bool = True,
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """CLIP's image tower as an extractor, with CLIP's own preparation of images.

    The middle square, 8-bit bicubic by Pillow, CLIP's mean and deviation. torch-fidelity resizes
    without antialias and does not normalize rows: `resize="tf1_bilinear"`, `unit=False`.

    Args:
        shape: width, depth, patch, patches per side, embedding.
        unit: rows of unit norm, as CMMD has them; False is part of the features' name.

    Raises:
        MissingWeightsError, WeightsError: as `weights.find`; or the file does not fit.
    """
    width, depth, patch, grid, dim = shape
    found = weights.find(published, path, sha256=sha256, download=download)
    make = functools.partial(ClipImage, width, depth, width // HEAD, patch, grid, dim, unit)
    state = published_names(read_state(found.path))
    network = build(make, state, f"CLIP's image tower {published.name}")
    name = weights.named(published.name if unit else f"{published.name}_raw", found)
    ready = Preprocess(
        resize="pil_bicubic", size=patch * grid, crop="center", normalize="clip", gray="tell"
    )
    return Extractor(name, network, ready, dim, found.sha256)


def clip_vit_b_32(
    *,
    unit: bool = True,
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """CLIP ViT-B/32 at 224 pixels: 512 values, those of CLIP-FID; see `clip`."""
    shape = (768, 12, 32, 7, 512)
    return clip(CLIP_B_32, shape, unit=unit, path=path, sha256=sha256, download=download)


def clip_vit_l_14_336(
    *,
    unit: bool = True,
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """CLIP ViT-L/14 at 336 pixels: 768 values, those of CMMD; see `clip`."""
    shape = (1024, 24, 14, 24, 768)
    return clip(CLIP_L_14_336, shape, unit=unit, path=path, sha256=sha256, download=download)
