"""Cross-entropy: the discriminator tells real from fake as a probability sigma(logit).

f(t) = log(1 + exp(-t)) is the logistic loss; every function takes logits (N, ...), or lists of them
(mean over the list), and returns (N,), in nats.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from equipoise.game.logits import Target, beside, over_discriminators, per_sample


@over_discriminators
def cross_entropy_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """f(r) + f(-g): cross-entropy with targets 1 and 0; 2 log 2 at chance.

    Its optimum is D* = p / (p + q), its value there 2 log 2 - 2 JS(p, q). Goodfellow et al. 2014,
    equation 1 and theorem 1 (with the sign turned).
    """
    return per_sample(softplus(-real)) + per_sample(softplus(fake))


@over_discriminators
def labelled_cross_entropy(
    real: Tensor, fake: Tensor, real_target: Target = 1.0, fake_target: Target = 0.0
) -> Tensor:
    """Cross-entropy with any targets t: t f(x) + (1 - t) f(-x) = f(x) + (1 - t) x.

    Targets are numbers or (N,), in [0, 1]. At targets alpha and beta the optimum is
    D* = (alpha p + beta q) / (p + q). Salimans et al. 2016, section 3.4.
    """
    on_real = softplus(-real) + (1 - beside(real_target, real)) * real
    on_fake = softplus(fake) - beside(fake_target, fake) * fake
    return per_sample(on_real) + per_sample(on_fake)


@over_discriminators
def non_saturating_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """f(g) = -log D(G(z)); log 2 at chance. Goodfellow et al. 2014, section 3."""
    return per_sample(softplus(-fake))


@over_discriminators
def minimax_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-f(-g) = log(1 - D(G(z))); -log 2 at chance. Goodfellow et al. 2014, equation 1.

    Its slope -sigma(g) vanishes where the discriminator is sure of a fake (saturation), where the
    non-saturating one's, -sigma(-g), is 1. The two losses sum to -g: KL(q || p) at the optimum.
    """
    return per_sample(-softplus(fake))
