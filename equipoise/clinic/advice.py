"""Advice that the evidence contradicts: kept, said as such, and never prescribed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """What people say, and why it is not prescribed.

    Attributes:
        id: stable name.
        said: the advice as it is given.
        failures: what it is said to help against.
        why_not: what contradicts it, with the numbers.
        instead: remedies that the evidence supports there.
        sources: papers, and the number of the claim.
    """

    id: str
    said: str
    failures: tuple[str, ...]
    why_not: str
    instead: tuple[str, ...]
    sources: tuple[str, ...]


_ADVICE = (
    Advice(
        "remove-the-penalty",
        "Take regularization out of the discriminator so that it gets stronger.",
        ("mode_collapse", "generator_dominance"),
        "On 25 Gaussians the non-saturating game keeps 20 to 23 modes without a penalty and all 25"
        " with R1 and R2, on every seed. Without one the game does not converge even locally.",
        ("gradient-penalty", "weaker-penalty"),
        ("claim 64", "arXiv 1801.04406"),
    ),
    Advice(
        "faster-generator-by-ten",
        "Give the generator ten times the discriminator's learning rate (1e-3 and 1e-4).",
        ("discriminator_dominance", "stagnation"),
        "The numbers come from a toy whose discriminator is unrolled by five steps. Everywhere else"
        " the rates are equal (R3GAN, StyleGAN2) or the discriminator's is the larger by 3 to 5.",
        ("gradient-penalty", "two-time-scales"),
        ("claim 96", "arXiv 1611.02163", "arXiv 1706.08500"),
    ),
    Advice(
        "batch-norm-everywhere",
        "Put batch normalization after each layer of both networks.",
        ("mode_collapse", "stagnation"),
        "In the discriminator it hurts: FID on CIFAR-10 56.3, against 33.9 with layer and 29.3 with"
        " spectral normalization. It couples samples, and gradient penalties vanish beside it.",
        ("remove-batch-norm", "spectral-norm", "layer-norm"),
        ("claims 5, 25, 97", "arXiv 1802.05957, table 2", "arXiv 1807.04720"),
    ),
    Advice(
        "two-sided-smoothing",
        "Smooth both labels, to 0.9 and 0.1.",
        ("discriminator_dominance",),
        "With the fake label at 0.1 the generator's own density enters the optimum's numerator, so"
        " that wrong samples hold themselves where there is no data. One side is enough.",
        ("label-smoothing", "gradient-penalty"),
        ("claims 41, 42, 100", "arXiv 1606.03498, section 3.4"),
    ),
    Advice(
        "hinge-needs-no-bound",
        "Use the hinge loss: it needs no Lipschitz constraint.",
        ("runaway_logits", "divergence", "oscillation"),
        "What hinge has won it has won under spectral normalization. Without a constraint it turns"
        " on the smallest game (eigenvalues +-i), then gives the discriminator no gradient at all.",
        ("spectral-norm", "gradient-penalty"),
        ("claim 22", "arXiv 1802.05957", "arXiv 1805.08318"),
    ),
    Advice(
        "hinge-makes-logits-explode",
        "Avoid the hinge loss: it grows without bound, so the logits explode.",
        ("runaway_logits",),
        "Its gradient for the discriminator is exactly 0 once reals are above 1 and fakes below -1,"
        " and its optimum lies in [-1, 1]. Cross-entropy and Wasserstein reward infinite logits.",
        ("spectral-norm", "gradient-penalty"),
        ("claim 2", "arXiv 1705.02894"),
    ),
    Advice(
        "clamp-the-adaptive-weight-at-10",
        "Clamp the adaptive weight of the adversarial term to 10.",
        ("adaptive_weight_explosion",),
        "The weight makes two gradients equally long; its size follows from units and reduction. At"
        " a raw ratio of 500,000 a clamp at 10 leaves a share of 0.00002: the term is off. The"
        " reference clamps at 10,000.",
        (),
        ("claim 10", "arXiv 2012.09841"),
    ),
    Advice(
        "augment-the-reals-alone",
        "Augment the real images to keep the discriminator from overfitting.",
        ("discriminator_overfitting", "memorization"),
        "The generator learns what the reals look like, changes included. Augment reals and fakes"
        " inside the discriminator, in both players' losses.",
        ("adaptive-augmentation", "differentiable-augmentation"),
        ("claim 47", "arXiv 2006.06676", "arXiv 2006.10738"),
    ),
    Advice(
        "noise-on-z",
        "Add noise to z for more variety.",
        ("mode_collapse",),
        "N(0, 1) + N(0, s^2) is N(0, 1 + s^2): z is rescaled and nothing else happens.",
        ("gradient-penalty", "packing"),
        ("claim 43",),
    ),
    Advice(
        "wgan-gp-against-everything",
        "Switch to WGAN-GP: it is more robust than the original game.",
        ("mode_collapse", "oscillation", "stagnation"),
        "Best FIDs after equal tuning, WGAN-GP against non-saturating: 20.3 and 6.8 on MNIST, 24.5"
        " and 26.5 on Fashion, 55.8 and 58.5 on CIFAR-10, 30.0 and 55.0 on CelebA: no consistent"
        " winner. Its penalty orbits on the Dirac-GAN, and zero-centred ones converge.",
        ("gradient-penalty", "relativistic-objective"),
        ("claims 20, 23, 69, 84", "arXiv 1711.10337", "arXiv 1801.04406"),
    ),
    Advice(
        "the-penalty-guarantees-lipschitz",
        "With a gradient penalty the critic is 1-Lipschitz.",
        ("lipschitz_violation",),
        "It is a soft penalty on sampled lines; its optimum has the slope 1 + a / (2 lambda) at a"
        " gap a, and nothing holds it elsewhere.",
        ("per-sample-penalty", "spectral-norm"),
        ("claim 102", "arXiv 1704.00028"),
    ),
    Advice(
        "norm-of-the-whole-batch",
        "Write the penalty as (gradients.norm(2) - 1) ** 2.",
        ("lipschitz_violation",),
        "The norm over a batch of N unit gradients is sqrt(N): at N = 64 the penalty is 49 where it"
        " should be 0, and it drives slopes to 1/8. An alpha of (N, 1, 1, 1) on (N, 784) also"
        " mixes samples.",
        ("per-sample-penalty",),
        ("claim 103",),
    ),
    Advice(
        "clip-the-weights",
        "Clip the critic's weights to keep it Lipschitz.",
        ("lipschitz_violation", "exploding_gradient"),
        "It holds the product of layers and not their use: capacity goes to the bound, gradients"
        " vanish or explode with depth. In the sweep of SNGAN it is among the worst.",
        ("spectral-norm", "per-sample-penalty"),
        ("claim 19", "arXiv 1704.00028, section 3", "arXiv 1802.05957"),
    ),
    Advice(
        "least-squares-is-stabler",
        "Use least squares: it does not saturate and is stabler.",
        ("vanishing_gradient", "stagnation"),
        "The non-saturating loss does not saturate either (its gradient is -1 at D = 0), and least"
        " squares' grows with the distance without bound. Large comparisons find it no better,"
        " above all under spectral normalization.",
        ("non-saturating-loss", "gradient-penalty"),
        ("claim 16", "arXiv 1711.10337", "arXiv 1807.04720"),
    ),
    Advice(
        "balance-by-hand",
        "Train the discriminator only while its loss or accuracy is outside a band.",
        ("discriminator_dominance", "generator_dominance"),
        "Those who tried report that it is hard and does not pay; a healthy large model sits above"
        " 98 % accuracy. Where a controller works (ADA) it steers augmentation.",
        ("gradient-penalty", "adaptive-augmentation"),
        ("claim 39", "arXiv 1809.11096", "arXiv 2006.06676"),
    ),
    Advice(
        "momentum-of-0.9",
        "Keep Adam's defaults (beta1 0.9, beta2 0.999).",
        ("oscillation", "exploding_gradient"),
        "beta1 0.9 oscillated and 0.5 helped in DCGAN; WGAN-GP fails at 0.9; StyleGAN2, BigGAN and"
        " R3GAN use 0. beta2 0.999 was unstable in R3GAN, which takes 0.99.",
        ("lower-momentum", "shorter-memory"),
        ("claim 32", "arXiv 1511.06434", "arXiv 2501.05441"),
    ),
    Advice(
        "two-time-scales-alone",
        "Balance the learning rates (TTUR) and the oscillation goes away.",
        ("oscillation",),
        "On the Dirac-GAN the ratio alone gives no damping at all; only the product of steps and"
        " rate counts to first order. Beside R1 it helps.",
        ("gradient-penalty", "two-time-scales"),
        ("claims 6, 48", "arXiv 1801.04406"),
    ),
    Advice(
        "small-batches-for-variety",
        "Keep the batch at 64: larger ones collapse.",
        ("mode_collapse",),
        "Eight times the batch gained BigGAN 46 % in Inception Score in fewer iterations. Its late"
        " collapse is real; the checkpoint before it is the better model.",
        ("gradient-penalty", "roll-back"),
        ("claim 37", "arXiv 1809.11096"),
    ),
    Advice(
        "grow-progressively",
        "Grow the networks from 4 x 4 up: it is stabler.",
        ("divergence", "stagnation"),
        "It was, before better networks: StyleGAN2 drops it, loses its phase artefacts and improves"
        " FID on FFHQ from 4.34 to 3.31 in that step; R3GAN does without.",
        ("gradient-penalty",),
        ("claims 29, 98", "arXiv 1912.04958", "arXiv 2501.05441"),
    ),
    Advice(
        "watch-for-falling-losses",
        "Both losses should fall and then settle; a discriminator's loss near 0 is collapse.",
        ("mode_collapse", "discriminator_dominance"),
        "The game is zero-sum: as the generator gets better the discriminator's cross-entropy rises"
        " towards 2 log 2. Of nine public collapses four left the losses where they were, and runs"
        " with a loss of 0.02 made good samples.",
        ("check-the-data", "another-seed"),
        ("claims 54, 56, 62, 83", "arXiv 1406.2661, theorem 1"),
    ),
    Advice(
        "fid-sees-every-collapse",
        "A good FID means that no modes are lost.",
        ("mode_collapse", "broken_metric"),
        "FID compares means and covariances: a simplex of d + 1 points can match both exactly, and"
        " 2 of 4 clusters can score 0. Read recall and coverage beside it.",
        ("measure-again",),
        ("claims 51, 75", "arXiv 2002.09797"),
    ),
    Advice(
        "fid-of-few-samples-is-too-low",
        "A small sample makes FID look too good.",
        ("broken_metric",),
        "Its bias is positive and falls as 1 / N, by a factor that depends on the model: few"
        " samples make it look too bad, and two models cannot be compared at one N.",
        ("measure-again",),
        ("claim 52", "arXiv 1911.07023"),
    ),
)  # fmt: skip

ADVICE: dict[str, Advice] = {advice.id: advice for advice in _ADVICE}


def contradicted(failure: str) -> tuple[Advice, ...]:
    """What people say against a failure and the evidence does not support."""
    return tuple(advice for advice in ADVICE.values() if failure in advice.failures)
