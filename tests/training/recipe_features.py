"""Everything that a recipe can ask for, one edit a feature, and three iterations of a game."""

import torch

from equipoise.game import (
    ADA_PARTS,
    DIFFAUGMENT_PARTS,
    INITIALIZERS,
    MINIBATCH_LAYERS,
    NORMALIZATIONS,
    OBJECTIVES,
    OPTIMIZERS,
    PENALTIES,
    WEIGHT_PENALTIES,
    WEIGHTINGS,
)
from equipoise.recipe import load
from equipoise.training import build
from equipoise.training.players import PLAYERS, seed_layers
from equipoise.training.rounds import ROUNDS
from equipoise.training.terms import GENERATOR_PENALTIES

BATCH = 8
SMALL = {
    "batch": BATCH,
    "generator.width": 8,
    "discriminator.width": 8,
    "generator.depth": 2,
    "discriminator.depth": 2,
    "generator.normalization": "none",
    "evaluation.metrics": [],
    "evaluation.primary": None,
    "penalties": {},
}
RAMP = {"shape": "linear", "start": 1.0, "end": 0.5, "kimg": 0.02}
BURN_IN = {"start": 0.5, "kimg": 0.016}
SWITCH = {"kimg": 0.008, "name": "sgd", "lr": 1e-3, "beta1": -0.5}


def _each(path, names, **more):
    return {f"{path}={name}": {path: name, **more} for name in names}


# Of points and of images alike.
ANYWHERE = {
    **_each("objective.name", OBJECTIVES),
    **{
        f"{path}={name}": {path: name}
        for path in ("generator.normalization", "discriminator.normalization")
        for name in (*NORMALIZATIONS, "spectral_exact")
    },
    **{
        f"penalties.{name}": {f"penalties.{name}.gamma": 0.1}
        for name in (*PENALTIES, *WEIGHT_PENALTIES)
    },
    **{
        f"generator_penalties.{name}": {f"generator_penalties.{name}.gamma": 0.1}
        for name in GENERATOR_PENALTIES
    },
    **{
        f"optimizer.{player}.name={name}": {f"optimizer.{player}.name": name}
        for player in PLAYERS
        for name in OPTIMIZERS
    },
    **{
        f"{player}.initializer={name}": {f"{player}.initializer": name}
        for player in PLAYERS
        for name in INITIALIZERS
    },
    **{
        f"optimizer.{player}.{name}": {f"optimizer.{player}.{name}": value}
        for player in PLAYERS
        for name, value in {
            "beta2_burn_in": BURN_IN,
            "clip_norm": 0.1,
            "clip_value": 0.1,
            "switch": SWITCH,
            "schedule": RAMP,
            "weight_decay": 0.1,
        }.items()
    },
    **{
        f"noise.{place}": {f"noise.{place}": {"sigma": 0.1, "schedule": RAMP}}
        for place in ("input", "hidden", "output", "latent")
    },
    **_each("discriminator.minibatch", [n for n in MINIBATCH_LAYERS if n != "none"]),
    **{f"balance.order={n}": {"balance.order": n} for n in ROUNDS if n != "alternating"},
    **{
        f"weighting={name}": {"weighting.name": name, "feature_matching.gamma": 0.1}
        for name in WEIGHTINGS
    },
    **{
        f"compute.precision={name}": {"compute.precision": name}
        for name in ("bf16-mixed", "16-mixed")
    },
    "balance.discriminator_steps": {"balance.discriminator_steps": 2},
    "balance.generator_steps": {"balance.generator_steps": 2},
    "objective.label_smoothing": {"objective.label_smoothing": 0.1},
    "objective.fake_smoothing": {"objective.fake_smoothing": 0.1},
    "objective.label_flip": {"objective.label_flip": 0.1},
    "objective.labels": {"objective": {"name": "least_squares", "labels": [-1, 1, 0]}},
    "lazy": {"penalties.r2": {"gamma": 0.1, "every": 2, "schedule": RAMP}},
    "slopes.per_patch": {"slopes.per_patch": True, "penalties.r1.gamma": 0.1},
    "consistency": {"consistency.sigma": 0.1},
    "constraint": {"constraint": "weight_clipping"},
    "pseudo_real": {"pseudo_real": {"p": 0.5, "target": 0.6, "speed_kimg": 0.1}},
    "feature_matching": {"feature_matching.gamma": 0.1},
    "weighting.ramp": {
        "weighting": {"start_kimg": 0.008, "ramp_kimg": 0.008},
        "feature_matching.gamma": 0.1,
    },
    "weighting.plateau": {
        "weighting": {"patience_kimg": 0.008, "ramp_kimg": 0.008},
        "feature_matching.gamma": 0.1,
    },
    "negative momentum": {"optimizer.generator": {"name": "sgd", "beta1": -0.5}},
    "balance.consensus": {"balance.order": "simultaneous", "balance.consensus": 0.1},
    "balance.hold": {"balance.hold": {"low": 0.45, "high": 0.55, "decay": 0.5}},
    "balance.hold r_t": {"balance.hold": {"signal": "r_t", "low": -0.1, "high": 0.1}},
    "balance.unroll": {"balance.unroll": {"steps": 2, "lr": 0.1}},
    "balance.unroll alone": {"balance.unroll": {"steps": 2, "lr": 0.1, "through": False}},
    "balance.top_k": {"balance.top_k": {"gamma": 0.5, "epoch_kimg": 0.008}},
    "ema": {"ema": {"half_life_kimg": 0.1, "rampup": 0.05, "burn_in": BURN_IN}},
    "ema.standing_batches": {"ema.standing_batches": 2},
    "evaluation.truncation": {"evaluation.truncation": 0.5},
    "discriminator.pack": {"discriminator.pack": 2},
    "accumulate": {"accumulate": 2},
    "generator.equalized": {"generator.equalized": True},
    "discriminator.equalized": {"discriminator.equalized": True},
    "generator.dropout": {"generator.dropout": 0.3},
    "discriminator.dropout": {"discriminator.dropout": 0.3},
    "curriculum": {"data.curriculum": {"start": 0.3, "kimg": 0.02}},
}
IMAGES = {
    **{
        f"augmentation=ada {part}": {"augmentation": {"name": "ada", "policy": part, "p": 0.9}}
        for part in ADA_PARTS
    },
    **{
        f"augmentation=diffaugment {part}": {
            "augmentation": {"name": "diffaugment", "policy": part}
        }
        for part in DIFFAUGMENT_PARTS
    },
    "augmentation=ada": {"augmentation": {"name": "ada", "target": 0.6, "speed_kimg": 0.1}},
    "augmentation=diffaugment": {"augmentation": "diffaugment"},
    "consistency.policy": {"consistency.policy": "flip,translation", "penalties.cr.gamma": 1.0},
    "slopes.per_pixel": {"slopes.per_pixel": True, "penalties.r1.gamma": 0.1},
    "compute.channels_last": {"compute.channels_last": True},
    "data.augment": {"data.augment": {"flip": True, "crop": 1, "color": 0.1}},
    "generator.attention": {"generator.attention": True},
    "discriminator.attention": {"discriminator.attention": True},
    "progressive": {"generator.family": "progressive", "discriminator.family": "progressive"},
    "growth": {
        "generator.family": "progressive",
        "discriminator.family": "progressive",
        "growth": {"start": 4, "stage_kimg": 0.008, "fade_kimg": 0.016},
    },
}
# What a part needs beside it, so that it is not refused alone.
BESIDE = {
    "penalties.cr": {"consistency.sigma": 0.1},
    "penalties.bcr": {"consistency.sigma": 0.1},
    "generator.normalization=pixel": {},
}
FEATURES = {
    "ring": {name: {**edit, **BESIDE.get(name, {})} for name, edit in ANYWHERE.items()},
    "digits": {
        name: {**edit, **BESIDE.get(name, {})} for name, edit in {**ANYWHERE, **IMAGES}.items()
    },
}


def joined(*edits):
    """Edits laid over one another, mappings merged."""
    whole = {}
    for edit in edits:
        for path, value in edit.items():
            if isinstance(value, dict):
                whole |= {f"{path}.{key}": v for key, v in value.items()}
            else:
                whole[path] = value
    return whole


def small(preset, *edits):
    """The preset, tiny, with the edits."""
    return load(preset).edit({**SMALL, **joined(*edits)})


def play_three(recipe):
    """Three iterations; the game, all of whose numbers are finite."""
    game = build(recipe)
    for iteration in range(3):
        images = iteration * recipe.images_per_iteration
        game.settle(images)
        seed_layers(recipe.seed, images, game.device)
        played = ROUNDS[recipe.balance.order](game, images, iteration)
        for move in (played.discriminator, played.generator):
            assert move.loss.isfinite(), (iteration, move.loss)
        for module in game.modules.values():
            assert all(torch.isfinite(p).all() for p in module.parameters())
        assert all(value == value for value in game.said().values())
    return game
