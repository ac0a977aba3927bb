"""Multilayer perceptrons for points and very small images."""

from __future__ import annotations

import math

from torch import Tensor, nn

from equipoise.game import normalized
from equipoise.networks.extras import after_hidden, hidden_of, judged, refuse_attention

SLOPE = 0.2


def _hidden(
    inputs: int, width: int, depth: int, normalization: str, dropout: float, noise: bool = False
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(depth):
        linear = nn.Linear(inputs if index == 0 else width, width)
        layers += [*normalized(normalization, linear, width), nn.LeakyReLU(SLOPE)]
        layers += after_hidden(nn.Dropout, dropout, noise)
    return layers


class MlpGenerator(nn.Module):
    """z (N, z_dim) -> samples (N, *shape): `depth` hidden layers of `width`, LeakyReLU 0.2.

    Images end in tanh; points in the plane are unbounded. `dropout` is the share of hidden features
    dropped in training.

    Raises:
        ValueError: attention, which has no pixels here; dropout out of [0, 1).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        z_dim: int,
        width: int,
        depth: int,
        normalization: str = "none",
        *,
        attention: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        refuse_attention("generator", "mlp", attention)
        self.shape = tuple(shape)
        self.z_dim = z_dim
        layers = _hidden(z_dim, width, depth, normalization, dropout)
        layers.append(nn.Linear(width, math.prod(shape)))
        if len(shape) > 1:
            layers.append(nn.Tanh())
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).unflatten(1, self.shape)


class MlpDiscriminator(nn.Module):
    """Samples (N, *shape) -> logits (N,): `depth` hidden layers of `width`, LeakyReLU 0.2.

    `dropout` as the generator's; `minibatch` names statistics of the batch that the last layer sees
    (`MINIBATCH_LAYERS`); `noise` puts a `Noise` of strength 0 behind each hidden layer, to be set
    from outside.

    Raises:
        ValueError: attention, which has no pixels here; dropout out of [0, 1); unknown minibatch.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        depth: int,
        normalization: str = "none",
        *,
        attention: bool = False,
        dropout: float = 0.0,
        minibatch: str = "none",
        noise: bool = False,
    ) -> None:
        super().__init__()
        refuse_attention("discriminator", "mlp", attention)
        layers = _hidden(math.prod(shape), width, depth, normalization, dropout, noise)
        head = judged(minibatch, width, spectral=normalization == "spectral")
        self.layers = nn.Sequential(nn.Flatten(), *layers, *head)

    @property
    def hidden(self) -> list[nn.Module]:
        """The layers whose outputs are a sample's features, in order."""
        return hidden_of(self.layers)

    def forward(self, samples: Tensor) -> Tensor:
        return self.layers(samples).squeeze(1)
