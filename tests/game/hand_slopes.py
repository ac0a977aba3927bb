"""Slopes of every objective by its logits, derived by hand; real (N,) and fake (N,) logits.

`d_real` and `d_fake` are those of sum_i L_D, `g_fake` that of sum_i L_G, in which the reals are
given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Slope = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Slopes:
    """(real logits, fake logits) -> derivative by each logit, (N,)."""

    d_real: Slope
    d_fake: Slope
    g_fake: Slope


def sigmoid(t: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-t))


def average(slope: Callable[[Tensor], Tensor]) -> Slopes:
    """Derivatives of sum_i h(r_i - mean g) + h(mean r - g_i), slope = h'.

    A logit acts by its own term and, through the mean, by 1/N of every term of the other side. The
    generator's loss is the same with the sides exchanged.
    """

    def own(first: Tensor, second: Tensor) -> Tensor:
        return slope(first - second.mean()) + slope(first.mean() - second).mean()

    return Slopes(
        own,
        lambda r, g: -slope(r.mean() - g) - slope(r - g.mean()).mean(),
        lambda r, g: own(g, r),
    )


SLOPES = {
    "non_saturating": Slopes(
        lambda r, g: -sigmoid(-r), lambda r, g: sigmoid(g), lambda r, g: -sigmoid(-g)
    ),
    "minimax": Slopes(lambda r, g: -sigmoid(-r), lambda r, g: sigmoid(g), lambda r, g: -sigmoid(g)),
    "least_squares": Slopes(lambda r, g: r - 1, lambda r, g: g, lambda r, g: g - 1),
    "wasserstein": Slopes(
        lambda r, g: -torch.ones_like(r),
        lambda r, g: torch.ones_like(g),
        lambda r, g: -torch.ones_like(g),
    ),
    "hinge": Slopes(
        lambda r, g: -(r < 1).double(),
        lambda r, g: (g > -1).double(),
        lambda r, g: -torch.ones_like(g),
    ),
    "relativistic": Slopes(
        lambda r, g: -sigmoid(g - r), lambda r, g: sigmoid(g - r), lambda r, g: -sigmoid(r - g)
    ),
    "relativistic_hinge": Slopes(
        lambda r, g: -(r - g < 1).double(),
        lambda r, g: (r - g < 1).double(),
        lambda r, g: -(g - r < 1).double(),
    ),
    "relativistic_least_squares": Slopes(
        lambda r, g: 2 * (r - g - 1), lambda r, g: -2 * (r - g - 1), lambda r, g: 2 * (g - r - 1)
    ),
    "relativistic_average": average(lambda t: -sigmoid(-t)),
    "relativistic_average_hinge": average(lambda t: -(t < 1).double()),
    "relativistic_average_least_squares": average(lambda t: 2 * (t - 1)),
}
