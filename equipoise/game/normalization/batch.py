"""Normalization by statistics of a batch: the present one, a fixed one, or one per condition."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def couples_batch(module: nn.Module) -> bool:
    """Whether one sample's output depends on the others of its batch, in training mode.

    Batch normalization is known; a layer of any other kind says so by a class attribute
    `couples_batch = True`, as minibatch discrimination, minibatch deviation and packing do. A
    virtual batch normalization counts until its reference is fixed. Example:

    >>> couples_batch(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    True
    """
    return any(_couples(layer) for layer in module.modules())


def _couples(layer: nn.Module) -> bool:
    if isinstance(layer, VirtualBatchNorm):
        return layer.couples_batch
    declared = getattr(type(layer), "couples_batch", False) is True
    return declared or isinstance(layer, nn.modules.batchnorm._BatchNorm)


def _channelwise(values: Tensor, like: Tensor) -> Tensor:
    """(C,) or (N, C) -> (1 or N, C, 1, ...), to be broadcast over `like` (N, C, ...)."""
    values = values if values.dim() > 1 else values[None]
    return values.view(*values.shape, *(1,) * (like.dim() - 2))


def _wide(x: Tensor) -> Tensor:
    """Float32 at least: means of squares do not survive half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class ConditionalBatchNorm(nn.Module):
    """gain(y) (x - mean) / std + bias(y): batch normalization whose affine part is conditional.

    x is (N, C, ...). With `classes`, y is (N,) integers in [0, classes) and each class has its row
    of gains (first 1) and biases (first 0); with `dim`, y is (N, dim) and both are linear in y,
    gain = 1 + A y (first A = 0). De Vries et al. 2017, eq. 3; BigGAN, appendix B.

    Raises:
        ValueError: not exactly one of `classes` and `dim` is given.
    """

    def __init__(
        self, channels: int, classes: int | None = None, dim: int | None = None, eps: float = 1e-5
    ) -> None:
        super().__init__()
        if (classes is None) == (dim is None):
            raise ValueError(
                f"classes = {classes!r}, dim = {dim!r}: give exactly one; classes for integer"
                " labels, dim for vectors"
            )
        self.channels, self.eps = channels, eps
        self.affine: nn.Module
        if classes is not None:
            self.affine = nn.Embedding(classes, 2 * channels)
        else:
            self.affine = nn.Linear(dim or 0, 2 * channels, bias=False)
        nn.init.zeros_(self.affine.weight)
        self.normalize = _AnyBatchNorm(channels, eps=eps, affine=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gain, bias = self.affine(y).chunk(2, dim=1)
        return self.normalize(x) * (1 + _channelwise(gain, x)) + _channelwise(bias, x)


class _AnyBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization of (N, C) or (N, C, ...)."""

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"x has shape {tuple(x.shape)}: batch normalization needs (N, C, ...)")


class VirtualBatchNorm(nn.Module):
    """Batch normalization by a reference batch and the sample itself: samples stay apart.

    With R reference rows of mean m and mean square q, and a sample's own (over its pixels) m_i and
    q_i: mean = (R m + m_i) / (R + 1), square = (R q + q_i) / (R + 1), then
    gain (x_i - mean) / sqrt(square - mean^2 + eps) + bias. x is (N, C) or (N, C, ...).

    Alone, the layer takes its first batch, in any mode, as the reference, and keeps that batch's
    statistics as buffers: they are constants, while the weights before it move on. Inside a
    `VirtualBatch` the reference passes through the present weights with every batch, as in the
    paper. Salimans et al. 2016, section 3.5.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.rows = 0  # leading rows of each batch that are the reference; VirtualBatch sets it
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("square", torch.zeros(channels))
        self.register_buffer("size", torch.zeros((), dtype=torch.long))
        self._size = 0  # a host copy of `size`, so that a step does not wait for the device

    @property
    def couples_batch(self) -> bool:
        """True until the reference is fixed."""
        return not (self.rows or self._reference_size())

    def forward(self, x: Tensor) -> Tensor:
        wide = _wide(x)
        if self.rows:
            reference, rest = wide[: self.rows], wide[self.rows :]
            mean, square = _moments(reference)
            first = self._standard(reference, mean[None], square[None])
            out = torch.cat([first, self._mixed(rest, mean, square, self.rows)])
        else:
            if not self._reference_size():
                self._fix(wide)
            out = self._mixed(wide, self.mean, self.square, self._size)
        return out.to(x.dtype)

    def _reference_size(self) -> int:
        if not self._size:
            self._size = int(self.size.item())
        return self._size

    @torch.no_grad()
    def _fix(self, reference: Tensor) -> None:
        mean, square = _moments(reference)
        self.mean.copy_(mean)
        self.square.copy_(square)
        self.size.fill_(len(reference))
        self._size = len(reference)

    def _mixed(self, x: Tensor, mean: Tensor, square: Tensor, rows: int) -> Tensor:
        own = x.flatten(2) if x.dim() > 2 else x[..., None]
        own_mean, own_square = own.mean(2), own.square().mean(2)  # (N, C)
        share = 1 / (rows + 1)
        return self._standard(
            x, share * own_mean + (1 - share) * mean, share * own_square + (1 - share) * square
        )

    def _standard(self, x: Tensor, mean: Tensor, square: Tensor) -> Tensor:
        scale = torch.rsqrt((square - mean.square()).clamp_min(0) + self.eps) * self.weight
        return (x - _channelwise(mean, x)) * _channelwise(scale, x) + _channelwise(self.bias, x)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._size = 0  # read again from the loaded buffer


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square of (N, C, ...) over all but the channels: (C,) each."""
    flat = x.transpose(0, 1).flatten(1)
    return flat.mean(1), flat.square().mean(1)


class VirtualBatch(nn.Module):
    """`model` with every virtual batch normalization fed the same reference batch, each time anew.

    forward(x) runs the model on [reference; x] and returns the outputs of x. The reference, (R,
    ...), is given or is the first batch seen; it is a buffer, saved with the weights. Cost: R more
    samples a pass. Salimans et al. 2016, section 3.5.

    Raises:
        ValueError: the model has no `VirtualBatchNorm`.
    """

    def __init__(self, model: nn.Module, reference: Tensor | None = None) -> None:
        super().__init__()
        if not any(isinstance(layer, VirtualBatchNorm) for layer in model.modules()):
            raise ValueError(
                f"model = {type(model).__name__} has no VirtualBatchNorm, so a reference batch does"
                " nothing; build it with normalization 'virtual_batch'"
            )
        self.model = model
        self.reference: Tensor | None
        self.register_buffer("reference", None)
        if reference is not None:
            self._fix(reference)

    def _fix(self, reference: Tensor) -> None:
        self.reference = reference.detach().clone()
        for layer in self.model.modules():
            if isinstance(layer, VirtualBatchNorm):
                layer.rows = len(reference)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        if prefix + "reference" in state:
            self._fix(state[prefix + "reference"])
        super()._load_from_state_dict(state, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        if self.reference is None:
            self._fix(x)
        reference = self.reference
        assert reference is not None
        return self.model(torch.cat([reference.to(x.dtype), x]))[len(reference) :]
