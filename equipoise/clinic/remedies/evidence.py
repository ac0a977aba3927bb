"""What the players learn from: data, augmentation, labels; and asking again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.remedies.entry import Remedy
from equipoise.recipe import Recipe
from equipoise.recipe.contradictions.data import TOYS
from equipoise.recipe.contradictions.losses import SHIFTLESS

TARGET = 0.6  # of r_t: ADA's default
FIXED = 0.3  # p where r_t means nothing
MOST = 0.8  # p up to which augmentation does not leak


def _adaptive(recipe: Recipe) -> Mapping[str, Any]:
    """ADA at r_t = 0.6; a fixed p for objectives whose logits have no zero; {} for points."""
    if recipe.data.kind in TOYS or recipe.augmentation.name == "ada":
        return {}
    ada = {"augmentation.name": "ada", "augmentation.policy": None}
    fixed = recipe.objective.name in SHIFTLESS
    return ada | ({"augmentation.p": FIXED} if fixed else {"augmentation.target": TARGET})


def _differentiable(recipe: Recipe) -> Mapping[str, Any]:
    if recipe.data.kind in TOYS or recipe.augmentation.name != "none":
        return {}
    return {"augmentation.name": "diffaugment"}


def _lecam(recipe: Recipe) -> Mapping[str, Any]:
    known = "lecam" in recipe.penalties and recipe.penalties["lecam"].gamma > 0
    if known or recipe.objective.name in SHIFTLESS:
        return {}
    return {"penalties.lecam.gamma": 0.3}


def _whole(recipe: Recipe) -> Mapping[str, Any]:
    return {"data.curriculum": None} if recipe.data.curriculum else {}


def _all_latents(recipe: Recipe) -> Mapping[str, Any]:
    return {"evaluation.truncation": None} if recipe.evaluation.truncation else {}


def _as_it_is(recipe: Recipe) -> Mapping[str, Any]:
    """No changes of the reals alone, and a fixed p of augmentation where it does not leak."""
    augment, p = recipe.data.augment, recipe.augmentation.p
    edit: dict[str, Any] = {}
    if augment.color or augment.crop:
        edit |= {"data.augment.color": 0.0, "data.augment.crop": 0}
    return edit | ({"augmentation.p": FIXED} if p is not None and p > MOST else {})


def _fading(recipe: Recipe) -> Mapping[str, Any]:
    noise = recipe.noise.input
    if not noise.sigma or not noise.schedule.end:
        return {}
    fading = {"shape": "linear", "start": 1.0, "end": 0.0, "kimg": None}
    return {"noise.input.sigma": min(noise.sigma, 0.1), "noise.input.schedule": fading}


EVIDENCE = (
    Remedy(
        "show-all-the-data",
        "Let the curriculum open before the budget is spent, or leave it out",
        {"mode_collapse": 13},
        "loader = DataLoader(dataset)             # all of it, from the last third of the run on",
        "A generator cannot make what its discriminator never saw.",
        _whole,
        watch="metric/coverage",
        sources=("arXiv 2007.15255",),
    ),
    Remedy(
        "measure-all-latents",
        "Measure what the whole law of latents gives, and truncate for pictures alone",
        {"mode_collapse": 14},
        "z = torch.randn(n, z_dim)                # no truncation while measuring",
        "Truncation buys precision with recall: a measure under it tells of the truncation.",
        _all_latents,
        takes_effect="live",
        watch="metric/coverage",
        sources=("arXiv 1809.11096, section 3.1",),
    ),
    Remedy(
        "augment-both-sides",
        "Change reals and fakes alike, and leave most images as they are",
        {"data_range_mismatch": 3},
        "D(A(real)), D(A(fake))                   # not D(A(real)), D(fake); p of A at most 0.8",
        "What is done to the reals alone, or to every image, cannot be told from the data, and the"
        " generator learns it.",
        _as_it_is,
        watch="metric/precision",
        caution="Mirroring alone is harmless where mirror images are as likely.",
        sources=("claims 39, 47", "arXiv 2006.06676, figure 4"),
    ),
    Remedy(
        "fade-the-noise",
        "Let the noise on the discriminator's input fade to 0",
        {"stagnation": 7},
        "sigma = 0.1 * (1 - step / steps)         # of the noise on reals and fakes",
        "Noise makes the two laws overlap, which helps at first, and hides what is smaller than it,"
        " for as long as it is there.",
        _fading,
        takes_effect="live",
        watch="auc/discriminator",
        sources=("claim 44", "arXiv 1610.04490"),
    ),
    Remedy(
        "adaptive-augmentation",
        "Augment reals and fakes inside the discriminator, as much as r_t asks for (ADA)",
        {"discriminator_overfitting": 1, "memorization": 2, "discriminator_dominance": 8},
        "real_logits, fake_logits = D(A(real)), D(A(fake))     # both players' losses, p from r_t\n"
        "p += sign(r_t - 0.6) * batch / 500_000                # r_t = mean of sign(D(A(real)))",
        "Images that are shown in many versions cannot be learned by heart, and what is done to"
        " both sides does not leak while p stays under 0.8.",
        _adaptive,
        takes_effect="live",
        watch="overfitting/auc",
        caution="Not on the reals alone: the generator would learn the changes too.",
        sources=("claims 39, 47", "arXiv 2006.06676"),
    ),
    Remedy(
        "differentiable-augmentation",
        "Augment reals and fakes inside the discriminator at a fixed strength (DiffAugment)",
        {"discriminator_overfitting": 2},
        "D(T(real)), D(T(fake)), D(T(G(z)))      # T: color, translation, cutout; differentiable",
        "As ADA, with no p to steer: the choice for runs too short for one to settle.",
        _differentiable,
        takes_effect="live",
        watch="overfitting/auc",
        sources=("claim 47", "arXiv 2006.10738"),
    ),
    Remedy(
        "more-data",
        "Add images, and look whether those that are there repeat",
        {"memorization": 1, "discriminator_overfitting": 5},
        "deduplicate; add sources; mirror only if mirrored images are as likely as the others",
        "What is known by heart is what there is too little of: the fewer the images, the earlier"
        " the discriminator's training and held-out logits part.",
        watch="memorization/ratio",
        sources=("arXiv 2006.06676, figure 1",),
    ),
    Remedy(
        "lecam-regularization",
        "Pull the logits of each side to the other side's moving average (LeCam, 0.3)",
        {"discriminator_overfitting": 6},
        "loss_D += 0.3 * ((real_logits - ema_fake).square().mean()\n"
        "                 + (fake_logits - ema_real).square().mean())",
        "It holds the logits of training images near those of fakes; made for small data.",
        _lecam,
        watch="overfitting/auc",
        caution="The anchors need some updates to settle; undefined where logits have no zero.",
        sources=("arXiv 2104.03310",),
    ),
    Remedy(
        "connect-the-condition",
        "Give the label to both players: in every layer of the generator, by projection to D",
        {"condition_ignored": 1},
        "logit = head(h) + (embedding(y) * h).sum(1)           # D: h (N, C) pooled features\n"
        "h = scale(y) * normalize(h) + shift(y)                # G: conditional normalization",
        "A discriminator that sees no label teaches none, and one that is added once to z is lost"
        " on the way.",
        takes_effect="surgery",
        watch="condition/effect",
        caution="Reals must come with their own labels, fakes with those that they were made from.",
        sources=("claim 67", "arXiv 1802.05637"),
    ),
    Remedy(
        "check-the-data",
        "Look at a batch as the discriminator gets it: range, labels, repeats, paths",
        {"condition_ignored": 2, "data_range_mismatch": 2, "mode_collapse": 11},
        "equipoise.check(G, D, batch)             # and: save_image(real), print(labels.unique())",
        "A public collapse on resume was a path that gave every image one label; a loader is"
        " cheaper to look at than a game.",
        watch="batch/real/std",
    ),
    Remedy(
        "another-seed",
        "Run it again with other seeds before changing more",
        {"mode_collapse": 12, "stagnation": 6},
        "for seed in range(5): train(seed)        # compare medians: equipoise trial",
        "Restarts of the same settings differ by more than most tricks gain; five seeds tell"
        " chance from cause.",
        watch="metric/fid",
        sources=("claim 90", "arXiv 1711.10337"),
    ),
)  # fmt: skip
