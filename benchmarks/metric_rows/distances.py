"""Frechet distance, streaming moments and kernel distance against the routes of peers.

torchmetrics is played as installed. torch-fidelity's routes are written out here (numpy's
eigenvalues of S1 S2; subsets in numpy), because importing it needs torchvision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.metric_rows import OURS, Options, Outcome, Row, contest
from equipoise.metrics import frechet, kernel_distance
from equipoise.metrics.states import Moments

FEW = 500  # samples, far fewer than dimensions
BATCH = 64
SUBSETS, SIZE = 100, 1000
Pair = tuple[Tensor, Tensor]


def features(n: int, d: int, seed: int) -> Pair:
    """Reals and fakes (n, d), float32: correlated, not negative, as Inception's are."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator) / d**0.5
    spread = torch.logspace(0.5, -1, d)
    x, y = (torch.randn(n, d, generator=generator) * spread @ mix for _ in range(2))
    return torch.relu(x + 0.3), torch.relu(1.05 * y + 0.32)


def statistics_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance, float64."""
    wide = x.double()
    return wide.mean(dim=0), wide.T.cov()


def torchmetrics_route(real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> float:
    """What FrechetInceptionDistance.compute does with its statistics."""
    from torchmetrics.image.fid import _compute_fid

    return float(_compute_fid(*real, *fake))


def numpy_route(real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> float:
    """torch-fidelity's: complex roots of the eigenvalues of S1 S2."""
    (m1, s1), (m2, s2) = ((m.numpy(), s.numpy()) for m, s in (real, fake))
    roots = np.sqrt(np.linalg.eigvals(s1.dot(s2)).astype("complex128")).real.sum()
    gap = m1 - m2
    return float(gap.dot(gap) + np.trace(s1) + np.trace(s2) - 2 * roots)


def frechet_of_statistics(options: Options) -> Outcome:
    """From mean and covariance of n samples a side to the distance."""

    def data(seed: int, at: Options) -> Any:
        states = [Moments.of(x) for x in features(at.n, at.d, seed)]
        return states, [(s.mean, s.covariance()) for s in states]

    return contest(
        data,
        {
            OURS: lambda given: frechet(*given[0], features="bench").value,
            "torchmetrics": lambda given: torchmetrics_route(*given[1]),
            "torch-fidelity": lambda given: numpy_route(*given[1]),
        },
        {"torchmetrics": 3.0, "torch-fidelity": 6.0},
        options,
    )


def frechet_of_few(options: Options) -> Outcome:
    """From 500 features a side to the distance: the covariances are singular."""

    def ours(given: Pair) -> float:
        states = [Moments.of(x) for x in given]
        names = ("real_features", "fake_features")
        told = dict(zip(names, given, strict=True))
        return frechet(*states, features="bench", **told).value

    return contest(
        lambda seed, at: features(min(FEW, at.n), at.d, seed),
        {
            OURS: ours,
            "torchmetrics": lambda given: torchmetrics_route(*map(statistics_of, given)),
            "torch-fidelity": lambda given: numpy_route(*map(statistics_of, given)),
        },
        {"torchmetrics": 20.0, "torch-fidelity": 20.0},
        options,
    )


class Identity(nn.Module):
    """Features in, features out; peers ask for `num_features`."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.num_features = d

    def forward(self, x: Tensor) -> Tensor:
        """As given."""
        return x


def streaming(options: Options) -> Outcome:
    """Mean and covariance of features that come in batches of 64."""

    def ours(x: Tensor) -> float:
        state = Moments(x.shape[1])
        for batch in x.split(BATCH):
            state.update(batch)
        return float(state.covariance().trace())

    def theirs(x: Tensor) -> float:
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature=Identity(x.shape[1]))
        for batch in x.split(BATCH):
            metric.update(batch, real=True)
        n, total = metric.real_features_num_samples, metric.real_features_sum
        return float((metric.real_features_cov_sum.trace() - total @ total / n) / (n - 1))

    return contest(
        lambda seed, at: features(min(at.n, 5120), at.d, seed)[0],
        {OURS: ours, "torchmetrics": theirs},
        {"torchmetrics": 3.0},
        options,
    )


def kernel_of_all(options: Options) -> Outcome:
    """All pairs of n samples a side, against 100 subsets of 1000."""

    def torchmetrics(given: Pair) -> float:
        from torchmetrics.image.kid import KernelInceptionDistance

        n, d = given[0].shape
        metric = KernelInceptionDistance(Identity(d), subsets=SUBSETS, subset_size=min(SIZE, n))
        metric.update(given[0], real=True)
        metric.update(given[1], real=False)
        return float(metric.compute()[0])

    return contest(
        lambda seed, at: features(at.n, at.d, seed),
        {
            OURS: lambda given: kernel_distance(*given, features="bench").value,
            "torchmetrics": torchmetrics,
            "torch-fidelity": lambda given: numpy_subsets(*given),
        },
        {"torchmetrics": 1.0, "torch-fidelity": 1.0},
        options,
    )


def numpy_subsets(real: Tensor, fake: Tensor) -> float:
    """torch-fidelity's: float32 products of subsets, drawn with seed 2020."""
    x, y, draw = real.numpy(), fake.numpy(), np.random.RandomState(2020)
    values, size = [], min(SIZE, len(x))
    for _ in range(SUBSETS):
        b = y[draw.choice(len(y), size, replace=False)]
        a = x[draw.choice(len(x), size, replace=False)]
        xx, yy, xy = ((p @ q.T / x.shape[1] + 1) ** 3 for p, q in ((a, a), (b, b), (a, b)))
        own = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
        values.append(own / (size * (size - 1)) - 2 * xy.sum() / size**2)
    return float(np.mean(values))


ROWS: dict[str, Row] = {
    "frechet": frechet_of_statistics,
    "frechet_few": frechet_of_few,
    "streaming": streaming,
    "kernel": kernel_of_all,
}
