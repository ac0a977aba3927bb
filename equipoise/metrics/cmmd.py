"""CMMD: MMD^2 of a wide Gaussian kernel on embeddings of unit norm."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from equipoise.metrics.arrays import Array
from equipoise.metrics.frechet import same_features
from equipoise.metrics.kernels import gaussian_gap, mean_discrepancy, pair_sums, two_sets
from equipoise.metrics.measure import Measure, with_error
from equipoise.metrics.states.moments import Moments

SIGMA, SCALE = 10.0, 1000.0  # as published
UNIT = 2e-3  # a norm further from 1 is none that float16 rounding explains


def cmmd(
    real: Array,
    fake: Array,
    *,
    features: str,
    unbiased: bool = False,
    sigma: float = SIGMA,
    exact: bool = False,
) -> Measure:
    """1000 MMD^2 with k(x, y) = exp(-|x - y|^2 / 2 sigma^2) of embeddings (N, d), (M, d) of norm 1.

    Published with sigma = 10 and as the biased V-statistic, pairs of a sample with itself included;
    at n samples a side that alone is worth about 10 * 2 / n (1 - |mu|^2). On the unit sphere this
    kernel lies in [.980, 1] and is nearly linear: CMMD is 10 |mu_x - mu_y|^2 to 1 %, and nearly
    blind to collapse that keeps the mean. Kernel values are taken as exp(.) - 1, so that float32
    loses nothing (elsewhere its noise floor is 7e-5). Error: jackknife, as `kernel_distance`.

    Raises:
        ValueError: a norm is not 1, sigma not above 0, fewer than 2 samples a side, a row that is
            not finite, different d.

    Source: Jayasumana et al., arXiv 2401.09603, eq. 2 and 3; google-research/cmmd, distance.py.
    """
    x, y = two_sets(real, fake)
    for rows, name in ((x, "real"), (y, "fake")):
        _refuse_norms(rows.norm(dim=1), name)
    _refuse_sigma(sigma)
    sums = pair_sums(x, y, gaussian_gap(1 / (2 * sigma**2)), exact)
    value, error = mean_discrepancy(sums, unbiased)
    told = _convention(features, sigma, unbiased) | {"estimator": "all pairs"}
    counts = {"n_real": len(x), "n_fake": len(y)}
    return with_error(f"cmmd_{features}", SCALE * value, SCALE * error, convention=told | counts)


def cmmd_streamed(
    real: Moments,
    fake: Moments,
    *,
    features: str,
    unbiased: bool = False,
    sigma: float = SIGMA,
) -> Measure:
    """`cmmd` from mean and second moment alone: nothing but two `Moments` is kept.

    With t = x.y, k = exp(-1 / sigma^2) exp(t / sigma^2), and the exponential's second-order series
    gives MMD^2 = exp(-s) (s |mu_x - mu_y|^2 + s^2 / 2 |C_x - C_y|_F^2) with s = 1 / sigma^2 and
    C = E x x^T; of all higher orders no more is left than parts["remainder"] (7e-4 at sigma = 10,
    seen: 7e-5).

    Parts: first, second (the two orders), remainder (bound).

    Raises:
        ValueError: the mean squared norm is not 1, widths differ, sigma not above 0, or unbiased
            with statistics of unknown n.

    Source: the series of arXiv 2401.09603, eq. 3.
    """
    same_features(real, fake)
    _refuse_sigma(sigma)
    s = 1 / sigma**2
    x, y = _raw(real, "real"), _raw(fake, "fake")
    shrink = math.exp(-s)
    first = s * shrink * float((x[0] - y[0]).square().sum())
    second = s**2 / 2 * shrink * float((x[1] - y[1]).square().sum())
    own = _without_self(x, s, real.n) + _without_self(y, s, fake.n) if unbiased else 0.0
    rest = 4 * shrink * (math.expm1(s) - s - s**2 / 2)
    told = _convention(features, sigma, unbiased) | {"estimator": "second order"}
    return Measure(
        f"cmmd_{features}",
        SCALE * (first + second + own),
        convention=told | {"n_real": real.n, "n_fake": fake.n},
        parts={"first": SCALE * first, "second": SCALE * second, "remainder": SCALE * rest},
    )


def _without_self(raw: tuple[Tensor, Tensor], s: float, n: int | None) -> float:
    """What the mean of k over pairs of one set changes by when pairs of a sample with itself go."""
    if n is None or n < 2:
        raise ValueError(
            f"n = {n}: the unbiased estimate needs n of at least 2; say it where the statistics are"
            " read, Moments.load(path, n=...), or take unbiased=False"
        )
    mean, square = raw
    series = s * float(mean.square().sum()) + s**2 / 2 * float(square.square().sum())
    gap = math.expm1(-s) + math.exp(-s) * series  # mean of k - 1 over all pairs, the self ones 0
    return gap / (n - 1)


def _raw(state: Moments, name: str) -> tuple[Tensor, Tensor]:
    """Mean and E x x^T, with 1 / n."""
    mean = state.mean.cpu()
    square = state.covariance("n").cpu().addr_(mean, mean)
    _refuse_norms(square.trace().sqrt()[None], name)
    return mean, square


def _refuse_norms(norms: Tensor, name: str) -> None:
    off = (norms - 1).abs()
    if float(off.max()) > UNIT:
        worst = float(norms[int(off.argmax())])
        raise ValueError(
            f"{name}: an embedding has norm {worst:.4g}: CMMD is defined on norm 1; divide each by"
            " its norm, x / x.norm(dim=1, keepdim=True)"
        )


def _refuse_sigma(sigma: float) -> None:
    if not sigma > 0:
        raise ValueError(f"sigma = {sigma}: must be above 0; published: 10")


def _convention(features: str, sigma: float, unbiased: bool) -> dict[str, Any]:
    bias = "none" if unbiased else "n"
    return {"features": features, "sigma": sigma, "scale": SCALE, "bias": bias}
