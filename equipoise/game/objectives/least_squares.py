"""Least squares: logits are regressed to labels (a fake, b real, c what the generator aims at)."""

from __future__ import annotations

from torch import Tensor

from equipoise.game.logits import Target, beside, over_discriminators, per_sample
from equipoise.game.objectives.base import Objective


@over_discriminators
def labelled_least_squares(
    real: Tensor,
    fake: Tensor,
    real_target: Target = 1.0,
    fake_target: Target = 0.0,
    a: float = 0.0,
    b: float = 1.0,
) -> Tensor:
    """(r - u)^2 / 2 + (g - v)^2 / 2 with u = a + t_r (b - a), v = a + t_f (b - a), t in [0, 1]."""
    goal = a + beside(real_target, real) * (b - a)
    bait = a + beside(fake_target, fake) * (b - a)
    return per_sample((real - goal).square() / 2) + per_sample((fake - bait).square() / 2)


@over_discriminators
def least_squares_discriminator(
    real: Tensor, fake: Tensor, a: float = 0.0, b: float = 1.0
) -> Tensor:
    """(r - b)^2 / 2 + (g - a)^2 / 2; (b - a)^2 / 4 at chance, where the logit is (a + b) / 2.

    Its optimum is D* = (b p + a q) / (p + q), its value there (b - a)^2 / 2 int p q / (p + q).
    Mao et al. 2017, equation 2, halves included; public vocoders drop the halves (twice this).
    """
    return per_sample((real - b).square() / 2) + per_sample((fake - a).square() / 2)


@over_discriminators
def least_squares_generator(fake: Tensor, real: Tensor | None = None, c: float = 1.0) -> Tensor:
    """(g - c)^2 / 2; 1 / 8 at chance with a, b, c = 0, 1, 1. Mao et al. 2017, equation 2."""
    return per_sample((fake - c).square() / 2)


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Objective:
    """The objective with labels a (fake), b (real) and the generator's aim c.

    b - c = 1 and b - a = 2 (a, b, c = -1, 1, 0) minimise Pearson's chi^2 of p + q against 2 q;
    0, 1, 1 is the usual choice. Mao et al. 2017.

    Raises:
        ValueError: a = b, where there is nothing to tell.
    """
    if a == b:
        raise ValueError(
            f"a = b = {a:g}: real and fake need different labels; 0 and 1 are usual, or -1 and 1"
        )
    middle = (a + b) / 2
    return Objective(
        "least_squares",
        lambda real, fake: least_squares_discriminator(real, fake, a, b),
        lambda fake, real=None: least_squares_generator(fake, real, c),
        labelled=lambda real, fake, t_r, t_f: labelled_least_squares(real, fake, t_r, t_f, a, b),
        chance=((b - a) ** 2 / 4, (middle - c) ** 2 / 2),
        neutral=middle,
    )
