"""What the players are made of: layers, sizes, what judges samples together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.remedies.entry import Edit, Remedy
from equipoise.recipe import Recipe
from equipoise.recipe.contradictions.data import TOYS
from equipoise.recipe.contradictions.players import GROUP

NARROWEST = 8
WIDE_LATENT = 64  # R3GAN's


def _wider_generator(recipe: Recipe) -> Mapping[str, Any]:
    return {"generator.width": 2 * recipe.generator.width}


def _narrower(*players: str) -> Edit:
    """Half the width of each named player, down to `NARROWEST`."""

    def edit(recipe: Recipe) -> Mapping[str, Any]:
        widths = {name: getattr(recipe, name).width for name in players}
        return {f"{n}.width": w // 2 for n, w in widths.items() if w // 2 >= NARROWEST}

    return edit


def _deviation(recipe: Recipe) -> Mapping[str, Any]:
    d = recipe.discriminator
    judged = recipe.batch // recipe.accumulate // d.pack
    whole = judged <= GROUP or judged % GROUP == 0
    free = d.minibatch == "none" and d.family != "progressive" and recipe.accumulate == 1
    return {"discriminator.minibatch": "deviation"} if free and whole else {}


def _packed(recipe: Recipe) -> Mapping[str, Any]:
    part = recipe.batch // recipe.accumulate
    fits = recipe.discriminator.pack == 1 and part % 2 == 0 and part >= 4
    return {"discriminator.pack": 2} if fits else {}


def _latent(recipe: Recipe) -> Mapping[str, Any]:
    """z of 64 dimensions where images are made from fewer; points need no more than they have."""
    if recipe.data.kind in TOYS:
        return {"generator.z_dim": 2} if recipe.generator.z_dim < 2 else {}
    return {"generator.z_dim": WIDE_LATENT} if recipe.generator.z_dim < WIDE_LATENT else {}


def _layer_norm(recipe: Recipe) -> Mapping[str, Any]:
    batch = recipe.discriminator.normalization == "batch"
    return {"discriminator.normalization": "layer"} if batch else {}


def _per_sample_penalty(recipe: Recipe) -> Mapping[str, Any]:
    """WGAN-GP at 10 where there is none, ten times what is there else."""
    plain = recipe.objective.name == "wasserstein"
    if not plain or recipe.discriminator.normalization == "batch":
        return {}
    gp = recipe.penalties.get("wgan_gp")
    gamma = 10 * gp.gamma if gp is not None and gp.gamma > 0 else 10.0
    return {"penalties.wgan_gp.gamma": gamma}


def _wasserstein(recipe: Recipe) -> Mapping[str, Any]:
    free = recipe.augmentation.target is None and recipe.pseudo_real.target is None
    hold = recipe.balance.hold
    signless = hold is None or hold.signal != "r_t"
    batch = recipe.discriminator.normalization == "batch"
    unfit = recipe.objective.labels is not None or batch or not free or not signless
    if recipe.objective.name == "wasserstein" or unfit:
        return {}
    unlabelled = {"label_smoothing": 0.0, "fake_smoothing": 0.0, "label_flip": 0.0}
    zero_centred = [n for n in ("r1", "r2") if n in recipe.penalties]
    return {
        "objective.name": "wasserstein",
        **{f"objective.{field}": value for field, value in unlabelled.items()},
        **{f"penalties.{name}.gamma": 0.0 for name in zero_centred},
        "penalties.wgan_gp.gamma": 10.0,
    }


def _drift(recipe: Recipe) -> Mapping[str, Any]:
    known = "drift" in recipe.penalties and recipe.penalties["drift"].gamma > 0
    return {} if known else {"penalties.drift.gamma": 1e-3}


ARCHITECTURE = (
    Remedy(
        "resize-convolution",
        "Upsample by resizing and convolve after it, in place of transposed convolutions",
        {"checkerboard_artifacts": 1},
        "nn.Upsample(scale_factor=2, mode='bilinear'), nn.Conv2d(c, k, 3, padding=1)",
        "A transposed convolution writes to neighbouring pixels unequally often; a resized image"
        " has no such grid to begin with.",
        takes_effect="restart",
        watch="checkerboard/ratio",
        sources=("claims 24, 81", "distill.pub/2016/deconv-checkerboard"),
    ),
    Remedy(
        "kernel-by-stride",
        "Make each transposed kernel a multiple of its stride",
        {"checkerboard_artifacts": 2},
        "nn.ConvTranspose2d(c, k, kernel_size=4, stride=2, padding=1)   # 4 = 2 x 2, not 3 or 5",
        "Then every pixel is written to equally often; learned weights may still be uneven.",
        takes_effect="restart",
        watch="checkerboard/ratio",
        sources=("claim 81", "distill.pub/2016/deconv-checkerboard"),
    ),
    Remedy(
        "minibatch-deviation",
        "Show the discriminator how much a group of samples varies (minibatch deviation)",
        {"mode_collapse": 6},
        "s = x.view(4, -1, C, H, W).std(0).mean()  # one channel more, before D's last layers",
        "A batch without variety betrays itself. A small gain beside a penalty (857 to 881 of 1,000"
        " modes), a large one without.",
        _deviation,
        watch="diversity/pairwise",
        caution="It ties a batch's samples: not with gradient accumulation.",
        sources=("claim 86", "arXiv 1710.10196, section 3", "arXiv 1606.03498"),
    ),
    Remedy(
        "packing",
        "Let the discriminator judge two samples at once (PacGAN)",
        {"mode_collapse": 7},
        "x.view(N // 2, 2 * C, H, W)             # reals in pairs, fakes in pairs",
        "Pairs from a collapsed generator are alike too often: 99 to 1,000 of 1,000 modes without a"
        " penalty; little is left to gain with R1 and R2.",
        _packed,
        watch="metric/mode_coverage",
        caution="Half as many judgements per batch.",
        sources=("claim 86", "arXiv 1712.04086"),
    ),
    Remedy(
        "wider-latent",
        "Take z of at least 64 dimensions, if it has fewer than the data varies in",
        {"mode_collapse": 8},
        "z = torch.randn(N, 64)",
        "A generator cannot fill more dimensions than it is given; beyond those of the data more"
        " gain nothing (R3GAN 64, BigGAN 120).",
        _latent,
        watch="rank/generator",
        caution="On points of the plane two suffice.",
        sources=("claim 61",),
    ),
    Remedy(
        "roll-back",
        "Go back to the last checkpoint before the onset and go on from there with a penalty",
        {"mode_collapse": 10, "exploding_gradient": 5},
        "load the checkpoint before the step that the finding names; add R1 + R2; go on",
        "A collapsed generator rarely comes back by itself, and BigGAN's best models are those kept"
        " from before.",
        takes_effect="surgery",
        watch="metric/fid",
        sources=("arXiv 1809.11096, section 4",),
    ),
    Remedy(
        "layer-norm",
        "Normalize over each sample (layer norm) in place of the batch, in the discriminator",
        {"batch_norm_leak": 3},
        "replace nn.BatchNorm2d(c) in D by nn.GroupNorm(1, c)",
        "Each sample is then judged alone. FID on CIFAR-10: batch 56.3, layer 33.9, spectral 29.3.",
        _layer_norm,
        takes_effect="restart",
        watch="leak/batch",
        sources=("claims 5, 73", "arXiv 1802.05957, table 2"),
    ),
    Remedy(
        "wider-generator",
        "Double the generator's width",
        {"discriminator_dominance": 10},
        "G = Generator(width=2 * width)",
        "Where the discriminator sees a difference that the generator cannot make up for.",
        _wider_generator,
        watch="auc/discriminator",
        caution="Untested as a cure by itself; penalties come first.",
        sources=("claim 63",),
    ),
    Remedy(
        "narrower-discriminator",
        "Halve the discriminator's width",
        {"discriminator_overfitting": 4},
        "D = Discriminator(width=width // 2)",
        "Fewer weights hold fewer images.",
        _narrower("discriminator"),
        watch="overfitting/auc",
        caution="It also sees less; augmentation first.",
    ),
    Remedy(
        "narrower-generator",
        "Halve the generator's width",
        {"memorization": 3},
        "G = Generator(width=width // 2)",
        "Fewer weights hold fewer images, and with few images that is the point.",
        _narrower("generator"),
        watch="memorization/ratio",
    ),
    Remedy(
        "simplify-players",
        "Halve both players and play on less, until it works",
        {"stagnation": 5, "divergence": 5},
        "G, D = Generator(width=width // 2), Discriminator(width=width // 2)   # 32 pixels",
        "A small game that works tells wiring from difficulty in minutes. It finds the fault and"
        " does not mend it.",
        _narrower("generator", "discriminator"),
        watch="metric/fid",
        caution="Nobody measured that smaller players are stabler.",
        sources=("claim 92",),
    ),
    Remedy(
        "per-sample-penalty",
        "Penalize each sample's gradient norm towards 1 (WGAN-GP), lambda 10 or ten times as much",
        {"lipschitz_violation": 1},
        "norms = gradients.flatten(1).norm(2, dim=1)      # (N,): not gradients.norm(2)\n"
        "loss_D += lam * (norms - 1).square().mean()      # one alpha per sample, (N, 1, 1, 1)",
        "The norm of a whole batch's gradient is sqrt(N) where each is 1, so penalizing it drives"
        " slopes to 1 / sqrt(N). The optimum is 1 + a / (2 lambda): a small lambda is no bound.",
        _per_sample_penalty,
        watch="lipschitz/interpolates",
        caution="Not with batch normalization, which ties the samples.",
        sources=("claims 102, 103", "arXiv 1704.00028"),
    ),
    Remedy(
        "wasserstein-penalty",
        "Train a Wasserstein critic under WGAN-GP",
        {"vanishing_gradient": 4},
        "loss_D = D(fake).mean() - D(real).mean() + 10 * penalty; loss_G = -D(fake).mean()",
        "A linear loss never saturates. It is no better on average: FID 20.3 against 6.8 on MNIST,"
        " 30.0 against 55.0 on CelebA.",
        _wasserstein,
        watch="pull/norm",
        caution="It still orbits on the Dirac-GAN, and it wants five critic steps.",
        sources=("claims 18, 20", "arXiv 1704.00028", "arXiv 1711.10337"),
    ),
    Remedy(
        "drift-term",
        "Add 0.001 times the mean square of the real logits to the discriminator's loss",
        {"runaway_logits": 4},
        "loss_D += 1e-3 * real_logits.square().mean()",
        "It ties logits to 0, which no objective does by itself; it bounds their level, not their"
        " slope.",
        _drift,
        takes_effect="live",
        watch="logits/extreme",
        sources=("arXiv 1710.10196, appendix A",),
    ),
)  # fmt: skip
