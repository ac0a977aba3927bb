"""tr (S1 S2)^(1/2) of two covariances, by the cheapest route that is exact for them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

EPS = torch.finfo(torch.float64).eps
TOLERANCE = 1e-9  # rounding allowed, relative to tr S1 + tr S2, before singular values are taken
STRIPS = 16  # strips of a triangular factor whose zeros are not multiplied


class Side(NamedTuple):
    """One covariance S = F F^T.

    Attributes:
        covariance: (d, d), or None where only the factor is known.
        factor: F (d, r), or None while nobody needed it.
        rank: of S; if `loose`, the largest it can be, which is looked into when a small eigenvalue
            gives reason to.
        lower: whether F is lower triangular (Cholesky's).
    """

    covariance: Tensor | None
    factor: Tensor | None
    rank: int
    lower: bool = False
    loose: bool = False

    @property
    def trace(self) -> float:
        """tr S."""
        if self.covariance is not None:
            return float(self.covariance.trace())
        assert self.factor is not None
        return float(self.factor.square().sum())


class Root(NamedTuple):
    """Singular values s of F1^T F2, so that tr (S1 S2)^(1/2) = sum s.

    Attributes:
        values: s, as many as the smaller rank.
        bases: where asked for, (B1, B2) with B2 = F1 U s^(-1/2): T = B2 B2^T is the matrix that
            carries the second Gaussian onto the first (T S2 T = S1), B1 B1^T the way back.
        rounding: bound on the error of sum s.
        negative: sum of the eigenvalues below 0 that were taken for 0.
        ranks: of S1 and S2.
    """

    values: Tensor
    bases: tuple[Tensor, Tensor] | None
    rounding: float
    negative: float
    ranks: tuple[int, int]


def loose_side(covariance: Tensor, most: int | None = None) -> Side:
    """A covariance (d, d) that is not looked into yet; `most` as in `side_of`."""
    d = len(covariance)
    return Side(covariance, None, d if most is None else min(most, d), loose=True)


def side_of(covariance: Tensor, most: int | None = None) -> Side:
    """A covariance (d, d) with its Cholesky factor or, where it is singular, its rank.

    Args: `most`, the largest rank possible where that is known (N - 1).
    """
    d = len(covariance)
    if most is None or most >= d:
        lower, failed = torch.linalg.cholesky_ex(covariance)
        if not failed:
            return Side(covariance, lower, d, lower=True)
    rank = _above_noise(torch.linalg.eigvalsh(covariance)).sum()
    return Side(covariance, None, min(int(rank), d if most is None else most))


def side_of_samples(features: Tensor, mean: Tensor, divisor: int) -> Side:
    """The covariance of features (N, d), N < d: its factor is the centred features themselves."""
    factor = ((features - mean) / divisor**0.5).T
    rank = int(_above_noise(torch.linalg.eigvalsh(factor.T @ factor)).sum())
    return Side(None, factor, min(rank, len(features) - 1))


def factored(side: Side) -> Side:
    """The same with a factor: where Cholesky's does not exist, from eigenvalues."""
    if side.factor is not None:
        return side
    assert side.covariance is not None
    if side.loose:
        return factored(side_of(side.covariance, side.rank))
    values, vectors = torch.linalg.eigh(side.covariance)
    # a null direction comes out as +-1e-16, and its square root 1e-8 would be summed
    kept = _above_noise(values)
    return side._replace(factor=vectors[:, kept] * values[kept].sqrt())


def root(first: Side, second: Side, with_bases: bool = False) -> Root:
    """The singular values of F1^T F2.

    They are the square roots of the eigenvalues w of F1^T S2 F1, a symmetric matrix, which costs a
    tenth and is exact to rounding unless small ones weigh: a perturbation e = 4 eps w_max moves
    sqrt(w) by at most min(sqrt(e), e / 2 sqrt(w)). Where the sum of that is above 1e-9 of the
    traces, and where only samples are known, singular values are taken.
    """
    if first.loose:
        first = factored(first)
    rank = min(first.rank, second.rank)
    if second.covariance is None and first.covariance is None:
        return _by_singular_values(first, second, rank, with_bases)
    turned = second.covariance is None or (
        first.covariance is not None and _width(second) < _width(first)
    )
    inside, outside = (first, second) if turned else (second, first)
    found = _by_eigenvalues(factored(outside), inside, rank, with_bases)
    if inside.loose and not bool(_above_noise(found.values.square()).all()):
        assert inside.covariance is not None
        inside = side_of(inside.covariance, inside.rank)
        return root(*((inside, second) if turned else (first, inside)), with_bases)
    if found.rounding > TOLERANCE * (first.trace + second.trace):
        return _by_singular_values(factored(first), factored(second), rank, with_bases)
    bases = found.bases[::-1] if turned and found.bases else found.bases
    return found._replace(bases=bases, ranks=(first.rank, second.rank))


def _width(side: Side) -> int:
    """Columns of the factor; one more than any where it is still to be made."""
    wide = 0 if side.covariance is None else len(side.covariance)
    return wide + 1 if side.factor is None else side.factor.shape[1]


def _by_eigenvalues(outside: Side, inside: Side, rank: int, with_bases: bool) -> Root:
    assert inside.covariance is not None
    assert outside.factor is not None
    inner = inner_product(outside, inside.covariance)
    vectors = None
    if with_bases:
        spectrum, vectors = torch.linalg.eigh(inner)
    else:
        spectrum = torch.linalg.eigvalsh(inner)
    least = max(len(spectrum) - rank, 0)
    kept = spectrum[least:]  # ascending; the rest is 0 and rounding
    step = 4 * EPS * max(float(spectrum[-1]), 0.0) if len(spectrum) else 0.0
    values = kept.clamp(min=0).sqrt()
    bound = torch.full_like(values, step**0.5).minimum(step / (2 * values))
    bases = None
    if vectors is not None:
        bases = _bases(outside.factor, inside, vectors[:, least:], values)
    negative = float(kept.clamp(max=0).sum())
    rounding = float(bound.nan_to_num(0.0).sum())
    return Root(values, bases, rounding, negative, (outside.rank, inside.rank))


def _by_singular_values(first: Side, second: Side, rank: int, with_bases: bool) -> Root:
    assert first.factor is not None
    assert second.factor is not None
    product = first.factor.T @ second.factor
    bases = None
    if with_bases:
        left, values, _ = torch.linalg.svd(product, full_matrices=False)
        bases = _bases(first.factor, second, left[:, :rank], values[:rank])
    else:
        values = torch.linalg.svdvals(product)
    values = values[:rank]
    return Root(values, bases, EPS * float(values.sum()), 0.0, (first.rank, second.rank))


def _bases(factor: Tensor, inside: Side, vectors: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """(basis for the side of `factor`, basis for `inside`), without directions one side lacks."""
    held = _above_noise(values)
    s = values[held]
    onto = factor @ (vectors[:, held] * s.rsqrt())
    if inside.covariance is not None:
        carried = inside.covariance @ onto
    else:
        assert inside.factor is not None
        carried = inside.factor @ (inside.factor.T @ onto)
    return carried / s, onto


def _above_noise(values: Tensor) -> Tensor:
    """Which of the eigen- or singular values (n,) are more than rounding of the largest."""
    return values > len(values) * EPS * values.max() if len(values) else values > 0


def inner_product(outside: Side, covariance: Tensor) -> Tensor:
    """F^T S F; of a Cholesky factor the lower triangle alone is right, which is all that is read.

    The strips leave out what its zeros would multiply, half of the work.
    """
    factor = outside.factor
    assert factor is not None
    if not outside.lower:
        return factor.T @ covariance @ factor
    d = len(factor)
    half, inner = torch.empty_like(factor), torch.zeros_like(factor)
    strip = -(-d // STRIPS)
    for low in range(0, d, strip):
        high = low + strip
        half[:, low:high] = covariance[:, low:] @ factor[low:, low:high]
    for low in range(0, d, strip):
        high = low + strip
        inner[low:high, :high] = factor[low:, low:high].T @ half[low:, :high]
    return inner
