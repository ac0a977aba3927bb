"""Convolutional players after DCGAN: strided convolutions, no pooling, no hidden dense layers.

Kernels are divisible by their stride, so that transposed convolutions overlap evenly (no
checkerboard by construction). Sizes: 4 x 2^k pixels, k >= 1. Radford, Metz and Chintala 2016.
"""

from __future__ import annotations

from torch import Tensor, nn

from equipoise.game import normalized
from equipoise.networks.extras import after_hidden, attends, attention_layer, hidden_of, judged

SLOPE = 0.2
COARSEST = 4  # pixels


def doublings(shape: tuple[int, ...], family: str = "dcgan") -> int:
    """How often 4 pixels double to the image's size.

    Raises:
        ValueError: not square, or not 4 x 2^k.
    """
    size = shape[-1]
    k = (size // COARSEST).bit_length() - 1
    if len(shape) != 3 or shape[-2] != size or k < 1 or COARSEST << k != size:
        raise ValueError(
            f"shape = {shape}: {family} makes square images (C, S, S) with S = 8, 16, 32, ...;"
            " set data.resolution to one of these, or use family 'mlp'"
        )
    return k


class DcganGenerator(nn.Module):
    """z (N, z_dim) -> images (N, C, S, S) in [-1, 1]; channels halve from width 2^k to `width`.

    `depth` is not used: the size of the image fixes it. `attention` puts one layer on the largest
    map below full size, of at most 32 pixels; `dropout` is the share of maps dropped behind each
    hidden activation in training.

    Raises:
        ValueError: a shape other than 4 x 2^k; dropout out of [0, 1).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        z_dim: int,
        width: int,
        depth: int = 0,
        normalization: str = "batch",
        *,
        attention: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        k = doublings(shape)
        self.z_dim = z_dim
        channels = width << k
        batch = normalization == "batch"
        first = nn.Linear(z_dim, channels * COARSEST**2, bias=not batch)
        layers: list[nn.Module] = [first, nn.Unflatten(1, (channels, COARSEST, COARSEST))]
        if batch:
            layers.append(nn.BatchNorm2d(channels))
        layers += [nn.ReLU(), *after_hidden(nn.Dropout2d, dropout, noise=False)]
        for size in (COARSEST << i for i in range(k)):
            if attends(size, shape[-1], attention):
                layers.append(attention_layer(channels, normalization == "spectral"))
            up = nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1)
            channels //= 2
            layers += [*normalized(normalization, up, channels), nn.ReLU()]
            layers += after_hidden(nn.Dropout2d, dropout, noise=False)
        layers += [nn.Conv2d(channels, shape[0], 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class DcganDiscriminator(nn.Module):
    """Images (N, C, S, S) -> logits (N,); channels double from `width` as the size halves to 4.

    `attention` and `dropout` as the generator's; `minibatch` names statistics of the batch that the
    last layer sees (`MINIBATCH_LAYERS`); `noise` puts a `Noise` of strength 0 behind each hidden
    activation, to be set from outside.

    Raises:
        ValueError: a shape other than 4 x 2^k; dropout out of [0, 1); unknown minibatch.
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
        k = doublings(shape)
        spectral = normalization == "spectral"
        entry = nn.Conv2d(shape[0], width, 3, padding=1)
        layers = [
            *normalized("spectral" if spectral else "none", entry, width)
        ]  # DCGAN: no BN here
        layers += [nn.LeakyReLU(SLOPE), *after_hidden(nn.Dropout2d, dropout, noise)]
        channels = width
        for size in (COARSEST << i for i in reversed(range(k))):
            down = nn.Conv2d(channels, channels * 2, 4, stride=2, padding=1)
            channels *= 2
            layers += [*normalized(normalization, down, channels), nn.LeakyReLU(SLOPE)]
            layers += after_hidden(nn.Dropout2d, dropout, noise)
            if attends(size, shape[-1], attention):
                layers.append(attention_layer(channels, spectral))
        self.layers = nn.Sequential(*layers, *judged(minibatch, channels, COARSEST**2, spectral))

    @property
    def hidden(self) -> list[nn.Module]:
        """The layers whose outputs are a sample's features, in order."""
        return hidden_of(self.layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).squeeze(1)
