"""Several tensors as one vector, and what a few products with a matrix tell of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
RANK = 1e-6  # a residual this small beside its product is rounding: the space is exhausted


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All entries in one vector, in float32 at least."""
    if not tensors:
        return torch.zeros(0)
    return torch.cat([_wide(t).flatten() for t in tensors])


def unflat(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The vector cut into tensors of the shapes and types of `like`."""
    if not like:
        return []
    parts = vector.split([t.numel() for t in like])
    return [part.view_as(t).to(t.dtype) for part, t in zip(parts, like, strict=True)]


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def gradient(loss: Tensor, by: Sequence[Tensor], graph: bool = False) -> Tensor:
    """d loss / d by as one vector; 0 where the loss does not depend on a tensor."""
    if not by or not loss.requires_grad:
        return torch.zeros_like(flat([t.detach() for t in by]))
    found = torch.autograd.grad(
        loss, by, create_graph=graph, retain_graph=True, materialize_grads=True
    )
    return flat(found)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """a'b / (|a| |b|); NaN where one of them is 0."""
    return first @ second / (first.norm() * second.norm())


def direction(size: int, like: Tensor) -> Tensor:
    """A unit vector of random signs / sqrt(size), from the stage's seed."""
    signs = torch.randint(0, 2, (size,)).to(like) * 2 - 1
    return signs / size**0.5


def arnoldi(product: Product, start: Tensor, steps: int) -> Tensor:
    """H = V'J V, (m, m) on the processor in float64, V an orthonormal Krylov basis of J from start.

    m = steps, or less where the space is exhausted; then H has eigenvalues of J itself. Each new
    vector is made orthogonal twice: for a symmetric J this is Lanczos with full
    reorthogonalization. Saad 2011, algorithm 6.1. NaN in a product ends it with NaN.
    """
    basis = [start / start.norm()]
    columns: list[Tensor] = []
    for _ in range(min(steps, len(start))):
        image = product(basis[-1])
        size = image.norm()
        vectors = torch.stack(basis)
        weights = vectors @ image
        rest = image - weights @ vectors
        again = vectors @ rest
        rest = rest - again @ vectors
        length = rest.norm()
        columns.append(torch.cat([weights + again, length[None]]))
        if not length > RANK * size:  # NaN ends it too
            break
        basis.append(rest / length)
    m = len(columns)
    upper = torch.zeros(m, m, dtype=torch.float64)
    for j, column in enumerate(columns):
        count = min(len(column), m)
        upper[:count, j] = column[:count].detach().double().cpu()
    return upper


def eigenvalues(matrix: Tensor, symmetric: bool = False) -> Tensor:
    """Of a small matrix: complex (m,), or real and rising; NaN where the matrix is not finite."""
    if not torch.isfinite(matrix).all():
        kind = torch.float64 if symmetric else torch.complex128
        return torch.full((len(matrix),), torch.nan, dtype=kind)
    if symmetric:
        return torch.linalg.eigvalsh((matrix + matrix.T) / 2)
    return torch.linalg.eigvals(matrix)
