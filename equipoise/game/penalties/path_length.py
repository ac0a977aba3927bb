"""Path length: steps of the same length in w are to move the picture equally far everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.game.noise import normal


@dataclass(frozen=True)
class PathLengthState:
    """The running mean of path lengths, in units of images per unit of w.

    Attributes:
        mean: scalar, 0 before the first update.
        decay: of the new lengths: mean <- mean + decay (E lengths - mean); 0.01 is the paper's.
    """

    mean: Tensor
    decay: float = 0.01

    def to_dict(self) -> dict[str, float]:
        """Plain numbers for a checkpoint; waits for the device once."""
        return {"mean": self.mean.item(), "decay": self.decay}

    @classmethod
    def from_dict(cls, saved: Mapping[str, float], like: Tensor | None = None) -> PathLengthState:
        """The state that `to_dict` saved, on the device of `like`."""
        device = None if like is None else like.device
        mean = torch.tensor(saved["mean"], dtype=torch.float32, device=device)
        return cls(mean, float(saved["decay"]))


def path_length_state(decay: float = 0.01, like: Tensor | None = None) -> PathLengthState:
    """A state that has seen nothing, on the device of `like`.

    Raises:
        ValueError: decay out of (0, 1].
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay = {decay!r}: the share of new lengths is in (0, 1]; 0.01 is usual")
    device = None if like is None else like.device
    return PathLengthState(torch.zeros((), device=device), decay)


def path_lengths(images: Tensor, latents: Tensor, noise: torch.Generator | None = None) -> Tensor:
    """||J_w' y|| of each sample, y ~ N(0, I) / sqrt(H W), itself differentiable: (N,).

    Args:
        images: (N, C, H, W) from the latents, with graph; (N, d) counts as one pixel.
        latents: w, (N, d), or (N, L, d) with one w for each of L layers: the root of the mean
            over layers of the squared norm. Must require gradients.

    Raises:
        ValueError: the latents take no gradients.

    Karras et al. 2020 (StyleGAN2), section 3.2. Run the generator in float32: the lengths are as
    exact as its pass.
    """
    if not latents.requires_grad:
        raise ValueError(
            "latents.requires_grad = False: path lengths differentiate by w; call"
            " w.requires_grad_() before the generator sees it"
        )
    y = normal(tuple(images.shape), images, noise) / math.sqrt(math.prod(images.shape[2:]))
    (slopes,) = torch.autograd.grad((images * y).sum(), latents, create_graph=True)
    squares = slopes if slopes.dtype == torch.float64 else slopes.float()
    squares = squares.square().sum(-1)
    return (squares.flatten(1).mean(1) if squares.dim() > 1 else squares).sqrt()


@torch.no_grad()
def path_length_update(state: PathLengthState, lengths: Tensor) -> PathLengthState:
    """The state after one more batch of lengths; nothing waits for the device."""
    mean = torch.lerp(state.mean, lengths.float().mean(), state.decay)
    return PathLengthState(mean, state.decay)


def path_length(lengths: Tensor, state: PathLengthState) -> Tensor:
    """(||J_w' y|| - a)^2, a the running mean, held fixed: (N,). Weight 2 by default in StyleGAN2.

    Update the state with the same lengths first, as StyleGAN2 does. Karras et al. 2020, equation 4.
    """
    return (lengths - state.mean.to(lengths.device, lengths.dtype)).square()
