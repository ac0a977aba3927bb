"""Penalties and constraints on weights alone; numbers, not one for each sample."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def _gram(weight: Tensor) -> Tensor:
    rows = weight.flatten(1)
    rows = rows if rows.dtype == torch.float64 else rows.float()
    return rows @ rows.T


def orthogonal_weight(weight: Tensor) -> Tensor:
    """||W W' * (1 - I)||_F^2, rows of W (out, ...) the filters: their angles, not their lengths.

    Brock, Donahue and Simonyan 2019 (BigGAN), equation 3; weight 1e-4.
    """
    gram = _gram(weight)
    return (gram - gram.diagonal().diag()).square().sum()


def orthonormal_weight(weight: Tensor) -> Tensor:
    """||W W' - I||_F^2, rows of W (out, ...) the filters: angles and lengths.

    Brock et al. 2017, as BigGAN's equation 2 restates it (their own text sums |W W' - I|). It can
    reach 0 only where there are at most as many rows as columns.
    """
    gram = _gram(weight)
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return (gram - eye).square().sum()


def _matrices(module: nn.Module) -> Iterator[Tensor]:
    return (p for p in module.parameters() if p.dim() >= 2)


def orthogonal(module: nn.Module) -> Tensor:
    """sum over weights of ||W W' * (1 - I)||_F^2 (BigGAN's form): a scalar.

    Leave out the embeddings of classes, as BigGAN does, by passing the modules that are meant.
    """
    return _summed([orthogonal_weight(weight) for weight in _matrices(module)])


def orthonormal(module: nn.Module) -> Tensor:
    """sum over weights of ||W W' - I||_F^2 (Brock et al. 2017): a scalar."""
    return _summed([orthonormal_weight(weight) for weight in _matrices(module)])


def _summed(values: list[Tensor]) -> Tensor:
    if not values:
        raise ValueError(
            "module has no weight of two dimensions or more: nothing to make orthogonal"
        )
    return torch.stack(values).sum()


@torch.no_grad()
def clip_weights(module: nn.Module, bound: float) -> None:
    """Hold every parameter in [-bound, bound], in place, after each step of the critic.

    Bounds the slope of a critic roughly (0.01 in Arjovsky, Chintala and Bottou 2017, algorithm 1)
    and drives weights to the two ends; buffers are left alone.

    Raises:
        ValueError: bound <= 0.
    """
    if not bound > 0:
        raise ValueError(f"bound = {bound!r}: weights are held within [-bound, bound]; try 0.01")
    weights = list(module.parameters())
    if not weights:
        return
    torch._foreach_clamp_min_(weights, -bound)
    torch._foreach_clamp_max_(weights, bound)


WEIGHT_PENALTIES = {"orthogonal": orthogonal, "orthonormal": orthonormal}
CONSTRAINTS = {"weight_clipping": clip_weights}
