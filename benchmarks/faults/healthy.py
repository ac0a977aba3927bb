"""Configurations that learn: whatever is said of them is a false alarm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POINTS = ("ring", "grid")
OFF = {"penalties.r1.gamma": 0.0, "penalties.r2.gamma": 0.0}
SPECTRAL = {**OFF, "discriminator.normalization": "spectral"}

# name -> (preset, edit)
CONFIGURATIONS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "ring": ("ring", {}),
    "ring non-saturating": ("ring", {"objective.name": "non_saturating"}),
    "ring hinge, spectral": ("ring", {**SPECTRAL, "objective.name": "hinge"}),
    "ring Wasserstein, gradient penalty": (
        "ring",
        {**OFF, "objective.name": "wasserstein", "penalties.wgan_gp.gamma": 0.1},
    ),
    "ring least squares, spectral": ("ring", {**SPECTRAL, "objective.name": "least_squares"}),
    "grid": ("grid", {}),
    "grid non-saturating": ("grid", {"objective.name": "non_saturating"}),
    "grid hinge": ("grid", {"objective.name": "hinge"}),
    "grid relativistic, spectral": ("grid", SPECTRAL),
    "digits": ("digits", {}),
    "digits hinge": ("digits", {"objective.name": "hinge"}),
    "digits relativistic": ("digits", {"objective.name": "relativistic"}),
    "digits least squares": ("digits", {"objective.name": "least_squares"}),
    "digits, spectral": ("digits", SPECTRAL),
    "digits Wasserstein, gradient penalty": (
        "digits",
        {**OFF, "objective.name": "wasserstein", "penalties.wgan_gp.gamma": 10.0},
    ),
    "digits, group norm": ("digits", {"generator.normalization": "group"}),
    "digits, DiffAugment": (
        "digits",
        {"augmentation": {"name": "diffaugment", "policy": "translation"}},
    ),
    "digits, wide": ("digits", {"generator.width": 24, "discriminator.width": 24}),
    "digits, grown": (
        "digits",
        {
            "generator.family": "progressive",
            "discriminator.family": "progressive",
            "generator.normalization": "pixel",
        },
    ),
}
