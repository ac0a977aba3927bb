"""Consistency: the discriminator is to say the same of a picture and of its transform.

T is any callable, images -> images, drawn anew in each call. No gradient passes through T: these
terms train the discriminator. Differences are squared and averaged over patches.
"""

from __future__ import annotations

from torch import Tensor

from equipoise.game.logits import Logits, over_discriminators, per_sample
from equipoise.game.penalties.pair import Pair, single_precision


@over_discriminators
def consistency(first: Tensor, second: Tensor) -> Tensor:
    """(D(x) - D(T(x)))^2, mean over patches, both sides with gradient: (N, ...) -> (N,)."""
    return per_sample((first - second).square())


def cr(pair: Pair) -> Tensor:
    """(D(x) - D(T(x)))^2 at the reals (CR); weight 10; needs `Setting(augment=T)`.

    Zhang et al. 2020 (consistency regularization, arXiv 1910.12027).
    """
    return consistency(pair.real_logits, _transformed(pair, pair.real))


def bcr(pair: Pair) -> Tensor:
    """CR at the reals and at the fakes (bCR), weight 10; needs `Setting(augment=T)`.

    Zhao et al. 2020 (arXiv 2002.04724), algorithm 1, with one weight for both sides.
    """
    on_fake = consistency(pair.fake_logits, _transformed(pair, pair.fake))
    return cr(pair) + on_fake


def zcr(pair: Pair) -> Tensor:
    """(D(G(z)) - D(G(z + dz)))^2 (zCR), weight 5; needs `Setting(nearby=G(z + dz))`.

    dz ~ N(0, 0.05^2) or so. The generator's half is `latent_spread`. Zhao et al. 2020, algorithm 2.
    """
    with single_precision(pair.need("nearby")) as (nearby,):
        nearby = nearby.detach().to(pair.fake.dtype)  # made under autocast, perhaps
        return consistency(pair.fake_logits, pair.discriminator(nearby))


def latent_spread(fake: Tensor, nearby: Tensor) -> Tensor:
    """-(G(z) - G(z + dz))^2, mean over pixels: the generator's half of zCR, (N, ...) -> (N,).

    Weight 0.5: it rewards a generator whose pictures follow z. Zhao et al. 2020, algorithm 2.
    """
    return -per_sample((fake - nearby).square())


def _transformed(pair: Pair, images: Tensor) -> Logits:
    augment = pair.need("augment")
    with single_precision(images) as (wide,):
        return pair.discriminator(augment(wide.detach()))
