"""Players that grow: one block a size, the next one faded in. Karras et al. 2018.

`stage` says at which size they play: j for 4 x 2^j pixels, j + a while the next size fades in with
weight a. Images are always of full size outside: the generator enlarges what it made, the
discriminator pools what it is given, so a loop need not know the size. Layers have equalized
learning rates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from equipoise.errors import unknown
from equipoise.game import MinibatchDeviation, PixelNorm, SelfAttention, equalized
from equipoise.networks.dcgan import COARSEST, SLOPE, doublings
from equipoise.networks.extras import after_hidden

GAIN = math.sqrt(2)


def faded(images: Tensor, stage: float, stages: int) -> Tensor:
    """Images (N, C, S, S) as they look at `stage` of `stages`, enlarged back to S.

    Pooled to the present size; while one fades in with weight a, a of it and 1 - a of the next
    lower one. The full stage gives the images themselves. Karras et al. 2018, appendix A.
    """
    size, share = _place(stage, stages)
    if size == stages and share == 1.0:
        return images
    fine = _at(images, stages - size)
    return fine if share == 1.0 else torch.lerp(_at(images, stages - size + 1), fine, share)


def _place(stage: float, stages: int) -> tuple[int, float]:
    """(finest size in play, its weight): 1.3 -> (2, 0.3), 2 -> (2, 1)."""
    if not 0 <= stage <= stages:
        raise ValueError(f"stage = {stage!r}: sizes go from 0 to {stages} doublings of 4 pixels")
    size = math.ceil(stage)
    return size, 1.0 - (size - stage)


def _at(images: Tensor, halvings: int) -> Tensor:
    """Pooled and enlarged again by nearest neighbours."""
    return _larger(_smaller(images, halvings), halvings)


def _smaller(images: Tensor, halvings: int) -> Tensor:
    return avg_pool2d(images, 1 << halvings) if halvings else images


def _larger(images: Tensor, doublings: int) -> Tensor:
    return interpolate(images, scale_factor=1 << doublings) if doublings else images


def _conv(inputs: int, outputs: int, kernel: int = 3, gain: float = GAIN) -> nn.Module:
    return equalized(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), gain)


def _channels(width: int, k: int) -> list[int]:
    """By size: width 2^k at 4 pixels, `width` at the full one."""
    return [width << (k - size) for size in range(k + 1)]


def _refuse(player: str, name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(
            f"{player}.{name} = {value!r} with family 'progressive', whose layers are equalized;"
            f" use {' or '.join(map(repr, allowed))}, or family 'dcgan'"
        )


class ProgressiveGenerator(nn.Module):
    """z (N, z_dim) -> images (N, C, S, S), S = 4 x 2^k; two convolutions a size, linear output.

    `normalization` is "pixel" (the paper's) or "none"; `depth` is not used; `dropout` drops whole
    maps; `attention` puts one layer at half the full size.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        z_dim: int,
        width: int,
        depth: int = 0,
        normalization: str = "pixel",
        *,
        attention: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _refuse("generator", "normalization", normalization, ("pixel", "none"))
        k = doublings(shape, "progressive")
        self.z_dim, self.stages, self.stage = z_dim, k, float(k)
        c = _channels(width, k)

        def settled(conv: nn.Module) -> list[nn.Module]:
            norm = [PixelNorm()] if normalization == "pixel" else []
            return [conv, nn.LeakyReLU(SLOPE), *norm, *after_hidden(nn.Dropout2d, dropout, False)]

        dense = equalized(nn.Linear(z_dim, c[0] * COARSEST**2), GAIN / 4)
        first = [dense, nn.Unflatten(1, (c[0], COARSEST, COARSEST)), nn.LeakyReLU(SLOPE)]
        self.blocks = nn.ModuleList([nn.Sequential(*first, *settled(_conv(c[0], c[0])))])
        for size in range(1, k + 1):
            near = [SelfAttention(c[size - 1])] if attention and size == k else []
            up = [*near, nn.Upsample(scale_factor=2), *settled(_conv(c[size - 1], c[size]))]
            self.blocks.append(nn.Sequential(*up, *settled(_conv(c[size], c[size]))))
        self.to_image = nn.ModuleList(_conv(channels, shape[0], 1, 1.0) for channels in c)

    def forward(self, z: Tensor) -> Tensor:
        size, share = _place(self.stage, self.stages)
        x = z
        for block in self.blocks[:size]:
            x = block(x)
        before, x = x, self.blocks[size](x)
        images = self.to_image[size](x)
        if share < 1.0:
            images = torch.lerp(_larger(self.to_image[size - 1](before), 1), images, share)
        return _larger(images, self.stages - size)


class ProgressiveDiscriminator(nn.Module):
    """Images (N, C, S, S) -> logits (N,): two convolutions and a pooling a size, deviation at 4.

    `normalization` must be "none" and `minibatch` "none": the deviation of the minibatch is part of
    the family.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        depth: int = 0,
        normalization: str = "none",
        *,
        attention: bool = False,
        dropout: float = 0.0,
        minibatch: str = "none",
        noise: bool = False,
    ) -> None:
        super().__init__()
        _refuse("discriminator", "normalization", normalization, ("none",))
        if minibatch not in ("none", "deviation"):
            raise ValueError(unknown("discriminator.minibatch", minibatch, ["none", "deviation"]))
        k = doublings(shape, "progressive")
        self.stages, self.stage = k, float(k)
        c = _channels(width, k)

        def settled(layer: nn.Module) -> list[nn.Module]:
            kind = nn.Dropout if isinstance(layer, nn.Linear) else nn.Dropout2d
            return [layer, nn.LeakyReLU(SLOPE), *after_hidden(kind, dropout, noise)]

        self.from_image = nn.ModuleList(
            nn.Sequential(_conv(shape[0], channels, 1), nn.LeakyReLU(SLOPE)) for channels in c
        )
        dense = settled(equalized(nn.Linear(c[0] * COARSEST**2, c[0]), GAIN))
        last = [MinibatchDeviation(), *settled(_conv(c[0] + 1, c[0])), nn.Flatten(), *dense]
        self.blocks = nn.ModuleList([nn.Sequential(*last, equalized(nn.Linear(c[0], 1)))])
        for size in range(1, k + 1):
            near = [SelfAttention(c[size - 1])] if attention and size == k else []
            down = [*settled(_conv(c[size], c[size])), *settled(_conv(c[size], c[size - 1]))]
            self.blocks.append(nn.Sequential(*down, nn.AvgPool2d(2), *near))

    @property
    def hidden(self) -> list[nn.Module]:
        """The layers whose outputs are the features of a sample at the present stage, in order."""
        size, _ = _place(self.stage, self.stages)
        played = [self.blocks[index] for index in range(size, -1, -1)]
        return [layer for block in played for layer in block if isinstance(layer, nn.LeakyReLU)]

    def forward(self, images: Tensor) -> Tensor:
        size, share = _place(self.stage, self.stages)
        x = self.from_image[size](_smaller(images, self.stages - size))
        for index in range(size, 0, -1):
            x = self.blocks[index](x)
            if index == size and share < 1.0:
                coarse = self.from_image[size - 1](_smaller(images, self.stages - size + 1))
                x = torch.lerp(coarse, x, share)
        return self.blocks[0](x).squeeze(1)
