"""Samples over time: pictures or point clouds, one frame per evaluation, for a slider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from equipoise.record import Blob, Trace
from equipoise.report.blobs import Loaded, entries, is_images, load_each
from equipoise.report.figures import points
from equipoise.report.pictures import Plan, fitting, picture
from equipoise.report.thinning import FRAMES, evenly
from equipoise.report.words import whole

SAMPLES_BUDGET = 1_100_000  # bytes of pictures on the page
INTERPOLATION_BUDGET = 350_000
_TILES = 96
INTERPOLATION_PLANS = tuple(
    Plan(tiles=_TILES, frames=frames, side=side)
    for frames, side in ((40, 64), (12, 64), (4, 64), (1, 64), (1, 32))
)


@dataclass(frozen=True)
class Frame:
    """One point in time: what stands beside the slider, and the picture ("" for points)."""

    label: str
    alt: str
    source: str = ""


@dataclass(frozen=True)
class Gallery:
    """Frames under one slider.

    `figure` is drawn for points, None for pictures; `real` is the picture of the reals beside it;
    `skipped` says which files could not be shown and why.
    """

    title: str
    caption: str
    frames: tuple[Frame, ...] = ()
    real: Frame | None = None
    figure: go.Figure | None = None
    skipped: tuple[str, ...] = ()


def samples(trace: Trace, onset: int | None = None) -> Gallery:
    """Fakes from the same noise at each evaluation, reals beside them."""
    fixed, skipped = _load(trace, "samples/fixed", onset)
    real, more = _real(trace)
    empty = Gallery("Samples from fixed noise", "", skipped=tuple(skipped + more))
    if not fixed:
        return empty
    if is_images(fixed[0][1]):
        gallery = _picture_gallery(empty, trace, fixed, real, onset)
    else:
        gallery = _point_gallery(empty, trace, fixed, real, onset)
    return _counted(gallery, trace, "samples/fixed")


def interpolation(trace: Trace, onset: int | None = None) -> Gallery:
    """What the generator makes on straight ways through z, one way per row."""
    found, skipped = _load(trace, "interpolation", onset)
    caption = "Each row walks straight from one noise vector to another: jumps are a bad sign."
    empty = Gallery("Interpolation", caption, skipped=tuple(skipped))
    if not found:
        return empty
    if is_images(found[0][1]):
        gallery = _strips(empty, trace, found, onset)
    else:
        gallery = _point_gallery(empty, trace, found, _real(trace)[0], onset)
        gallery = replace(gallery, caption="Each line is a straight way through noise space.")
    return _counted(gallery, trace, "interpolation")


def _real(trace: Trace) -> tuple[NDArray[Any] | None, list[str]]:
    """The newest reals, and a line when they cannot be read."""
    found, skipped = load_each(trace, entries(trace, "samples/real")[-1:])
    return (found[0][1] if found else None), skipped


def _counted(gallery: Gallery, trace: Trace, name: str) -> Gallery:
    """The caption says it when not every evaluation is shown."""
    shown, all_of_them = len(gallery.frames), len(entries(trace, name))
    if shown == all_of_them:
        return gallery
    said = f"{gallery.caption} {whole(shown)} of {whole(all_of_them)} evaluations are shown."
    return replace(gallery, caption=said)


def _load(trace: Trace, name: str, onset: int | None) -> tuple[Loaded, list[str]]:
    blobs = entries(trace, name)
    keep = evenly([blob.step for blob in blobs], FRAMES, onset)
    return load_each(trace, [blobs[i] for i in keep], grid=name == "interpolation")


def _picture_gallery(
    empty: Gallery, trace: Trace, fixed: Loaded, real: NDArray[Any] | None, onset: int | None
) -> Gallery:
    plan = fitting([array for _, array in fixed], SAMPLES_BUDGET)
    chosen = _planned(fixed, plan, onset)
    count = min(plan.tiles, min(len(array) for _, array in chosen))
    frames = tuple(
        Frame(
            _label(trace, blob, onset),
            f"{count} generated samples at step {whole(blob.step)}",
            picture(array, plan),
        )
        for blob, array in chosen
    )
    beside = None
    if real is not None and is_images(real):
        beside = Frame("real", f"{min(plan.tiles, len(real))} real samples", picture(real, plan))
    caption = f"The same {count} noise vectors at every step, so that each tile can be followed."
    return replace(empty, caption=caption, frames=frames, real=beside)


def _strips(empty: Gallery, trace: Trace, found: Loaded, onset: int | None) -> Gallery:
    flat = [array.reshape(-1, *array.shape[-3:]) for _, array in found]
    columns = found[0][1].shape[1]
    rows = [array[: max(1, _TILES // columns) * columns] for array in flat]
    plan = fitting(rows, INTERPOLATION_BUDGET, INTERPOLATION_PLANS)
    pairs = [(blob, array) for (blob, _), array in zip(found, rows, strict=True)]
    frames = tuple(
        Frame(
            _label(trace, blob, onset),
            f"Interpolation at step {whole(blob.step)}, {len(array) // columns} rows",
            picture(array, plan, columns),
        )
        for blob, array in _planned(pairs, plan, onset)
    )
    return replace(empty, frames=frames)


def _planned(pairs: Loaded, plan: Plan, onset: int | None) -> Loaded:
    if plan.frames == 1:
        return pairs[-1:]
    return [pairs[i] for i in evenly([blob.step for blob, _ in pairs], plan.frames, onset)]


def _point_gallery(
    empty: Gallery, trace: Trace, found: Loaded, real: NDArray[Any] | None, onset: int | None
) -> Gallery:
    usable = real is not None and not is_images(real)
    data = points.data(real if usable else None, [np.asarray(array) for _, array in found])
    frames = tuple(
        Frame(_label(trace, blob, onset) + _outside(count), f"Step {whole(blob.step)}")
        for (blob, _), count in zip(found, data.outside, strict=True)
    )
    caption = "Generated points beside the real ones; the same noise at every step."
    return replace(empty, caption=caption, frames=frames, figure=points.draw(data))


def _outside(count: int) -> str:
    return f" · {whole(count)} outside the picture" if count else ""


def _label(trace: Trace, blob: Blob, onset: int | None) -> str:
    parts = [f"step {whole(blob.step)}"]
    at = np.searchsorted(trace.kimg.steps, blob.step)
    if at < len(trace.kimg) and np.isfinite(trace.kimg.values[at]):
        parts.append(f"{trace.kimg.values[at]:.4g} kimg")
    if onset is not None:
        parts.append("before the onset" if blob.step < onset else "after the onset")
    return " · ".join(parts)


def skipped_lines(galleries: Sequence[Gallery], most: int = 8) -> list[str]:
    """What could not be shown, without repetition; past `most` only the count."""
    lines = list(dict.fromkeys(line for gallery in galleries for line in gallery.skipped))
    more = len(lines) - most
    return lines[:most] + ([f"and {more} more"] if more > 0 else [])
