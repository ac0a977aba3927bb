"""The Vendi score: the effective number of different samples."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from equipoise.metrics.arrays import Array
from equipoise.metrics.distances import CHUNK, Floats, Points, points, slices
from equipoise.metrics.measure import Measure

MOST = 10_000  # samples whose full similarity matrix is made: 800 MB in float64
LOOSE = 1e-6  # how far a similarity matrix may be from symmetric, and its diagonal from 1


def vendi(
    samples: Array,
    *,
    q: float = 1.0,
    kernel: str = "cosine",
    sigma: float | None = None,
    chunk: int = CHUNK,
    features: str = "features",
) -> Measure:
    """Vendi score of order q of samples (n, d): the exponential of the Renyi entropy of K / n.

    VS_q = (sum_i l_i^q)^(1 / (1 - q)) over the eigenvalues l_i of K / n, which sum to 1; its limits
    are exp(-sum l ln l) at q = 1, 1 / max l at q = inf, and the rank at q = 0. It is within [1, n]:
    1 if all samples are alike, n if all are unlike, and grows with n: compare equal n only. Small q
    tells of rare samples, large q of the common ones.

    kernel "cosine" is x.y / |x||y|: for n > d its eigenvalues are those of the (d, d) second
    moment of the unit rows, so any n will do. "rbf" is exp(-|x - y|^2 / 2 sigma^2): (n, n)
    eigenvalues, n up to 10,000; q = 2 alone, n / mean of K^2 along a row, needs none and takes any
    n. Eigenvalues below min(n, d) eps l_max are rounding and count as 0.

    Raises:
        ValueError: q < 0 or NaN, unknown kernel, sigma missing or not above 0, a zero row under
            "cosine", too many samples, rows that are not finite.

    Source: Friedman and Dieng, arXiv 2210.02410; orders: Pasarkar and Dieng, arXiv 2310.12952.
    """
    _order(q)
    x = points(samples, "samples")
    if kernel == "cosine":
        spectrum = _cosine_spectrum(x, chunk)
        value = effective_number(spectrum, q)
    elif kernel == "rbf":
        value = _rbf(x, q, sigma, chunk)
    else:
        raise ValueError(
            f"kernel = {kernel!r}: must be 'cosine' or 'rbf'; or vendi_of_similarities"
        )
    told = {"features": features, "kernel": kernel, "sigma": sigma, "q": q, "n": len(x)}
    return Measure(f"vendi_{features}", value, convention=told, parts={"share": value / len(x)})


def vendi_of_similarities(
    similarities: Array, *, q: float = 1.0, features: str = "given"
) -> Measure:
    """Vendi score of order q from a similarity matrix (n, n): symmetric, with ones on its diagonal.

    Raises:
        ValueError: not such a matrix, or not positive semidefinite; q < 0 or NaN.
    """
    _order(q)
    k = points(similarities, "similarities").astype(np.float64)
    n = len(k)
    if k.shape != (n, n) or np.abs(k - k.T).max() > LOOSE or np.abs(np.diag(k) - 1).max() > LOOSE:
        raise ValueError(
            f"similarities of shape {k.shape}: must be (n, n), symmetric, with ones on the"
            " diagonal; divide K_ij by sqrt(K_ii K_jj)"
        )
    spectrum = np.linalg.eigvalsh(k / n).astype(np.float64)
    if spectrum[0] < -LOOSE:
        raise ValueError(
            f"similarities have an eigenvalue {spectrum[0] * n:.3g} below 0: such a kernel has no"
            " Vendi score; use a positive definite one"
        )
    told = {"features": features, "kernel": "given", "q": q, "n": n}
    value = effective_number(spectrum, q)
    return Measure(f"vendi_{features}", value, convention=told, parts={"share": value / n})


def effective_number(shares: Floats, q: float) -> float:
    """exp of the Renyi entropy of order q of shares that sum to 1 (Hill number); 0 <= q <= inf.

    Raises:
        ValueError: q < 0 or NaN.
    """
    _order(q)
    p = shares[shares > len(shares) * np.finfo(np.float64).eps * shares.max()]
    p = p / p.sum()
    if q == math.inf:
        return float(1 / p.max())
    if abs(q - 1) < 1e-9:  # nearer, and the power below would divide rounding by 1 - q
        return float(np.exp(-(p * np.log(p)).sum()))
    # by its largest term, for p^q underflows at large q
    logs = q * np.log(p)
    total = logs.max() + math.log(np.exp(logs - logs.max()).sum())
    return math.exp(total / (1 - q))


def _order(q: float) -> None:
    if not q >= 0:
        raise ValueError(f"q = {q}: must be 0 or more, up to infinity")


def _cosine_spectrum(x: Points, chunk: int) -> Floats:
    n, d = x.shape
    if n <= d:
        unit = _unit(x, 0)
        return np.linalg.eigvalsh(unit @ unit.T / n)
    moment = np.zeros((d, d))
    for part in slices(n, chunk):
        unit = _unit(x[part], part.start)
        moment += unit.T @ unit
    return np.linalg.eigvalsh(moment / n)


def _unit(x: Points, start: int) -> Floats:
    wide = x.astype(np.float64)
    largest = np.abs(wide).max(axis=1, keepdims=True)
    if not largest.all():
        raise ValueError(
            f"samples: row {start + int(np.argmin(largest))} is 0 and has no direction; use kernel"
            " 'rbf', or remove it"
        )
    wide /= largest  # squares of tiny or huge rows would leave float64
    result: Floats = wide / np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return result


def _rbf(x: Points, q: float, sigma: float | None, chunk: int) -> float:
    if sigma is None or not sigma > 0:
        raise ValueError(
            f"sigma = {sigma}: kernel 'rbf' needs one above 0; try the median distance"
        )
    if q == 2:
        return len(x) ** 2 / sum(float(b.square().sum()) for b in _rbf_rows(x, sigma, chunk))
    if len(x) > MOST:
        raise ValueError(
            f"{len(x)} samples with kernel 'rbf' and q = {q}: the (n, n) matrix is made up to"
            f" n = {MOST}; take q = 2, kernel 'cosine', or fewer samples"
        )
    whole = torch.cat(list(_rbf_rows(x, sigma, chunk)))
    return effective_number(torch.linalg.eigvalsh(whole / len(x)).numpy(), q)


def _rbf_rows(x: Points, sigma: float, chunk: int) -> Iterator[Tensor]:
    wide = torch.from_numpy(x).double()
    for part in slices(len(x), chunk):
        # from differences, for a product's rounding would make K indefinite where rows repeat
        gap = torch.cdist(wide[part], wide, compute_mode="donot_use_mm_for_euclid_dist")
        yield gap.div_(sigma).square_().mul_(-0.5).exp_()
