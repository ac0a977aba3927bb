"""What a discriminator says: a tensor, or a list of them where there are several discriminators.

Logits have shape (N,) or (N, ...); trailing dimensions are patches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Logits = Tensor | Sequence[Tensor]
Target = float | Tensor


def per_sample(values: Tensor) -> Tensor:
    """Mean over all dimensions but the first: (N, ...) -> (N,)."""
    return values.flatten(1).mean(1) if values.dim() > 1 else values


def beside(target: Target, logits: Tensor) -> Target:
    """A number, or one for each sample (N,), shaped to stand beside the sample's patches."""
    if isinstance(target, Tensor) and target.dim() == 1:
        return target.reshape(-1, *[1] * (logits.dim() - 1))
    return target


def listed(logits: Logits) -> list[Tensor]:
    """One tensor for each discriminator.

    Raises:
        ValueError: there is none.
    """
    found = [logits] if isinstance(logits, Tensor) else list(logits)
    if not found:
        raise ValueError("logits = []: at least one discriminator must speak; pass its logits")
    return found


def mapped(function: Callable[[Tensor], Tensor], logits: Logits) -> Logits:
    """`function` of each tensor, in the form that came: tensor to tensor, list to list."""
    if isinstance(logits, Tensor):
        return function(logits)
    return [function(one) for one in listed(logits)]


def halves(logits: Logits) -> tuple[Logits, Logits]:
    """The first and the second half of the batch."""
    if isinstance(logits, Tensor):
        first, second = logits.chunk(2)
        return first, second
    pairs = [one.chunk(2) for one in listed(logits)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def joined(parts: Sequence[Logits]) -> Logits:
    """The logits of parts of a batch, one after the other, in the form that came."""
    if isinstance(parts[0], Tensor):
        return torch.cat([one for part in parts for one in listed(part)])
    return [torch.cat(list(each)) for each in zip(*map(listed, parts), strict=True)]


def mean_of(values: Sequence[Tensor]) -> Tensor:
    """Elementwise mean of tensors of one shape; one tensor is handed back as it is."""
    return values[0] if len(values) == 1 else torch.stack(list(values)).mean(0)


def over_discriminators(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`loss(first, second, ...)` of tensors, made to take lists too: the mean over the list.

    `second` may be None where the loss allows it. Public vocoders sum over their discriminators:
    the number of discriminators times this.

    Raises:
        ValueError: lists of different lengths, or shapes that would broadcast into each other.
    """

    @functools.wraps(loss)
    def mean_loss(first: Logits, second: Logits | None = None, *rest: object) -> Tensor:
        if isinstance(first, Tensor) and (second is None or isinstance(second, Tensor)):
            _agree(first, second)
            return loss(first, second, *rest)
        firsts = listed(first)
        seconds = [None] * len(firsts) if second is None else listed(second)
        if len(firsts) != len(seconds):
            raise ValueError(
                f"{len(firsts)} and {len(seconds)} lists of logits: each discriminator must score"
                " both sides; pass lists of one length"
            )
        for a, b in zip(firsts, seconds, strict=True):
            _agree(a, b)
        return mean_of([loss(a, b, *rest) for a, b in zip(firsts, seconds, strict=True)])

    return mean_loss


def _agree(first: Tensor, second: Tensor | None) -> None:
    if second is not None and first.shape != second.shape:
        raise ValueError(
            f"logits of shapes {tuple(first.shape)} and {tuple(second.shape)}: real and fake must"
            " agree, or samples would be mixed by broadcasting; reshape one, or cut the batch"
        )
