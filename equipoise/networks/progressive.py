"""Players that grow: one block of layers a size, the next one faded in. Karras et al. 2018.

`stage` says at which size they play: j for 4 x 2^j pixels, j + a while the next size fades in with
weight a. Images are of full size outside: the generator enlarges what it made, the discriminator
pools what it is given, which is the paper's game without a loop that knows the size. All layers
have equalized learning rates.
"""

from __future__ import annotations

import functools
import math

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from equipoise.errors import unknown
from equipoise.game import (
    NORMALIZATIONS,
    MinibatchDeviation,
    PixelNorm,
    SelfAttention,
    equalize,
    equalized,
)
from equipoise.networks.dcgan import COARSEST, SLOPE, doublings
from equipoise.networks.extras import after_hidden, attends, hidden_of, judged

GAIN = math.sqrt(2)  # before a rectifier; 1 before what is linear


def faded(images: Tensor, stage: float, stages: int) -> Tensor:
    """Images (N, C, S, S), S = 4 x 2^stages, as they look at `stage`, enlarged back to S.

    x_j: pooled to 4 x 2^j pixels and enlarged by nearest neighbours; at stage j + a,
    a x_(j+1) + (1 - a) x_j. The full stage gives the images themselves. Karras et al. 2018,
    section 2 and their released code.

    Raises:
        ValueError: stage out of [0, stages].
    """
    size, share = _place(stage, stages)
    fine = _at(images, stages - size)
    return fine if share == 1 else _blend(_at(images, stages - size + 1), fine, share)


def _place(stage: float, stages: int) -> tuple[int, float]:
    """(finest size in play, its weight in (0, 1]): 1.3 -> (2, 0.3), 2 -> (2, 1)."""
    if not 0 <= stage <= stages:
        raise ValueError(
            f"stage = {stage!r}: sizes go from 0 to {stages} doublings of {COARSEST} pixels"
        )
    size = math.ceil(stage)
    return size, 1 - (size - stage)


def _blend(coarse: Tensor, fine: Tensor, share: float) -> Tensor:
    return share * fine + (1 - share) * coarse


def _at(images: Tensor, halvings: int) -> Tensor:
    return _larger(_smaller(images, halvings), halvings)


def _smaller(images: Tensor, halvings: int) -> Tensor:
    return avg_pool2d(images, 1 << halvings) if halvings else images


def _larger(images: Tensor, doublings: int) -> Tensor:
    return interpolate(images, scale_factor=1 << doublings) if doublings else images


def _conv(inputs: int, outputs: int, kernel: int = 3, gain: float = GAIN) -> nn.Module:
    return equalized(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), gain)


def _channels(width: int, stages: int) -> list[int]:
    """By size: width 2^k at 4 pixels, `width` at the full one."""
    return [width << (stages - size) for size in range(stages + 1)]


def _attention(channels: int) -> nn.Module:
    layer = SelfAttention(channels)
    equalize(layer, gain=1.0)
    return layer


def _refuse(player: str, normalization: str, allowed: tuple[str, ...]) -> None:
    if normalization not in NORMALIZATIONS:
        raise ValueError(unknown("normalization", normalization, allowed))
    if normalization not in allowed:
        raise ValueError(
            f"{player}.normalization = {normalization!r} with family 'progressive', whose weights"
            f" are equalized instead; use {' or '.join(map(repr, allowed))}, or family 'dcgan'"
        )


class ProgressiveGenerator(nn.Module):
    """z (N, z_dim) -> images (N, C, S, S), S = 4 x 2^k: grows from 4 pixels; the output is linear.

    Each size doubles by nearest neighbours and has two 3 x 3 convolutions, LeakyReLU 0.2; channels
    halve from width 2^k to `width`. `normalization` "pixel" (the paper's) takes z and every hidden
    activation to length sqrt(C), "none" leaves them. `depth` is not used. `attention` puts one
    layer on the largest map below full size, of at most 32 pixels, with the block that enlarges it;
    `dropout` is the share of maps dropped behind each hidden activation in training.

    Attributes:
        stages: k.
        stage: the size that is made, in [0, k]; k at first. Set it from outside.

    Raises:
        ValueError: a shape other than 4 x 2^k; a normalization that does not fit; dropout out of
            [0, 1); in the forward, a stage out of range.
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
        _refuse("generator", normalization, ("pixel", "none"))
        k = doublings(shape, "progressive")
        self.z_dim, self.stages, self.stage = z_dim, k, float(k)
        c = _channels(width, k)
        pixel = normalization == "pixel"
        active = functools.partial(_activation, pixel, dropout)
        dense = equalized(nn.Linear(z_dim, c[0] * COARSEST**2), GAIN)
        first = [*([PixelNorm()] if pixel else []), dense]
        first += [nn.Unflatten(1, (c[0], COARSEST, COARSEST)), *active()]
        self.blocks = nn.ModuleList([nn.Sequential(*first, _conv(c[0], c[0]), *active())])
        for size in range(1, k + 1):
            here = attends(COARSEST << (size - 1), shape[-1], attention)
            up = [*([_attention(c[size - 1])] if here else []), nn.Upsample(scale_factor=2)]
            convs = [_conv(c[size - 1], c[size]), *active(), _conv(c[size], c[size]), *active()]
            self.blocks.append(nn.Sequential(*up, *convs))
        self.to_image = nn.ModuleList(_conv(channels, shape[0], 1, 1.0) for channels in c)

    def forward(self, z: Tensor) -> Tensor:
        size, share = _place(self.stage, self.stages)
        x = z
        for block in self.blocks[:size]:
            x = block(x)
        before, x = x, self.blocks[size](x)
        images = self.to_image[size](x)
        if share < 1:
            images = _blend(_larger(self.to_image[size - 1](before), 1), images, share)
        return _larger(images, self.stages - size)


def _activation(pixel: bool, dropout: float) -> list[nn.Module]:
    """What follows a generator's hidden layer."""
    norm = [PixelNorm()] if pixel else []
    return [nn.LeakyReLU(SLOPE), *norm, *after_hidden(nn.Dropout2d, dropout, noise=False)]


class ProgressiveDiscriminator(nn.Module):
    """Images (N, C, S, S), S = 4 x 2^k -> logits (N,): the generator's mirror, pooling by means.

    The minibatch deviation stands before the last convolution whatever `minibatch` says ("none"
    and "deviation" mean the same); "discrimination" comes on top, before the last layer.
    `attention` and `dropout` as the generator's; `noise` puts a `Noise` of strength 0 behind each
    hidden activation of the blocks, to be set from outside. `depth` is not used.

    Attributes:
        stages: k.
        stage: the size that is judged, in [0, k]; k at first. Set it from outside.

    Raises:
        ValueError: a shape other than 4 x 2^k; a normalization but "none"; dropout out of [0, 1);
            unknown minibatch; in the forward, a stage out of range.
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
        _refuse("discriminator", normalization, ("none",))
        k = doublings(shape, "progressive")
        self.stages, self.stage = k, float(k)
        c = _channels(width, k)
        extras = functools.partial(after_hidden, p=dropout, noise=noise)

        def hidden(inputs: int, outputs: int) -> list[nn.Module]:
            return [_conv(inputs, outputs), nn.LeakyReLU(SLOPE), *extras(nn.Dropout2d)]

        self.from_image = nn.ModuleList(
            nn.Sequential(_conv(shape[0], channels, 1), nn.LeakyReLU(SLOPE)) for channels in c
        )
        dense = equalized(nn.Linear(c[0] * COARSEST**2, c[0]), GAIN)
        last = [MinibatchDeviation(), *hidden(c[0] + 1, c[0]), nn.Flatten()]
        last += [dense, nn.LeakyReLU(SLOPE), *extras(nn.Dropout)]
        self.blocks = nn.ModuleList([nn.Sequential(*last, *_head(minibatch, c[0]))])
        for size in range(1, k + 1):
            down = [*hidden(c[size], c[size]), *hidden(c[size], c[size - 1]), nn.AvgPool2d(2)]
            here = attends(COARSEST << (size - 1), shape[-1], attention)
            self.blocks.append(nn.Sequential(*down, *([_attention(c[size - 1])] if here else [])))

    @property
    def hidden(self) -> list[nn.Module]:
        """The layers whose outputs are a sample's features at the present stage, in order."""
        size, _ = _place(self.stage, self.stages)
        played = [self.from_image[size], *(self.blocks[i] for i in range(size, -1, -1))]
        return [layer for block in played for layer in hidden_of(block.children())]

    def forward(self, images: Tensor) -> Tensor:
        size, share = _place(self.stage, self.stages)
        x = self.from_image[size](_smaller(images, self.stages - size))
        for index in range(size, 0, -1):
            x = self.blocks[index](x)
            if index == size and share < 1:
                lower = _smaller(images, self.stages - size + 1)
                x = _blend(self.from_image[size - 1](lower), x, share)
        return self.blocks[0](x).squeeze(1)


def _head(minibatch: str, features: int) -> list[nn.Module]:
    """From the last hidden features to the logit, linear."""
    layers = judged("none" if minibatch == "deviation" else minibatch, features)
    equalize(nn.Sequential(*layers), gain=1.0)
    return layers
