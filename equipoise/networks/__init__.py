"""Who plays: one file per architecture family, plain modules usable alone."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from equipoise.networks.dcgan import DcganDiscriminator, DcganGenerator
from equipoise.networks.mlp import MlpDiscriminator, MlpGenerator


@dataclass(frozen=True)
class Family:
    """The two players of an architecture family.

    `generator(shape, z_dim, width, depth, normalization)`,
    `discriminator(shape, width, depth, normalization)`.
    """

    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]


FAMILIES: dict[str, Family] = {
    "mlp": Family(MlpGenerator, MlpDiscriminator),
    "dcgan": Family(DcganGenerator, DcganDiscriminator),
}

__all__ = [
    "FAMILIES",
    "DcganDiscriminator",
    "DcganGenerator",
    "Family",
    "MlpDiscriminator",
    "MlpGenerator",
]
