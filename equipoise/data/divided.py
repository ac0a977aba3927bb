"""Less data, and data kept aside."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.data.arrays import ArraySource
from equipoise.data.randomness import generator_for
from equipoise.data.source import Source
from equipoise.errors import DataError

FEWEST_DRAWS = 256  # held-out draws of a known density, which cost nothing


def divided(
    source: Source, limit: int | None = None, held_out: float = 0.0, seed: int = 0
) -> tuple[Source, Tensor | None]:
    """(what is trained on, what never is) under a split that `seed` alone decides.

    A finite source gives up `held_out` of its samples, and shows `limit` of the rest. An endless
    one is drawn from: `limit` samples to train on, and held out `held_out` of that number, at least
    256. Without either setting the source is handed back as it is.

    >>> from equipoise.data import open_source
    >>> trained_on, aside = divided(open_source("digits"), limit=100, held_out=0.2)
    >>> trained_on.size, len(aside)
    (100, 359)

    Raises:
        DataError: `held_out` of an endless source without `limit`, or nothing left to train on.
    """
    if limit is None and not held_out:
        return source, None
    if source.size is None:
        return _drawn(source, limit, held_out, seed)
    assert isinstance(source, ArraySource)  # of all sources those with a size
    order = torch.randperm(source.size, generator=generator_for(seed, "split", 0))
    aside = round(source.size * held_out)
    kept = order[: source.size - aside][:limit]
    if len(kept) == 0:
        raise DataError(
            f"data.held_out = {held_out!r} of {source.size} samples leaves none to train on; lower"
            " it"
        )
    trained_on = ArraySource(source.samples[kept], source.augment, source.mixture)
    return trained_on, source.samples[order[source.size - aside :]] if aside else None


def _drawn(
    source: Source, limit: int | None, held_out: float, seed: int
) -> tuple[Source, Tensor | None]:
    if limit is None:
        raise DataError(
            f"data.held_out = {held_out!r}: an endless source shows no sample twice, so nothing can"
            " be held out; set data.limit, the number of samples to train on"
        )
    aside = max(round(limit * held_out), FEWEST_DRAWS) if held_out else 0
    assert source.mixture is not None  # of all sources the endless ones have a density
    draws = source.mixture.sample(generator_for(seed, "split", 0), limit + aside)
    return ArraySource(draws[:limit], None, source.mixture), draws[limit:] if aside else None
