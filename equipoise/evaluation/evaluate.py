"""Fakes against reals: one call from paths to measures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise.data.samples import Samples, open_samples
from equipoise.errors import DataError, unknown
from equipoise.evaluation.blind_spots import blind_spots
from equipoise.evaluation.gather import Cache, gather
from equipoise.evaluation.generated import Generated, is_run
from equipoise.evaluation.measures import CAP, MEASURES, Measures, Options, Side, Sides, told
from equipoise.evaluation.presets import PRESETS, Preset
from equipoise.evaluation.result import Evaluation
from equipoise.features import Extractor, extractor

DEFAULT = ("frechet", "kernel", "prdc", "duplicates")
GIVEN = "given"  # rows of numbers are features already
FAKES = 10_000  # samples that a generator is asked for

PathLike = str | os.PathLike[str]
Progress = Callable[[str, int, int], None]


def evaluate(
    fake: PathLike | Samples,
    real: PathLike | Samples | None = None,
    *,
    metrics: Sequence[str] | None = None,
    features: Any = None,
    preset: str | None = None,
    train: PathLike | Samples | None = None,
    values: str | None = None,
    fakes: int | None = None,
    batch: int = 64,
    device: str | None = None,
    seed: int = 0,
    cache: PathLike | None = None,
    check_blind_spots: bool = True,
    progress: Progress | None = None,
    extractor_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Evaluation:
    """Measure fakes against reals.

    Args:
        fake, real: a folder or zip of images, an .npy or .npz array, or a set of samples; `fake`
            may be a run directory or a checkpoint of one, and `real` is then by default the data
            that it was trained on.
        metrics: names in `MEASURES`; None: those of the preset, or `DEFAULT`.
        features: a name in `equipoise.features.EXTRACTORS`, a function or module images -> (N, d),
            or an extractor; "given" for arrays of rows, and by default there; elsewhere by default
            the preset's, or random_conv, which needs no weights and whose name each measure bears.
        preset: a name in `PRESETS`, which pins a convention; options beside it are refused where
            they differ.
        train: what the generator was trained on, for metrics that need it; `real` are then held
            out.
        values: the range of floating-point images on disk: "-1..1", "0..1", "0..255".
        fakes: how many fakes to measure, the first of a set; None: the preset's, or all, or 10,000
            of a generator.
        batch: images per pass.
        cache: a folder in which features are kept by content, and from which an evaluation that
            was interrupted goes on.
        check_blind_spots: score surrogates of the reals as well, and say where a metric is blind.
        progress: called with a side's name, samples done and samples in all.
        extractor_options: of the features, such as `download`, `path`, `convention`.
        options: fields of `measures.Options`: covariance, k, k_density, ties, subsets.

    Raises:
        DataError: samples that cannot be read, or do not fit the features; they are named.
        ValueError: unknown names, or a preset together with something that differs from it.
        MissingWeightsError: the features need weights that are not at hand.
    """
    pinned = _preset(preset, metrics, features, options)
    names = tuple(metrics or (pinned.metrics if pinned else DEFAULT))
    _check(names, train)
    chosen = Options(seed=seed, **{**(pinned.options if pinned else {}), **options})
    wanted = fakes or (pinned.fakes if pinned else None)
    sets = _opened(fake, real, train, values, wanted, seed)
    looks = _extractor(sets, features, pinned, batch, device, extractor_options)
    _fits(names, looks)
    kept = None if cache is None else Cache(Path(cache))
    sides = {
        side: gather(
            samples,
            looks,
            batch=batch,
            seed=seed,
            limit=wanted if side == "fake" else None,
            cache=kept,
            tick=_tick(progress, side, len(samples)),
        )
        for side, samples in sets.items()
    }
    both = Sides(sides["real"], sides["fake"], looks.name if looks else GIVEN, sides.get("train"))
    found: Measures = {}
    for name in names:
        found |= MEASURES[name].run(both, chosen)
    return Evaluation(
        fake=str(sets["fake"].path),
        real=str(sets["real"].path),
        measures=_with_convention(found, looks),
        convention={**(looks.convention() if looks else {}), **told(chosen)},
        preset=preset,
        warnings=tuple(_warnings(sides, preset, pinned)),
        blind_spots=blind_spots(both, names, chosen) if check_blind_spots else None,
    )


def _preset(
    name: str | None, metrics: Sequence[str] | None, features: Any, options: Mapping[str, Any]
) -> Preset | None:
    if name is None:
        return None
    if name not in PRESETS:
        raise ValueError(unknown("preset", name, PRESETS))
    preset = PRESETS[name]
    asked: dict[str, Any] = {k: v for k, v in options.items() if v != preset.options.get(k)}
    if metrics is not None and tuple(metrics) != preset.metrics:
        asked["metrics"] = ",".join(metrics)
    if features is not None and preset.features not in (None, features):
        asked["features"] = features
    if asked:
        differ = ", ".join(f"{key} = {value!r}" for key, value in asked.items())
        raise ValueError(
            f"preset {name!r} pins a convention whole, and {differ} differs from it; leave the"
            " preset out, or the option"
        )
    return preset


def _check(names: Sequence[str], train: object) -> None:
    for name in names:
        if name not in MEASURES:
            raise ValueError(unknown("metric", name, MEASURES))
        if MEASURES[name].needs_train and train is None:
            raise ValueError(
                f"metric {name!r} asks whether training samples were copied: pass train=, what the"
                " generator was trained on, and reals that it was not"
            )


def _opened(
    fake: PathLike | Samples,
    real: PathLike | Samples | None,
    train: PathLike | Samples | None,
    values: str | None,
    wanted: int | None,
    seed: int,
) -> dict[str, Samples]:
    fakes = _samples(fake, values, wanted or FAKES, seed)
    if real is None and not isinstance(fakes, Generated):
        raise DataError(f"real is missing: say what {fakes.path} is to be compared with")
    found: dict[str, Samples] = {"fake": fakes}
    if real is not None:
        found["real"] = _samples(real, values, FAKES, seed + 1)
    elif isinstance(fakes, Generated):
        found["real"] = fakes.reals()
    if train is not None:
        found["train"] = _samples(train, values, FAKES, seed + 2)
    return found


def _samples(given: PathLike | Samples, values: str | None, count: int, seed: int) -> Samples:
    if not isinstance(given, (str, os.PathLike)):
        return given
    path = Path(given).expanduser()
    if is_run(path):
        return Generated(path, count, seed)
    return open_samples(path, values=values)


def _extractor(
    sets: Mapping[str, Samples],
    features: Any,
    preset: Preset | None,
    batch: int,
    device: str | None,
    options: Mapping[str, Any] | None,
) -> Extractor | None:
    chosen = features if features is not None else preset.features if preset else None
    if chosen is None:
        first = next(iter(sets["real"].batches(1)))
        chosen = GIVEN if first.values.dim() == 2 else "random_conv"
    if isinstance(chosen, str) and chosen == GIVEN:
        return None
    pinned = dict(preset.extractor) if preset else {}
    return extractor(chosen, **{**pinned, **(options or {}), "batch": batch, "device": device})


def _fits(names: Sequence[str], looks: Extractor | None) -> None:
    for name in names:
        only = MEASURES[name].only
        if only is not None and (looks is None or looks.name != only):
            other = {"fid": "frechet", "kid": "kernel"}[name]
            raise ValueError(
                f"metric {name!r} is said of the features {only!r} alone, and these are"
                f" {looks.name if looks else GIVEN!r}; ask for {other!r}, or pass features={only!r}"
            )


def _with_convention(found: Measures, looks: Extractor | None) -> Measures:
    if looks is None:
        return found
    shared = looks.convention()
    return {
        name: dataclasses.replace(m, convention={**shared, **m.convention})
        for name, m in found.items()
    }


def _warnings(sides: Mapping[str, Side], name: str | None, preset: Preset | None) -> list[str]:
    said = []
    if preset is not None and preset.fakes and sides["fake"].n < preset.fakes:
        said.append(
            f"preset {name!r} measures {preset.fakes:,} fakes and there are {sides['fake'].n:,}:"
            " the value is biased upwards against published ones"
        )
    for side, left in sides.items():
        if left.n > CAP:
            said.append(f"of {left.n:,} {side} samples {CAP:,} were drawn for what needs them all")
    return said


def _tick(progress: Progress | None, side: str, count: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    return lambda done: progress(side, done, count)
