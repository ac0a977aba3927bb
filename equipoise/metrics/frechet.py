"""The Frechet distance between two Gaussians fitted to features."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array, rows
from equipoise.metrics.measure import Measure, with_error
from equipoise.metrics.roots import Root, Side, loose_side, root, side_of, side_of_samples
from equipoise.metrics.states.moments import Divisor, Moments

CHUNK = 1024  # rows of features read at once
VISIBLE = 1e-9  # of the traces: a value further below 0 than this is no rounding


def moments(features: Array) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) with N - 1, float64, of features (N, d).

    Raises:
        ValueError: fewer than 2 samples, or a row that is not finite (it is named).
    """
    x = rows(features, "features", least=2)
    mean = x.mean(dim=0)
    centered = x - mean
    return mean, centered.T @ centered / (len(x) - 1)


def frechet_distance(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> float:
    """Squared Frechet distance |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two Gaussians.

    The trace is taken along the symmetric route: with S1 = L L^T (Cholesky) it is the sum of the
    square roots of the eigenvalues of L^T S2 L. Where S1 or S2 is singular, S_i = F_i F_i^T by
    eigenvalues, and where rounding would weigh, the singular values of F1^T F2 are summed.
    In features of any network but Inception this is not FID. It is 0 for equal moments; rounding
    may leave it below 0 by about 1e-14 times the traces, and it is not clamped.
    From two samples of N of the same N(0, I_d) it expects (2 d + d (d + 1) / 2) / N, not 0.

    Args: means (d,), covariances (d, d), symmetric.

    Raises:
        ValueError: shapes do not match, or a value is not finite.

    Source: Heusel et al., arXiv 1706.08500, eq. 6.
    """
    m1, m2 = _checked(mean1, "mean1"), _checked(mean2, "mean2")
    s1, s2 = _checked(cov1, "cov1"), _checked(cov2, "cov2")
    d = m1.numel()
    if m1.shape != (d,) or m2.shape != (d,) or s1.shape != (d, d) or s2.shape != (d, d):
        raise ValueError(
            f"mean1 {tuple(m1.shape)}, cov1 {tuple(s1.shape)}, mean2 {tuple(m2.shape)}, cov2"
            f" {tuple(s2.shape)}: must be (d,), (d, d), (d,), (d, d); use one kind of features"
        )
    first, second = side_of(s1), loose_side(s2)
    return float((m1 - m2).square().sum()) + _spread(first, second, root(first, second))


def frechet(
    real: Moments,
    fake: Moments,
    *,
    features: str,
    real_features: Array | None = None,
    fake_features: Array | None = None,
    covariance: Divisor = "n-1",
) -> Measure:
    """`frechet_distance` of two states, with its terms, its ranks and, given features, its error.

    The value is biased upwards by about (2 d + d (d + 1) / 2) / N for N samples a side, so n is
    part of the convention; `frechet_infinity` takes the fakes' share of that away. With features
    (N, d), all or a random part of those that a state saw, the infinitesimal jackknife gives a
    standard error: the value's first derivative by the weight of sample y is
    psi(y) = 2 (m2 - m1).(y - m2) + |y - m2|^2 - (y - m2)^T T (y - m2) + constant, T carrying the
    fakes' Gaussian onto the reals', and error^2 = sum over sides of var(psi) / n. The interval is
    of the value at this n, bias included; simulated errors are 1.04 to 1.2 times the true spread,
    and up to sqrt 2 times where both laws are one (the first derivative vanishes there).
    With fewer samples than d and all features of that side at hand the covariance is never
    factored: exact, and cheap; else the error costs some four times what the value does.

    Args:
        features: name of the features; the measure is called frechet_<features>.
        real_features, fake_features: (N, d); the error counts the sides that are given.
        covariance: divisor, "n-1" (np.cov, most tools) or "n" (StyleGAN).

    Parts: mean and covariance term, rank_real, rank_fake, rounding (bound on the error of the
    root's trace), negative (sum of eigenvalues below 0 taken for 0; 0 but for rounding).

    Raises:
        ValueError: widths differ, a side saw fewer than 2 samples, features that are none of the
            state's, or another divisor.

    Source: arXiv 1706.08500, eq. 6; the derivative of the Gaussian transport cost,
    Takatsu 2011, "Wasserstein geometry of Gaussian measures".
    """
    states, given = (real, fake), (real_features, fake_features)
    same_features(real, fake)
    samples = [_samples(x, s, n) for x, s, n in zip(given, states, ("real", "fake"), strict=True)]
    first = _side(real, samples[0], covariance)
    second = _side(fake, samples[1], covariance, loose=True)
    found = root(first, second, with_bases=any(x is not None for x in samples))
    gap = float((real.mean - fake.mean).square().sum())
    spread = _spread(first, second, found)
    error = _error(states, samples, found) if found.bases else math.nan
    counts = {"n_real": real.n, "n_fake": fake.n}
    return with_error(
        f"frechet_{features}",
        gap + spread,
        error,
        convention={"features": features, "covariance": covariance, "bias": "n", **counts},
        parts={
            "mean": gap,
            "covariance": spread,
            "rank_real": found.ranks[0],
            "rank_fake": found.ranks[1],
            "rounding": 2 * found.rounding,
            "negative": found.negative,
        },
        warnings=(
            *_warnings(real, fake, found.ranks),
            *_below(gap + spread, first.trace + second.trace),
            *_half(samples),
        ),
    )


def same_features(real: Moments, fake: Moments) -> None:
    """Refuse states of different width.

    Raises:
        ValueError: real.d differs from fake.d.
    """
    if real.d != fake.d:
        raise ValueError(
            f"real and fake have {real.d} and {fake.d} dimensions; both must come from the same"
            " features"
        )


def few(state: Moments, name: str) -> tuple[str, ...]:
    """What must be said of a state of fewer samples than dimensions, or of unknown n."""
    if state.n is None:
        return (f"the {name} statistics do not tell their n; say it: Moments.load(path, n=...)",)
    if state.n > state.d:
        return ()
    return (
        f"n_{name} = {state.n} is not above d = {state.d}: that covariance is singular and the"
        " value far too high; take 10 d samples or more, or narrower features",
    )


def _side(state: Moments, samples: Tensor | None, divisor: Divisor, loose: bool = False) -> Side:
    if samples is not None and state.n == len(samples) <= state.d:
        return side_of_samples(samples, state.mean.cpu(), state.divided_by(divisor) or 1)
    make = loose_side if loose else side_of
    return make(state.covariance(divisor).cpu(), None if state.n is None else state.n - 1)


def _samples(features: Array | None, state: Moments, name: str) -> Tensor | None:
    if features is None:
        return None
    x = rows(features, f"{name}_features", least=2)
    if x.shape[1] != state.d or (state.n is not None and len(x) > state.n):
        raise ValueError(
            f"{name}_features has shape {tuple(x.shape)}: {name} saw n = {state.n} of d ="
            f" {state.d}; give the features that went into it, or some of them"
        )
    gap = (x.mean(dim=0) - state.mean.cpu()).abs()
    if len(x) == state.n and bool((gap > 1e-2 * x.std(dim=0) + 1e-6 * x.abs().max()).any()):
        raise ValueError(
            f"{name}_features has another mean than {name}, which saw as many samples; give the"
            " features that went into it (are real and fake swapped?)"
        )
    return x


def _spread(first: Side, second: Side, found: Root) -> float:
    return first.trace + second.trace - 2 * float(found.values.sum())


def _error(states: tuple[Moments, Moments], samples: list[Tensor | None], found: Root) -> float:
    """The infinitesimal jackknife over the sides whose samples are given."""
    assert found.bases is not None
    gap = (states[0].mean - states[1].mean).cpu()
    squared = 0.0
    for state, x, basis, slope in zip(states, samples, found.bases, (gap, -gap), strict=True):
        if x is not None:
            psi = influence(x, state.mean.cpu(), basis, slope)
            squared += float(psi.var()) / (state.n or len(x))
    return math.sqrt(squared)


def influence(x: Tensor, mean: Tensor, basis: Tensor, gap: Tensor) -> Tensor:
    """psi of samples (N, d) of one side, up to a constant: (N,). `gap` is own mean less other's."""
    parts = []
    for chunk in x.split(CHUNK):
        y = chunk - mean
        square = y.square().sum(dim=1) - (y @ basis).square().sum(dim=1)
        parts.append(2 * y @ gap + square)
    return torch.cat(parts)


def _half(samples: list[Tensor | None]) -> tuple[str, ...]:
    given = [x is not None for x in samples]
    if given[0] == given[1]:
        return ()
    side = "reals" if given[0] else "fakes"
    return (f"the error counts the sampling of the {side} alone; give the other side's features",)


def _warnings(real: Moments, fake: Moments, ranks: tuple[int, int]) -> tuple[str, ...]:
    said = [*few(real, "real"), *few(fake, "fake")]
    for name, state, rank in (("real", real, ranks[0]), ("fake", fake, ranks[1])):
        if state.n is not None and rank < min(state.d, state.n - 1):
            said.append(
                f"the {name} covariance has rank {rank} of {min(state.d, state.n - 1)}: dead"
                f" features, or few distinct samples; count duplicates among the {name} samples"
            )
    return tuple(said)


def _below(value: float, traces: float) -> tuple[str, ...]:
    if value >= -VISIBLE * traces:
        return ()
    return (
        f"the value {value:.3g} is below 0 by more than rounding: a covariance has negative"
        " eigenvalues; compute the statistics anew in float64",
    )


def _checked(array: Any, name: str) -> Tensor:
    tensor = torch.as_tensor(array).detach().cpu().double()
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} holds NaN or infinity; look for the rows that made it")
    return tensor
