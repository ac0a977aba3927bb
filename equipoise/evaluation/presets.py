"""Conventions pinned whole, so that a number can be held against published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """What is measured, in which features, and how.

    Attributes:
        metrics: names in `equipoise.evaluation.MEASURES`.
        features: a name in `equipoise.features.EXTRACTORS`; None leaves the choice.
        extractor: its options.
        options: of the metrics, see `equipoise.evaluation.measures.Options`.
        fakes: how many the convention takes; fewer are measured with a warning.
        source: where the convention is written down.
    """

    metrics: tuple[str, ...]
    features: str | None
    source: str
    extractor: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    fakes: int | None = None


PRESETS: dict[str, Preset] = {
    "stylegan-fid50k": Preset(
        ("fid",),
        "inception",
        "NVlabs/stylegan3, metrics/metric_main.py: 50,000 fakes, all reals, covariance over N",
        {"convention": "stylegan"},
        {"covariance": "n"},
        50_000,
    ),
    "clean-fid": Preset(
        ("fid",),
        "inception",
        "Parmar et al., arXiv 2104.11222: Pillow's bicubic filter on floats, covariance over N - 1",
        {"convention": "clean_fid"},
    ),
    "legacy-fid": Preset(
        ("fid",),
        "inception",
        "TTUR and torch-fidelity: TensorFlow 1's bilinear filter, covariance over N - 1",
        {"convention": "torch_fidelity"},
        {},
        10_000,
    ),
    "dgm-fd-dinov2": Preset(
        ("frechet",),
        "dinov2_vit_l_14",
        "Stein et al., arXiv 2306.04675, and EDM2: ViT-L/14 at 224 pixels, 50,000 fakes",
        {},
        {},
        50_000,
    ),
    "cmmd-google": Preset(
        ("cmmd",),
        "clip_vit_l_14_336",
        "Jayasumana et al., arXiv 2401.09603: unit norm, sigma 10, V-statistic, times 1000",
        {"unit": True},
        {},
        30_000,
    ),
    "prdc-k5": Preset(
        ("prdc",),
        None,
        "clovaai/generative-evaluation-prdc: k = 5 for all four, open balls",
        {},
        {"k": 5, "k_density": 5, "ties": "lt"},
    ),
}
