"""Relativistic objectives: a real is scored against a fake, never alone.

*Paired* (Rp): t = r_i - g_i, sample against sample. *Average* (Ra): r_i against the mean of all
fake logits of the batch (and of its patches), and g_i against the mean of the real ones. The mean
stands inside the loss, so an average objective couples the batch: a sample's loss depends on the
others, and the mean over processes is not the loss of the whole batch. Only differences count: a
common shift of all logits changes nothing. Losses are those of Jolicoeur-Martineau 2018 (arXiv
1807.00734), without halves.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus

from equipoise.game.logits import Logits, over_discriminators, per_sample


def _needs_real(real: Logits | None) -> None:
    if real is None:
        raise ValueError(
            "real = None: the relativistic objective scores pairs, so the generator's loss needs"
            " the real logits too; pass real=D(x)"
        )


@over_discriminators
def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """f(r - g) on pairs (RpGAN), f(t) = log(1 + exp(-t)); log 2 at chance.

    Jolicoeur-Martineau 2018; R3GAN (Huang et al. 2024), equation 2.
    """
    return per_sample(softplus(fake - real))


@over_discriminators
def relativistic_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """f(g - r) on pairs (RpGAN); log 2 at chance. Needs `real` logits of the same shape.

    On Dirac-GAN (real at 0, D(x) = psi x) its field is the non-saturating game's, not minimax's:
    the generator's slope is -sigma(r - g), which is largest where the discriminator is sure.

    Raises:
        ValueError: `real` is None.
    """
    _needs_real(real)
    return per_sample(softplus(real - fake))


@over_discriminators
def relativistic_hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - (r - g)) on pairs; 1 at chance. Jolicoeur-Martineau 2018."""
    return per_sample(relu(1 - (real - fake)))


@over_discriminators
def relativistic_hinge_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """max(0, 1 - (g - r)) on pairs; 1 at chance. Needs `real`.

    Raises:
        ValueError: `real` is None.
    """
    _needs_real(real)
    return per_sample(relu(1 - (fake - real)))


@over_discriminators
def relativistic_least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """(r - g - 1)^2 on pairs; 1 at chance. Jolicoeur-Martineau 2018."""
    return per_sample((real - fake - 1).square())


@over_discriminators
def relativistic_least_squares_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """(g - r - 1)^2 on pairs; 1 at chance. Needs `real`.

    Raises:
        ValueError: `real` is None.
    """
    _needs_real(real)
    return per_sample((fake - real - 1).square())


@over_discriminators
def relativistic_average_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """f(r - mean g) + f(mean r - g) (RaGAN); 2 log 2 at chance. The means couple the batch.

    Jolicoeur-Martineau 2018; ESRGAN (Wang et al. 2018) halves it in its code.
    """
    return per_sample(softplus(fake.mean() - real)) + per_sample(softplus(fake - real.mean()))


@over_discriminators
def relativistic_average_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """f(g - mean r) + f(mean g - r): real and fake exchanged; 2 log 2 at chance. Needs `real`.

    Raises:
        ValueError: `real` is None.
    """
    _needs_real(real)
    return relativistic_average_discriminator(fake, real)


@over_discriminators
def relativistic_average_hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - (r - mean g)) + max(0, 1 + g - mean r); 2 at chance. The means couple the batch.

    Jolicoeur-Martineau 2018.
    """
    on_real = per_sample(relu(1 - (real - fake.mean())))
    return on_real + per_sample(relu(1 + (fake - real.mean())))


@over_discriminators
def relativistic_average_hinge_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """max(0, 1 - (g - mean r)) + max(0, 1 + r - mean g); 2 at chance. Needs `real`.

    Raises:
        ValueError: `real` is None.
    """
    _needs_real(real)
    return relativistic_average_hinge_discriminator(fake, real)


@over_discriminators
def relativistic_average_least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """(r - mean g - 1)^2 + (g - mean r + 1)^2; 2 at chance. The means couple the batch.

    Jolicoeur-Martineau 2018.
    """
    on_real = per_sample((real - fake.mean() - 1).square())
    return on_real + per_sample((fake - real.mean() + 1).square())


@over_discriminators
def relativistic_average_least_squares_generator(
    fake: Tensor, real: Tensor | None = None
) -> Tensor:
    """(g - mean r - 1)^2 + (r - mean g + 1)^2; 2 at chance. Needs `real`.

    Raises:
        ValueError: `real` is None.
    """
    _needs_real(real)
    return relativistic_average_least_squares_discriminator(fake, real)
