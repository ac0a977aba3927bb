"""Who plays: one file per architecture family, plain modules usable alone."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from equipoise.networks.dcgan import DcganDiscriminator, DcganGenerator
from equipoise.networks.mlp import MlpDiscriminator, MlpGenerator
from equipoise.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator, faded


@dataclass(frozen=True)
class Family:
    """The two players of an architecture family.

    `generator(shape, z_dim, width, depth, normalization, *, attention, dropout)`,
    `discriminator(shape, width, depth, normalization, *, attention, dropout, minibatch, noise)`,
    which has its feature layers in `hidden`. With `grows` both have a `stage`, out of `stages`.
    """

    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]
    grows: bool = False


FAMILIES: dict[str, Family] = {
    "mlp": Family(MlpGenerator, MlpDiscriminator),
    "dcgan": Family(DcganGenerator, DcganDiscriminator),
    "progressive": Family(ProgressiveGenerator, ProgressiveDiscriminator, grows=True),
}

__all__ = [
    "FAMILIES",
    "DcganDiscriminator",
    "DcganGenerator",
    "Family",
    "MlpDiscriminator",
    "MlpGenerator",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "faded",
]
