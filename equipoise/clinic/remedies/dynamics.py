"""How the players move: momentum, averages, batches, order of play, noise, time scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.remedies.entry import Remedy
from equipoise.recipe import Recipe

PLAYERS = ("generator", "discriminator")
SHORT_MEMORY = 0.99  # of squared gradients: R3GAN's beta2
LARGER = 4  # times the batch
RATIO = 4.0  # of the discriminator's rate to the generator's: SAGAN's
ZERO_CENTRED = ("r1", "r2")


def _no_momentum(recipe: Recipe) -> Mapping[str, Any]:
    """beta1 = 0 for every player that has more."""
    heavy = [name for name in PLAYERS if getattr(recipe.optimizer, name).beta1 > 0]
    return {f"optimizer.{name}.beta1": 0.0 for name in heavy}


def _shorter_memory(recipe: Recipe) -> Mapping[str, Any]:
    long = [n for n in PLAYERS if getattr(recipe.optimizer, n).beta2 > SHORT_MEMORY]
    return {f"optimizer.{name}.beta2": SHORT_MEMORY for name in long}


def _averaged(recipe: Recipe) -> Mapping[str, Any]:
    return {"ema.half_life_kimg": 10.0} if recipe.ema.half_life_kimg is None else {}


def _larger_batch(recipe: Recipe) -> Mapping[str, Any]:
    return {"batch": LARGER * recipe.batch}


def _extragradient(recipe: Recipe) -> Mapping[str, Any]:
    b = recipe.balance
    once = b.discriminator_steps == b.generator_steps == 1 and b.hold is None
    plain = b.order == "alternating" and recipe.compute.precision != "16-mixed"
    return {"balance.order": "extragradient"} if once and plain else {}


def _unrolled(recipe: Recipe) -> Mapping[str, Any]:
    d = recipe.optimizer.discriminator
    free = recipe.balance.unroll is None and recipe.accumulate == 1
    fits = free and "discriminator" not in recipe.compute.compile and recipe.balance.consensus == 0
    return {"balance.unroll": {"steps": 5, "lr": d.lr}} if fits else {}


def _instance_noise(recipe: Recipe) -> Mapping[str, Any]:
    if recipe.noise.input.sigma > 0:
        return {}
    fading = {"shape": "linear", "start": 1.0, "end": 0.0, "kimg": None}
    return {"noise.input.sigma": 0.1, "noise.input.schedule": fading}


def _two_time_scales(recipe: Recipe) -> Mapping[str, Any]:
    """A quarter of the discriminator's rate for the generator, beside a zero-centred penalty."""
    damped = any(recipe.penalties[n].gamma > 0 for n in ZERO_CENTRED if n in recipe.penalties)
    rates = recipe.optimizer
    if not damped or rates.discriminator.lr >= RATIO * rates.generator.lr:
        return {}
    return {"optimizer.generator.lr": rates.discriminator.lr / RATIO}


def _weaker_penalty(recipe: Recipe) -> Mapping[str, Any]:
    active = [n for n in ZERO_CENTRED if n in recipe.penalties and recipe.penalties[n].gamma > 0]
    return {f"penalties.{name}.gamma": recipe.penalties[name].gamma / 10 for name in active}


def _annealed_penalty(recipe: Recipe) -> Mapping[str, Any]:
    """gamma down to a tenth over the run, where it is constant."""
    constant = [
        name
        for name in ZERO_CENTRED
        if name in recipe.penalties
        and recipe.penalties[name].gamma > 0
        and recipe.penalties[name].schedule.shape == "constant"
    ]
    down = {"shape": "cosine", "start": 1.0, "end": 0.1, "kimg": None}
    return {f"penalties.{name}.schedule": down for name in constant}


DYNAMICS = (
    Remedy(
        "lower-momentum",
        "Set Adam's beta1 to 0 for both players",
        {"oscillation": 2, "divergence": 4},
        "Adam(player.parameters(), lr=lr, betas=(0.0, 0.99))   # plain descent: a momentum below 0",
        "Momentum carries players who circle past each other: 0.9 oscillated and 0.5 helped in"
        " DCGAN; StyleGAN2, BigGAN and R3GAN use 0, and a negative one damps the bilinear game.",
        _no_momentum,
        takes_effect="live",
        watch="logits/gap",
        sources=("claims 32, 65", "arXiv 1511.06434, section 4", "arXiv 1807.04740"),
    ),
    Remedy(
        "shorter-memory",
        "Set Adam's beta2 to 0.99 for both players",
        {"exploding_gradient": 4},
        "Adam(player.parameters(), lr=lr, betas=(beta1, 0.99))",
        "With 0.999 the step size remembers a thousand updates, so gradients that grow meet steps"
        " made for small ones; R3GAN saw instability there and takes 0.9 to 0.99.",
        _shorter_memory,
        takes_effect="live",
        watch="gradient_norm/discriminator",
        sources=("claim 32", "arXiv 2501.05441"),
    ),
    Remedy(
        "average-weights",
        "Evaluate a moving average of the generator's weights, half-life 10,000 images",
        {"oscillation": 3, "gradient_noise": 2},
        "with torch.no_grad():\n"
        "    for a, p in zip(average.parameters(), G.parameters()): a.lerp_(p, 1 - decay)",
        "The average of a circle is its centre, and the average of noisy steps has less noise. It"
        " changes what is sampled, not the game.",
        _averaged,
        takes_effect="live",
        watch="metric/fid",
        caution="Copy buffers too; the game itself still turns.",
        sources=("arXiv 1806.04498",),
    ),
    Remedy(
        "larger-batch",
        "Take batches four times as large, or accumulate gradients over four",
        {"gradient_noise": 1},
        "for part in parts: (loss(part) / len(parts)).backward()   # then one optimizer.step()",
        "The noise's share of a gradient is 1 / (1 + b / B); batches towards the noise scale B pay"
        " in full, larger ones do not.",
        _larger_batch,
        watch="noise_scale/generator",
        caution="Fewer updates at the same budget; BigGAN's eightfold batch gained 46 % in IS and"
        " collapsed in the end. Batch normalization does not accumulate.",
        sources=("claims 37, 80", "arXiv 1812.06162", "arXiv 1809.11096"),
    ),
    Remedy(
        "extragradient",
        "Step from the gradient one step ahead (extragradient)",
        {"oscillation": 6},
        "save weights; both players step; compute both gradients there;\n"
        "restore the weights; both players step with those gradients",
        "It converges on the bilinear game, where descent from the same point leaves and"
        " alternating descent circles.",
        _extragradient,
        takes_effect="live",
        watch="rotation",
        caution="Twice the cost of an update; a penalty is cheaper.",
        sources=("arXiv 1802.10551",),
    ),
    Remedy(
        "unrolled-discriminator",
        "Let the generator play against the discriminator five steps ahead",
        {"mode_collapse": 9},
        "copy D; five steps of gradient descent of the copy; loss_G from the copy's logits",
        "A generator that sees the answer to its move gains nothing by one mode: the toys that"
        " collapse without it keep theirs.",
        _unrolled,
        takes_effect="live",
        watch="metric/mode_coverage",
        caution="Shown on toys and small images; six times the cost of a generator's step.",
        sources=("claim 96", "arXiv 1611.02163"),
    ),
    Remedy(
        "instance-noise",
        "Add noise to all that the discriminator sees, fading out over the run",
        {"oscillation": 5, "discriminator_dominance": 7},
        "x = x + sigma * torch.randn_like(x)     # reals and fakes alike, sigma 0.1 -> 0",
        "It makes the two laws overlap, so that the game converges locally; R1 and R2 are its limit"
        " for small noise (gamma = sigma^2).",
        _instance_noise,
        takes_effect="live",
        watch="auc/discriminator",
        caution="sigma is in units of the data; blurred samples mean too much of it.",
        sources=("claim 44", "arXiv 1801.04406"),
    ),
    Remedy(
        "two-time-scales",
        "Let the generator learn at a quarter of the discriminator's rate (TTUR)",
        {"oscillation": 7},
        "optimizer_G lr = optimizer_D lr / 4     # 1e-4 and 4e-4 in SAGAN",
        "Beside R1 the ratio damps (best at 4 f'(0)^2 / gamma^2 on the Dirac-GAN); alone it damps"
        " nothing.",
        _two_time_scales,
        takes_effect="live",
        watch="logits/gap",
        caution="Without a penalty it changes the orbit's shape and not that it is one; StyleGAN2"
        " and R3GAN use equal rates.",
        sources=("claims 6, 35, 48", "arXiv 1706.08500"),
    ),
    Remedy(
        "weaker-penalty",
        "Turn gamma down: a tenth of R1 and R2",
        {"generator_dominance": 5, "stagnation": 3},
        "gamma = gamma / 10",
        "Which way to turn gamma says the gap of the logits: wide and AUC near 1, up; near 0 while"
        " samples are poor, down, since too strong a penalty flattens the discriminator over"
        " sqrt(gamma) of the data's scale.",
        _weaker_penalty,
        takes_effect="live",
        watch="logits/gap",
        caution="Not where the discriminator leads: there gamma goes up (gradient-penalty).",
        sources=("claims 7, 87", "arXiv 2501.05441"),
    ),
    Remedy(
        "annealed-penalty",
        "Let gamma fall to a tenth over the run",
        {"stagnation": 4},
        "gamma(t) = gamma * (0.1 + 0.9 * (1 + cos(pi * t)) / 2)",
        "A strong penalty finds all modes and blurs them; a weak one sharpens what is there. R3GAN"
        " goes from high to low.",
        _annealed_penalty,
        watch="metric/fid",
        sources=("claims 79, 87", "arXiv 2501.05441, table of settings"),
    ),
)  # fmt: skip
