"""What bounds or replaces the discriminator's verdict: penalties, normalization, objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.remedies.entry import Remedy
from equipoise.recipe import Recipe

FIRST_GAMMA = 0.3  # unit-scale data of 2 to 64 dimensions; see `equipoise.recipe.presets`
GAMMA_STEP = 10.0


def _gradient_penalty(recipe: Recipe) -> Mapping[str, Any]:
    """R1 and R2 at one gamma: ten times what is there, `FIRST_GAMMA` where there is none."""
    if recipe.discriminator.normalization == "batch":
        return {}
    gammas = [recipe.penalties[name].gamma for name in ("r1", "r2") if name in recipe.penalties]
    gamma = GAMMA_STEP * max(gammas) if any(gammas) else FIRST_GAMMA
    return {"penalties.r1.gamma": gamma, "penalties.r2.gamma": gamma}


def _spectral(recipe: Recipe) -> Mapping[str, Any]:
    if recipe.discriminator.normalization == "spectral":
        return {}
    return {"discriminator.normalization": "spectral"}


def _no_batch_norm(recipe: Recipe) -> Mapping[str, Any]:
    return (
        {"discriminator.normalization": "none"}
        if recipe.discriminator.normalization == "batch"
        else {}
    )


def _relativistic(recipe: Recipe) -> Mapping[str, Any]:
    if recipe.objective.name == "relativistic":
        return {}
    return {"objective.name": "relativistic", "objective.label_smoothing": 0.0}


def _smoothing(recipe: Recipe) -> Mapping[str, Any]:
    fits = recipe.objective.name == "non_saturating" and recipe.objective.label_smoothing == 0
    return {"objective.label_smoothing": 0.1} if fits else {}


def _non_saturating(recipe: Recipe) -> Mapping[str, Any]:
    if recipe.objective.name != "minimax":
        return {}
    return {"objective.name": "non_saturating"}


CONSTRAINT = (
    Remedy(
        "gradient-penalty",
        "Penalize the discriminator's gradient at reals and fakes (R1 + R2)",
        {
            "discriminator_dominance": 1,
            "mode_collapse": 1,
            "divergence": 1,
            "exploding_gradient": 1,
            "runaway_logits": 2,
            "vanishing_gradient": 3,
            "oscillation": 1,
            "discriminator_overfitting": 3,
        },
        "real.requires_grad_(); fake = fake.detach().requires_grad_()\n"
        "r, f = D(real), D(fake)\n"
        "g_r, g_f = torch.autograd.grad(r.sum() + f.sum(), [real, fake], create_graph=True)\n"
        "loss_D = loss_D + gamma / 2 * (g_r.flatten(1).square().sum(1).mean()\n"
        "                               + g_f.flatten(1).square().sum(1).mean())",
        "A zero-centred penalty is what makes the game converge where it orbits without (Dirac-GAN:"
        " eigenvalues leave the imaginary axis), and it keeps the discriminator's slope usable.",
        _gradient_penalty,
        watch="auc/discriminator",
        caution="Not with batch normalization in the discriminator: the penalty vanishes there.",
        sources=("arXiv 1801.04406", "arXiv 2501.05441"),
    ),
    Remedy(
        "spectral-norm",
        "Normalize the discriminator's layers spectrally",
        {
            "discriminator_dominance": 2,
            "mode_collapse": 4,
            "divergence": 3,
            "runaway_logits": 1,
            "lipschitz_violation": 2,
        },
        "for layer in D's linear and convolutional layers:\n"
        "    torch.nn.utils.parametrizations.spectral_norm(layer)",
        "Bounds each layer's gain and with it the slope of the discriminator.",
        _spectral,
        takes_effect="surgery",
        watch="logits/gap",
        sources=("arXiv 1802.05957",),
    ),
    Remedy(
        "remove-batch-norm",
        "Take batch normalization out of the discriminator",
        {"mode_collapse": 3, "discriminator_dominance": 6, "batch_norm_leak": 2},
        "replace nn.BatchNorm2d in D by nn.Identity() or spectral normalization",
        "It lets the discriminator judge whole batches, and it makes gradient penalties vanish.",
        _no_batch_norm,
        takes_effect="restart",
        watch="diversity/pairwise",
    ),
    Remedy(
        "relativistic-objective",
        "Score pairs of real and fake (RpGAN)",
        {"mode_collapse": 2, "vanishing_gradient": 2},
        "loss_D = F.softplus(fake_logits - real_logits).mean()\n"
        "loss_G = F.softplus(real_logits.detach() - fake_logits).mean()",
        "A separable loss has bad basins where modes are missing; the paired loss has none. It"
        " needs R1 + R2 beside it.",
        _relativistic,
        watch="metric/mode_coverage",
        caution="With R1 alone it fails; use R1 and R2.",
        sources=("arXiv 2501.05441, table 1", "arXiv 2011.04926"),
    ),
    Remedy(
        "label-smoothing",
        "Smooth the real labels to 0.9 (one side only)",
        {"discriminator_dominance": 5},
        "real_target = torch.full_like(real_logits, 0.9)   # fakes stay at 0",
        "Caps the real logit that pays (optimum 0.9 p / (p + q)). Smoothing both sides flattens the"
        " discriminator where there is no data.",
        _smoothing,
        watch="logits/real/mean",
        caution="For cross-entropy alone; meaningless with hinge, Wasserstein, relativistic.",
        sources=("arXiv 1606.03498, section 3.4",),
    ),
    Remedy(
        "non-saturating-loss",
        "Let the generator descend the non-saturating loss",
        {"vanishing_gradient": 1},
        "loss_G = F.softplus(-fake_logits).mean()   # in place of -F.softplus(fake_logits).mean()",
        "The saturating loss's slope is the probability that the discriminator gives to a fake:"
        " none where it is sure. The other's is one minus that.",
        _non_saturating,
        watch="pull/norm",
        sources=("arXiv 1406.2661, section 3",),
    ),
)  # fmt: skip
