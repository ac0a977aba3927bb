"""Which z a generator is given, and from which of its samples it learns."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def truncated_normal(
    shape: tuple[int, ...], threshold: float, generator: torch.Generator | None = None
) -> Tensor:
    """z ~ N(0, I), entries beyond +-threshold drawn again until none is: fidelity for diversity.

    Float32, on the generator's device (the CPU without one). At threshold 2 about 4.6 % are drawn
    again; infinity truncates nothing. BigGAN, section 3.1.

    Raises:
        ValueError: threshold below 0.01, where drawing again would take too long.
    """
    if not threshold >= 0.01:
        raise ValueError(
            f"threshold = {threshold!r}: it is at least 0.01 standard deviations; 0.5 to 2 is usual"
        )
    device = generator.device if generator else torch.device("cpu")
    z = torch.randn(shape, generator=generator, device=device)
    while True:
        beyond = z.abs() > threshold
        count = int(beyond.sum())
        if not count:
            return z
        z[beyond] = torch.randn(count, generator=generator, device=device)


def truncated_style(w: Tensor, mean: Tensor, psi: float) -> Tensor:
    """mean + psi (w - mean): psi 1 changes nothing, 0 gives the mean. StyleGAN, appendix B."""
    return mean + psi * (w - mean)


def top_k_count(batch: int, epoch: float, gamma: float = 0.99, floor: float = 0.5) -> int:
    """k = max(gamma^epoch, floor) batch, rounded up: all fakes at first, `floor` of them later.

    Sinha et al. 2020, section 4.

    Raises:
        ValueError: gamma or floor out of (0, 1].
    """
    if not 0 < gamma <= 1 or not 0 < floor <= 1:
        raise ValueError(f"gamma = {gamma!r}, floor = {floor!r}: both lie in (0, 1]")
    return math.ceil(max(gamma**epoch, floor) * batch)


def top_k(losses: Tensor, logits: Tensor, k: int) -> Tensor:
    """The generator's losses (N,) of the k fakes that D finds most real, best first: (k,).

    Logits (N, ...); patches are averaged. Gradient reaches those k samples alone. The
    discriminator's loss takes all fakes. Sinha et al. 2020, eq. 3.

    Raises:
        ValueError: k out of [1, N], or lengths differ.
    """
    if len(losses) != len(logits) or not 1 <= k <= len(losses):
        raise ValueError(
            f"k = {k}, {len(losses)} losses, {len(logits)} logits: losses and logits are per"
            " sample, and k lies between 1 and their number"
        )
    scores = logits.detach().reshape(len(logits), -1).mean(1)
    return losses[scores.topk(k).indices]
