"""Augmentation inside the discriminator, for reals and fakes alike, from a given generator."""

from collections.abc import Callable

from torch import Tensor

from equipoise.game.augment.ada import ADA_PARTS, ada
from equipoise.game.augment.alike import Augmentation, Augmented, alike
from equipoise.game.augment.control import adapted, overfitting_sign, pseudo_real
from equipoise.game.augment.diffaugment import DIFFAUGMENT_PARTS, diffaugment
from equipoise.game.augment.noise import instance_noise

AUGMENTATIONS: dict[str, Callable[..., Tensor]] = {"diffaugment": diffaugment, "ada": ada}

__all__ = [
    "ADA_PARTS",
    "AUGMENTATIONS",
    "DIFFAUGMENT_PARTS",
    "Augmentation",
    "Augmented",
    "ada",
    "adapted",
    "alike",
    "diffaugment",
    "instance_noise",
    "overfitting_sign",
    "pseudo_real",
]
