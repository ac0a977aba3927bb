"""From samples on disk to what metrics read, in one pass that can be interrupted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equipoise.data.samples import Batch, Samples
from equipoise.errors import DataError
from equipoise.evaluation.measures import CAP, Side
from equipoise.features import Extractor
from equipoise.metrics.states import FeatureStore, Moments
from equipoise.record import write_bytes
from equipoise.record.atomic import replacing, unwritable

SHARD = 1024  # samples whose features are written at once
WEIGHTLESS = re.compile(r"pixels|identity|(random_conv|patches)_v\d.*")  # ours, known by name
VERSION = 1  # of the cache's layout

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Cache:
    """Features that were taken before, by the content of samples and the convention of features.

    A folder for each pair of both, named by their hash, holds `about.json` and shards of `SHARD`
    rows, so that what was interrupted goes on with the first shard that is missing. Functions of
    one's own, which nothing but a name tells apart, are taken anew each time; a module is known by
    its name and its weights.
    """

    folder: Path

    def place(self, samples: Samples, extractor: Extractor | None) -> Path:
        """Where the features of these samples are, or will be."""
        convention = dict(extractor.convention()) if extractor is not None else {}
        convention.pop("dim", None)  # known from the first batch on alone
        about = {"version": VERSION, "samples": samples.content_hash(), "features": convention}
        text = json.dumps(about, sort_keys=True, default=str)
        place = self.folder / hashlib.sha256(text.encode()).hexdigest()[:24]
        if not (place / "about.json").is_file():
            write_bytes(place / "about.json", text.encode())
        return place


def gather(
    samples: Samples,
    extractor: Extractor | None,
    *,
    batch: int,
    seed: int,
    limit: int | None = None,
    cache: Cache | None = None,
    tick: Tick | None = None,
) -> Side:
    """Features of the samples, all or the first `limit`, as states.

    Args:
        samples: images, or rows of numbers that are features already.
        extractor: of images; None for rows.
        tick: called with the number of samples that are done.

    Raises:
        DataError: fewer than 2 samples, images without an extractor, rows with one, or what the
            extractor refuses; the samples are named.
    """
    count = len(samples) if limit is None else min(limit, len(samples))
    if count < 2:
        raise DataError(f"{samples.path} holds {count} sample: a comparison needs 2 or more")
    moments: Moments | None = None
    store = FeatureStore(CAP, seed)
    done = 0
    for rows in _shards(samples, extractor, batch, count, cache):
        moments = moments or Moments(rows.shape[1])
        moments.update(rows)
        store.update(rows)
        done += len(rows)
        if tick is not None:
            tick(done)
    assert moments is not None
    return Side(moments, store.features, done)


def _shards(
    samples: Samples, extractor: Extractor | None, batch: int, count: int, cache: Cache | None
) -> Iterator[Tensor]:
    """Features in the samples' order, `SHARD` at a time, from the cache as far as it goes."""
    known_features = extractor is None or _told_apart(extractor)
    place = cache.place(samples, extractor) if cache is not None and known_features else None
    start = 0
    while place is not None and start < count:
        known = _read(place, start)
        if known is None:
            break
        yield known[: count - start]
        start += SHARD
    rows: list[Tensor] = []
    held = 0
    for found in _extracted(samples, extractor, batch, start, count):
        rows.append(found)
        held += len(found)
        while held >= SHARD:
            whole = torch.cat(rows)
            yield _written(place, start, whole[:SHARD])
            rows, held, start = [whole[SHARD:]], held - SHARD, start + SHARD
    if held:
        rest = torch.cat(rows)
        last = start + held == len(samples)  # what a limit cuts is no whole shard
        yield _written(place if last else None, start, rest)


def _told_apart(extractor: Extractor) -> bool:
    """Whether its convention says which features these are: a function of one's own has a name."""
    return extractor.weights_sha256 is not None or bool(WEIGHTLESS.fullmatch(extractor.name))


def _extracted(
    samples: Samples, extractor: Extractor | None, batch: int, start: int, count: int
) -> Iterator[Tensor]:
    left = count - start
    for part in samples.batches(batch, start) if left > 0 else ():
        yield _features(samples, part, extractor)[:left]
        left -= len(part.names)
        if left <= 0:
            return


def _features(samples: Samples, part: Batch, extractor: Extractor | None) -> Tensor:
    images = part.values.dim() == 4
    if images and extractor is None:
        raise DataError(f"{samples.path} holds images, and features='given' is for rows (N, d)")
    if extractor is None:
        return _finite(part)
    if not images:
        raise DataError(
            f"{samples.path} holds rows of shape {tuple(part.values.shape[1:])}, no images: pass"
            f" features='given' to compare them as they are, not {extractor.name!r}"
        )
    try:
        return extractor(part.values).cpu()
    except DataError as error:
        named = f"{part.names[0]} to {part.names[-1]}" if len(part.names) > 1 else part.names[0]
        raise DataError(f"{samples.path}, {named}: {error}") from None


def _finite(part: Batch) -> Tensor:
    broken = (~part.values.isfinite()).any(1).nonzero().flatten().tolist()
    if broken:
        raise DataError(
            f"{part.names[broken[0]]} holds NaN or infinity ({len(broken)} of this batch do);"
            " remove such rows, or find what made them"
        )
    return part.values


def _shard(place: Path, start: int) -> Path:
    return place / f"{start:010d}.npy"


def _read(place: Path, start: int) -> Tensor | None:
    """A shard of the cache; None where it is missing or damaged, to be made anew."""
    try:
        return torch.from_numpy(np.load(_shard(place, start), allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


def _written(place: Path | None, start: int, rows: Tensor) -> Tensor:
    if place is None:
        return rows
    try:
        with replacing(_shard(place, start)) as temporary, temporary.open("wb") as file:
            np.save(file, rows.numpy())
    except OSError as error:
        raise unwritable(place, error) from error
    return rows
