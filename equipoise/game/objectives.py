"""Adversarial losses per sample, from logits alone.

Logits have shape (N,) or (N, ...); trailing dimensions are patches, and a sample's loss is the mean
over its patches. Every function returns (N,). f(t) = log(1 + exp(-t)) is the logistic loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn.functional import relu, softplus

from equipoise.errors import unknown


def per_sample(values: Tensor) -> Tensor:
    """Mean over all dimensions but the first: (N, ...) -> (N,)."""
    return values.flatten(1).mean(1) if values.dim() > 1 else values


def non_saturating_discriminator(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """f(r) + f(-g): cross-entropy with real target 1 - s; 2 log 2 at chance.

    With one-sided smoothing s the real part is (1 - s) f(r) + s f(-r), whose optimum is
    D* = (1 - s) p / (p + q). Goodfellow et al. 2014; Salimans et al. 2016, section 3.4.
    """
    target_real = (1 - smoothing) * softplus(-real) if smoothing else softplus(-real)
    if smoothing:
        target_real = target_real + smoothing * softplus(real)
    return per_sample(target_real) + per_sample(softplus(fake))


def non_saturating_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """f(g) = -log D(G(z)); log 2 at chance. Goodfellow et al. 2014, section 3."""
    return per_sample(softplus(-fake))


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - r) + max(0, 1 + g); 2 at chance, 2 (1 - TV) at the optimum. Lim and Ye 2017."""
    return per_sample(relu(1 - real)) + per_sample(relu(1 + fake))


def hinge_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-g; 0 at chance. Lim and Ye 2017."""
    return per_sample(-fake)


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """f(r - g) on pairs (RpGAN); log 2 at chance. Jolicoeur-Martineau 2018; R3GAN, eq. 2."""
    return per_sample(softplus(fake - real))


def relativistic_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """f(g - r) on pairs (RpGAN); log 2 at chance. Needs `real` logits of the same shape.

    Raises:
        ValueError: `real` is None.
    """
    if real is None:
        raise ValueError(
            "real = None: the relativistic objective scores pairs, so the generator's loss needs"
            " the real logits too; pass real=D(x)"
        )
    return per_sample(softplus(real - fake))


@dataclass(frozen=True)
class Objective:
    """A pair of per-sample losses.

    Attributes:
        name: the field's name.
        discriminator: (real logits, fake logits) -> (N,).
        generator: (fake logits, real logits or None) -> (N,).
        pairs: whether the generator's loss needs real logits (relativistic).
        smoothed: s -> the discriminator's loss with label smoothing s, None where undefined.
        chance: (discriminator, generator) loss when the players cannot be told apart.
    """

    name: str
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor | None], Tensor]
    pairs: bool = False
    smoothed: Callable[[float], Callable[[Tensor, Tensor], Tensor]] | None = None
    chance: tuple[float, float] = (0.0, 0.0)


def _smoothed(smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda real, fake: non_saturating_discriminator(real, fake, smoothing)


LOG2 = 0.6931471805599453

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(
            "non_saturating",
            non_saturating_discriminator,
            non_saturating_generator,
            smoothed=_smoothed,
            chance=(2 * LOG2, LOG2),
        ),
        Objective("hinge", hinge_discriminator, hinge_generator, chance=(2.0, 0.0)),
        Objective(
            "relativistic",
            relativistic_discriminator,
            relativistic_generator,
            pairs=True,
            chance=(LOG2, LOG2),
        ),
    )
}


def objective(name: str, label_smoothing: float = 0.0) -> Objective:
    """The objective called `name`, its discriminator's real target moved to 1 - label_smoothing.

    Raises:
        ValueError: no such objective, smoothing out of [0, 0.5), or undefined for it.
    """
    if name not in OBJECTIVES:
        raise ValueError(unknown("objective", name, OBJECTIVES))
    found = OBJECTIVES[name]
    if label_smoothing == 0:
        return found
    if not 0 < label_smoothing < 0.5:
        raise ValueError(
            f"label_smoothing = {label_smoothing!r}: the real target moves from 1 to 1 - s, with s"
            " in [0, 0.5); 0.1 is usual"
        )
    if found.smoothed is None:
        raise ValueError(
            f"label_smoothing = {label_smoothing:g} is undefined for objective {name!r}, which has"
            " no label targets; set it to 0"
        )
    return replace(found, discriminator=found.smoothed(label_smoothing))
