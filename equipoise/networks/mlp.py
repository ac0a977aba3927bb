"""Multilayer perceptrons for points and very small images."""

from __future__ import annotations

import math

from torch import Tensor, nn

from equipoise.game import normalized

SLOPE = 0.2


def _hidden(inputs: int, width: int, depth: int, normalization: str) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(depth):
        linear = nn.Linear(inputs if index == 0 else width, width)
        layers += [*normalized(normalization, linear, width), nn.LeakyReLU(SLOPE)]
    return layers


class MlpGenerator(nn.Module):
    """z (N, z_dim) -> samples (N, *shape): `depth` hidden layers of `width`, LeakyReLU 0.2.

    Images end in tanh; points in the plane are unbounded.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        z_dim: int,
        width: int,
        depth: int,
        normalization: str = "none",
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.z_dim = z_dim
        layers = _hidden(z_dim, width, depth, normalization)
        layers.append(nn.Linear(width, math.prod(shape)))
        if len(shape) > 1:
            layers.append(nn.Tanh())
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).unflatten(1, self.shape)


class MlpDiscriminator(nn.Module):
    """Samples (N, *shape) -> logits (N,): `depth` hidden layers of `width`, LeakyReLU 0.2."""

    def __init__(
        self, shape: tuple[int, ...], width: int, depth: int, normalization: str = "none"
    ) -> None:
        super().__init__()
        layers = _hidden(math.prod(shape), width, depth, normalization)
        output = nn.Linear(width, 1)
        last = normalized("spectral", output, 1) if normalization == "spectral" else [output]
        self.layers = nn.Sequential(nn.Flatten(), *layers, *last)

    def forward(self, samples: Tensor) -> Tensor:
        return self.layers(samples).squeeze(1)
