"""Checks of how the two are played: optimizers, pace, penalties, batch, latents."""

from __future__ import annotations

import math

from equipoise.clinic.preflight.entry import Check, Facts, Said, images, side

BETA1 = 0.85  # 0.5 (DCGAN), 0 (StyleGAN2, BigGAN, R3GAN) and 0.8 (PacGAN) are in use
PACE = 5.0  # SAGAN 4, TTUR 3; BigGAN's 8 stands on spectral normalization
FAR_PACE = 20.0
SLOW_PACE = 0.2
FEWEST, FEW = 4, 16  # samples of a batch
LEAST_GAMMA, LARGEST_GAMMA = 0.1, 3e4  # times the heuristic
HEURISTIC = 2e-4
ZERO_CENTRED = ("r1", "r2")
OFF_LAW = 0.25  # of mean and of spread
PLAYERS = ("generator", "discriminator")


def fast_and_free(facts: Facts) -> Said | None:
    pace = pace_of(facts)
    if pace is None or pace < PACE or facts["discriminator/held"]:
        return None
    steps, ratio = facts.get("balance/discriminator_steps", 1), _rates(facts) or 1.0
    return Said(
        f"The discriminator moves {pace:.3g} times as fast as the generator ({steps:g} updates to"
        f" one, learning rates {ratio:.3g} : 1), and no penalty, normalization or bound holds it:"
        " it will run away.",
        (
            ("discriminator/held", 0.0, "1: a penalty, a spectral norm or a bound"),
            ("balance/discriminator_steps", float(steps), f"pace below {PACE:g}"),
            *(
                (f"optimizer/{n}/lr", float(facts[f"optimizer/{n}/lr"]), "near the other's")
                for n in PLAYERS
            ),
        ),
        0.6 if pace < 2 * PACE else 0.8,
    )


def far_pace(facts: Facts) -> Said | None:
    pace = pace_of(facts)
    if pace is None or SLOW_PACE <= pace <= FAR_PACE:
        return None
    if pace >= PACE and not facts.get("discriminator/held", True):
        return None  # said as a finding
    faster, times = ("discriminator", pace) if pace > 1 else ("generator", 1 / pace)
    return Said(
        f"The {faster} moves {times:.3g} times as fast as the other (updates x learning rate)."
    )


def pace_of(facts: Facts) -> float | None:
    """n_d h_d / (n_g h_g): on the Dirac-GAN only this product counts, to first order."""
    ratio = _rates(facts)
    if ratio is None:
        return None
    steps = facts.get("balance/discriminator_steps", 1) / facts.get("balance/generator_steps", 1)
    return float(steps * ratio)


def _rates(facts: Facts) -> float | None:
    rates = [facts.get(f"optimizer/{n}/lr") for n in ("discriminator", "generator")]
    kinds = [facts.get(f"optimizer/{n}/name") for n in ("discriminator", "generator")]
    if None in rates or not rates[1] or kinds[0] != kinds[1]:
        return None
    return float(rates[0] / rates[1])


def heavy_momentum(facts: Facts) -> Said | None:
    heavy = {
        name: beta
        for name in PLAYERS
        if (beta := facts.get(f"optimizer/{name}/beta1")) is not None and beta > BETA1
    }
    if not heavy:
        return None
    told = ", ".join(f"{name} {beta:g}" for name, beta in heavy.items())
    return Said(f"beta1 of Adam is high ({told}): momentum drives the players round each other.")


def small_batch(facts: Facts) -> Said | None:
    size = facts["batch/size"]
    if size >= FEWEST or facts.get("generator/takes", "z") != "z":
        return None
    return Said(
        f"A batch of {size} gives gradients that are mostly noise.",
        (("batch/size", float(size), f"at least {FEW}"),),
        0.6,
    )


def few_samples(facts: Facts) -> Said | None:
    size = facts["batch/size"]
    if not FEWEST <= size < FEW or facts.get("generator/takes", "z") != "z":
        return None
    return Said(f"A batch of {size} is small for a generator that starts from noise.")


def gamma_scale(facts: Facts) -> Said | None:
    if not images(facts) or not facts.get("slopes/plain", True):
        return None
    rule = HEURISTIC * side(facts) ** 2 / facts["batch/size"]
    for name in ZERO_CENTRED:
        gamma = facts["penalties"].get(name, 0)
        if gamma > 0 and not LEAST_GAMMA * rule <= gamma <= LARGEST_GAMMA * rule:
            weak = gamma < rule
            return Said(
                f"gamma of {name} is {gamma:.3g}; for {side(facts)} pixels and batches of"
                f" {facts['batch/size']} the heuristic says {rule:.2g}, and what is in use lies"
                f" between that and {LARGEST_GAMMA:g} times that: it"
                f" {'hardly acts' if weak else 'flattens the discriminator'}."
            )
    return None


def unheld(facts: Facts) -> Said | None:
    pace = pace_of(facts)
    if facts["discriminator/held"] or (pace is not None and pace >= PACE):
        return None
    return Said("Nothing holds the discriminator: no penalty, no spectral norm, no bound.")


def latent_law(facts: Facts) -> Said | None:
    mean, std = facts["latent/mean"], facts["latent/std"]
    if facts.get("generator/takes") == "images":
        return None
    if abs(mean) <= OFF_LAW and abs(math.log(max(std, 1e-12))) <= math.log(1 + OFF_LAW):
        return None
    return Said(f"z has mean {mean:.2g} and spread {std:.2g} where N(0, 1) is usual.")


def latent_noise(facts: Facts) -> Said | None:
    sigma = facts["latent/noise"]
    if sigma == 0:
        return None
    return Said(
        f"Noise of {sigma:g} on z ~ N(0, I) is z ~ N(0, {1 + sigma**2:.3g} I) again: it rescales"
        " and does nothing else, and samples are drawn without it."
    )


CHECKS = (
    Check(
        "pace",
        "discriminator_dominance",
        ("discriminator/held", "optimizer/discriminator/lr", "optimizer/generator/lr"),
        "the players' pace and what holds the discriminator",
        f"updates x learning rate {PACE:g} : 1 or more, unheld",
        "claims 6, 35, 48: up to 4 without (SAGAN), 8 with spectral normalization (BigGAN)",
        (
            "hold the discriminator (R1 and R2, or spectral normalization), or bring updates and"
            " rates to 1 : 1"
        ),
        fast_and_free,
    ),
    Check(
        "far_pace",
        None,
        ("optimizer/discriminator/lr", "optimizer/generator/lr"),
        "the players' pace",
        f"beyond {FAR_PACE:g} : 1 or 1 : {1 / SLOW_PACE:g}",
        "claims 6, 35, 48, 96",
        "Start from 1 : 1 to 4 : 1.",
        far_pace,
    ),
    Check(
        "beta1",
        None,
        ("optimizer/generator/lr",),
        "beta1 of Adam",
        f"above {BETA1:g}",
        (
            "Radford et al. 2016, section 4: 0.9 oscillated; claims 32, 65; spectral radius 1.19"
            " on the bilinear game"
        ),
        "Use 0 (StyleGAN2, BigGAN, R3GAN) or 0.5 (DCGAN).",
        heavy_momentum,
    ),
    Check(
        "batch_size",
        "gradient_noise",
        ("batch/size",),
        "the batch",
        f"under {FEWEST}",
        "claim 80: cosine of two batches 1 / (1 + B_s / B)",
        "raise the batch to 32 or 64, or accumulate gradients",
        small_batch,
    ),
    Check(
        "few_samples",
        None,
        ("batch/size",),
        "the batch",
        f"under {FEW}",
        "claims 37, 80, 91",
        "32 to 64 is usual; or accumulate gradients.",
        few_samples,
    ),
    Check(
        "penalty_scale",
        None,
        ("penalties", "batch/size", "real/shape"),
        "gamma against resolution and batch",
        f"outside {LEAST_GAMMA:g} to {LARGEST_GAMMA:g} times {HEURISTIC:g} side^2 / batch",
        "StyleGAN2-ADA, train.py (its tuned values are 0.6 to 5 times that); R3GAN spans 0.005 to"
        " 150; the presets digits and images are 1,500 and 900 times that; claim 7",
        "Take a value inside that span and try a factor of 3 to either side.",
        gamma_scale,
    ),
    Check(
        "held",
        None,
        ("discriminator/held",),
        "what holds the discriminator",
        "nothing",
        "claims 5, 7, 22, 71; 20 to 23 of 25 modes without, 25 with R1 and R2",
        "R1 and R2, or spectral normalization, make runs far less fragile.",
        unheld,
    ),
    Check(
        "latent_law",
        None,
        ("latent/mean", "latent/std"),
        "the law of z",
        f"mean beyond {OFF_LAW:g}, spread off by {OFF_LAW:.0%}",
        "claim 61 (Gaussian); DCGAN's uniform z worked too",
        "Draw z with torch.randn, in training and for samples alike.",
        latent_law,
    ),
    Check(
        "latent_noise",
        None,
        ("latent/noise",),
        "noise on z",
        "any",
        "claim 43: N(0, 1) + N(0, s^2) = N(0, 1 + s^2)",
        "Leave it out.",
        latent_noise,
        asked=False,
    ),
)
