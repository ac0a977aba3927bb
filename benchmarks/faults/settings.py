"""What every case is played in: objective and architecture change from seed to seed.

Seed s is played in setting s modulo their number, so that all seeds together hold three objectives
and two architectures, and rules tuned on one are judged on others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Edit = Mapping[str, Any]

OBJECTIVES: Mapping[str, tuple[str, str, str]] = {
    "ring": ("relativistic", "non_saturating", "hinge"),
    "grid": ("relativistic", "non_saturating", "hinge"),
    "digits": ("non_saturating", "hinge", "relativistic"),
}
UNEVEN: Edit = {
    "generator.width": 48,
    "generator.depth": 4,
    "discriminator.width": 96,
    "discriminator.depth": 2,
}
DENSE: Edit = {  # no convolution: as far from DCGAN as a family here is
    "generator.family": "mlp",
    "discriminator.family": "mlp",
    "generator.normalization": "none",
    "generator.width": 256,
    "discriminator.width": 256,
}
ARCHITECTURES: Mapping[str, tuple[Edit, Edit]] = {
    "ring": ({}, UNEVEN),
    "grid": ({}, UNEVEN),
    "digits": ({}, DENSE),
}
# (objective, architecture) of each seed; the first is the preset's own
SETTINGS = ((0, 0), (1, 1), (2, 0), (0, 1), (1, 0), (2, 1))


def setting(preset: str, seed: int) -> dict[str, Any]:
    """The edit that seed number `seed` makes of a preset before the fault's own."""
    objective, architecture = SETTINGS[seed % len(SETTINGS)]
    name = {"objective.name": OBJECTIVES[preset][objective]} if objective else {}
    return {**ARCHITECTURES[preset][architecture], **name}
