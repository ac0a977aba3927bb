"""Critics: logits are scores without labels. Each needs a bound on its slope from elsewhere."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from equipoise.game.logits import over_discriminators, per_sample


@over_discriminators
def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - r) + max(0, 1 + g); 2 at chance, 2 (1 - TV) at the optimum sign(p - q).

    Lim and Ye 2017. The discriminator's slope is 0 beyond its margins; the generator's never is.
    """
    return per_sample(relu(1 - real)) + per_sample(relu(1 + fake))


@over_discriminators
def hinge_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-g; 0 at chance. Lim and Ye 2017."""
    return per_sample(-fake)


@over_discriminators
def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """g - r: the critic raises E r - E g, which is W1(p, q) at the best 1-Lipschitz critic.

    Arjovsky, Chintala and Bottou 2017, equation 2 (sign turned, so it is -W1 at best). Negative and
    growing towards 0 is health. Needs a bound on the slope: clipping, a gradient penalty, spectral
    normalization; without one it has no minimum.
    """
    return per_sample(fake) - per_sample(real)


@over_discriminators
def wasserstein_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-g; 0 at chance. Arjovsky, Chintala and Bottou 2017, algorithm 1."""
    return per_sample(-fake)
