"""Features by name: one literal table, and the one function that makes any of them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from equipoise import errors
from equipoise.features import clip, dinov2, inception, vgg, weightless
from equipoise.features.extractor import Extractor, Network, from_callable
from equipoise.features.images import AS_GIVEN, Preprocess

EXTRACTORS: dict[str, Callable[..., Extractor]] = {
    "inception": inception.inception,
    "dinov2_vit_l_14": dinov2.dinov2_vit_l_14,
    "dinov2_vit_b_14": dinov2.dinov2_vit_b_14,
    "clip_vit_l_14_336": clip.clip_vit_l_14_336,
    "clip_vit_b_32": clip.clip_vit_b_32,
    "vgg16": vgg.vgg16,
    "vgg16_lpips": vgg.vgg16_lpips,
    "random_conv": weightless.random_conv,
    "patches": weightless.patches,
    "pixels": weightless.pixels,
    "identity": weightless.identity,
    "digits_cnn": weightless.digits_cnn,
}
PUBLISHED = ("inception", "dinov2", "clip", "vgg16", "fid", "lpips")  # names that mean weights
RUN = ("batch", "device")
PREPROCESS = tuple(entry.name for entry in dataclasses.fields(Preprocess))


def extractor(features: str | Network | Extractor, **options: Any) -> Extractor:
    """Features by name, or a function or module images -> (N, d), as an `Extractor`.

    Args:
        features: a name in EXTRACTORS; or what reads images and gives (N, d), which gets them as
            they are given unless `resize` or `normalize` is among the options; or an Extractor.
        options: `batch`, `device`; any field of `Preprocess` (`resize`, `size`, `crop`, `quantize`,
            `normalize`, `gray`, `beyond`, `low`, `high`), which then differs from the default and
            is recorded so; `name` for a function or module; and what the named features take
            (`path`, `sha256`, `download`, `layer`, `convention`, `seed`, `unit`, `heads`).

    Raises:
        ValueError: an unknown name or option; a name that means published weights for others.
        MissingWeightsError, WeightsError: see `weights.find`.

    Example:
        >>> import torch
        >>> random_conv = extractor("random_conv")
        >>> random_conv(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 320])
        >>> random_conv.convention()["features"]
        'random_conv_v1'
    """
    make = _maker(features)
    own = tuple(inspect.signature(make).parameters)
    for option in options:
        if option not in (*own, *RUN, *PREPROCESS):
            raise ValueError(errors.unknown("option", option, {*own, *RUN, *PREPROCESS}))
    made = make(**{key: value for key, value in options.items() if key in own})
    ready = {key: value for key, value in options.items() if key in PREPROCESS and key not in own}
    run = {key: value for key, value in options.items() if key in RUN}
    return dataclasses.replace(made, preprocess=_changed(made.preprocess, ready), **run)


def _maker(features: str | Network | Extractor) -> Callable[..., Extractor]:
    if isinstance(features, Extractor):
        return lambda: features
    if isinstance(features, str):
        if features not in EXTRACTORS:
            raise ValueError(errors.unknown("features", features, EXTRACTORS))
        return EXTRACTORS[features]
    if not callable(features):
        raise ValueError(
            f"features is {features!r}: must be a name ({', '.join(EXTRACTORS)}), or a function or"
            " module that reads images and gives (N, d)"
        )
    network = features

    def custom(*, name: str | None = None) -> Extractor:
        made = from_callable(network, name)
        if made.name in EXTRACTORS or made.name.partition("_")[0] in PUBLISHED:
            raise ValueError(
                f"the name {made.name!r} means known features with known weights; pass another"
                " name= for your own"
            )
        return made

    return custom


def _changed(before: Preprocess, options: dict[str, Any]) -> Preprocess:
    if not options:
        return before
    if before.normalize == AS_GIVEN:  # once something is asked, images are prepared like others
        before = dataclasses.replace(before, normalize="unit")
    return dataclasses.replace(before, **options)
