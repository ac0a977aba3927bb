"""The metrics by name: each takes what both sides left and gives its measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise import metrics
from equipoise.metrics.measure import Measure
from equipoise.metrics.states import Moments

Measures = dict[str, Measure]
INCEPTION = "inception"
CAP = 50_000  # features kept of each side
FEW = 4096  # of them, for what looks at all pairs with large constants


@dataclass(frozen=True)
class Options:
    """What conventions differ in.

    Attributes:
        covariance: divisor of the covariance, "n-1" or "n".
        k, k_density: neighbours of precision and recall, and of density and coverage.
        ties: whether a ball holds its border, "le" or "lt".
        subsets, subset_size: of the usual estimator of the kernel distance.
        seed: of everything drawn.
    """

    covariance: Literal["n-1", "n"] = "n-1"
    k: int = 3
    k_density: int = 5
    ties: Literal["le", "lt"] = "le"
    subsets: int = 100
    subset_size: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Side:
    """What one set of samples left.

    Attributes:
        moments: of all its features.
        features: (N, d), all of them or `CAP` drawn at random.
        n: samples seen.
    """

    moments: Moments
    features: Tensor
    n: int


@dataclass(frozen=True)
class Sides:
    """Both sides, in features called `name`; `train` is what the generator was trained on."""

    real: Side
    fake: Side
    name: str
    train: Side | None = None


Run = Callable[[Sides, Options], Measures]


@dataclass(frozen=True)
class Metric:
    """A metric of `equipoise evaluate`.

    Attributes:
        run: gives the measures.
        told: what it is, in a line.
        only: the features that it is defined in; None for any.
        needs_train: whether it compares with the training set.
    """

    run: Run
    told: str
    only: str | None = None
    needs_train: bool = False


def _frechet(sides: Sides, options: Options) -> Measures:
    return _one(
        metrics.frechet(
            sides.real.moments,
            sides.fake.moments,
            features=sides.name,
            real_features=sides.real.features,
            fake_features=sides.fake.features,
            covariance=options.covariance,
        )
    )


def _fid(sides: Sides, options: Options) -> Measures:
    (measure,) = _frechet(sides, options).values()
    return _one(dataclasses.replace(measure, name="fid"))


def _frechet_infinity(sides: Sides, options: Options) -> Measures:
    return _one(
        metrics.frechet_infinity(
            sides.real.moments,
            sides.fake.features,
            features=sides.name,
            seed=options.seed,
            covariance=options.covariance,
        )
    )


def _kernel(sides: Sides, options: Options) -> Measures:
    pair = sides.real.features, sides.fake.features
    return _one(metrics.kernel_distance(*pair, features=sides.name))


def _kid(sides: Sides, options: Options) -> Measures:
    (measure,) = _kernel(sides, options).values()
    return _one(dataclasses.replace(measure, name="kid"))


def _kernel_subsets(sides: Sides, options: Options) -> Measures:
    size = min(options.subset_size, len(sides.real.features), len(sides.fake.features))
    return _one(
        metrics.kernel_distance_subsets(
            sides.real.features,
            sides.fake.features,
            features=sides.name,
            subsets=options.subsets,
            size=size,
            seed=options.seed,
        )
    )


def _prdc(sides: Sides, options: Options) -> Measures:
    found = metrics.prdc(
        real=sides.real.features,
        fake=sides.fake.features,
        k=options.k,
        k_density=options.k_density,
        ties=options.ties,
        features=sides.name,
    )
    return {measure.name: measure for measure in found.values()}


def _cmmd(sides: Sides, options: Options) -> Measures:
    pair = sides.real.features, sides.fake.features
    return _one(metrics.cmmd(*pair, features=sides.name))


def _sliced(sides: Sides, options: Options) -> Measures:
    pair = sides.real.features, sides.fake.features
    found = metrics.sliced_wasserstein(*pair, seed=options.seed)
    convention = {**found.convention, "features": sides.name}
    name = f"sliced_wasserstein_{sides.name}"
    return _one(dataclasses.replace(found, name=name, convention=convention))


def _vendi(sides: Sides, options: Options) -> Measures:
    """Of the fakes, and of as many reals beside it: the score grows with n."""
    count = min(len(sides.fake.features), len(sides.real.features))
    found = {}
    for side, features in (("fake", sides.fake.features), ("real", sides.real.features)):
        measure = metrics.vendi(features[:count], features=sides.name)
        found[f"{measure.name}_{side}"] = dataclasses.replace(
            measure, name=f"{measure.name}_{side}"
        )
    return found


def _duplicates(sides: Sides, options: Options) -> Measures:
    return _one(
        metrics.duplicates(fake=sides.fake.features, real=sides.real.features, features=sides.name)
    )


def _support(sides: Sides, options: Options) -> Measures:
    return _one(
        metrics.support_size(
            fake=sides.fake.features, real=sides.real.features, features=sides.name
        )
    )


def _memorization(sides: Sides, options: Options) -> Measures:
    assert sides.train is not None
    found = metrics.memorization(
        fake=sides.fake.features,
        train=sides.train.features,
        held_out=sides.real.features,
        features=sides.name,
        seed=options.seed,
    )
    return {measure.name: measure for measure in found.values()}


def _authenticity(sides: Sides, options: Options) -> Measures:
    assert sides.train is not None
    return _one(
        metrics.authenticity(
            fake=sides.fake.features, train=sides.train.features, features=sides.name
        )
    )


def _one(measure: Measure) -> Measures:
    return {measure.name: measure}


MEASURES: dict[str, Metric] = {
    "fid": Metric(_fid, "Frechet distance in the 2015 Inception's features", INCEPTION),
    "frechet": Metric(_frechet, "Frechet distance, with its terms, ranks and error"),
    "frechet_infinity": Metric(_frechet_infinity, "Frechet distance without the fakes' bias"),
    "kid": Metric(_kid, "kernel distance in the 2015 Inception's features", INCEPTION),
    "kernel": Metric(_kernel, "kernel distance (cubic), all pairs, with its error"),
    "kernel_subsets": Metric(_kernel_subsets, "kernel distance as usual tools estimate it"),
    "prdc": Metric(_prdc, "precision, recall, density, coverage"),
    "cmmd": Metric(_cmmd, "kernel distance of embeddings of norm 1"),
    "sliced_wasserstein": Metric(_sliced, "Wasserstein distance along random directions"),
    "vendi": Metric(_vendi, "effective number of different samples, fakes beside reals"),
    "duplicates": Metric(_duplicates, "share of fakes that have a twin among the fakes"),
    "support_size": Metric(_support, "how many different samples there are, by collisions"),
    "memorization": Metric(
        _memorization, "fakes near training samples, beside held-out reals", needs_train=True
    ),
    "authenticity": Metric(
        _authenticity, "share of fakes that copy no training sample", needs_train=True
    ),
}


def few(sides: Sides, count: int, seed: int) -> Sides:
    """Both sides cut to `count` samples at most, drawn by `seed`."""

    def cut(side: Side) -> Side:
        if len(side.features) <= count:
            return side
        draw = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(side.features), generator=draw)[:count]
        return side_of(side.features[chosen])

    train = None if sides.train is None else cut(sides.train)
    return Sides(cut(sides.real), cut(sides.fake), sides.name, train)


def side_of(features: Tensor) -> Side:
    """A side of features (N, d) at hand."""
    return Side(Moments.of(features), features, len(features))


def told(options: Options) -> Mapping[str, Any]:
    """The options as a convention."""
    return dataclasses.asdict(options)
