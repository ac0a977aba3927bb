"""The Frechet distance between two Gaussians fitted to features."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array, rows


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
    eigenvalues and the trace is the sum of the singular values of F1^T F2, as exact there.
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
    gap = (m1 - m2).square().sum()
    return float(gap + s1.trace() + s2.trace() - 2 * _trace_of_root(s1, s2))


def _trace_of_root(s1: Tensor, s2: Tensor) -> Tensor:
    lower, failed = torch.linalg.cholesky_ex(s1)
    _, failed2 = torch.linalg.cholesky_ex(s2)
    if failed or failed2:
        roots: Tensor = torch.linalg.svdvals(_factor(s1).T @ _factor(s2))
    else:
        roots = torch.linalg.eigvalsh(lower.T @ s2 @ lower).clamp(min=0).sqrt()
    return roots.sum()


def _factor(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    noise = len(values) * torch.finfo(values.dtype).eps * values[-1]
    # a null direction comes out as +-1e-16, and its square root 1e-8 would be summed
    factor: Tensor = vectors * values.where(values > noise, 0.0).sqrt()
    return factor


def _checked(array: Array, name: str) -> Tensor:
    tensor = torch.as_tensor(array).detach().cpu().double()
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} holds NaN or infinity; look for the rows that made it")
    return tensor
