"""The content hash: all that decides a run, and nothing else."""

import pytest
from recipe_leaves import leaves

from equipoise.recipe import load

OTHER = {
    "data.kind": "grid", "data.channels": 3, "objective.name": "hinge", "compute.device": "auto",
    "generator.normalization": "layer", "discriminator.normalization": "layer",
    "compute.precision": "bf16-mixed", "evaluation.metrics": ["mixture", "x"],
    "evaluation.primary": "modes", "optimizer.generator.name": "sgd",
    "optimizer.discriminator.name": "sgd", "generator.initializer": "he",
    "discriminator.initializer": "he", "discriminator.pack": 2, "discriminator.minibatch": "x",
    "generator.dropout": 0.5, "discriminator.dropout": 0.5, "accumulate": 2,
    "balance.order": "simultaneous", "evaluation.truncation": 2.0, "compute.compile": ["generator"],
    "ema.rampup": 0.05, "ema.burn_in": {"start": 1.0, "kimg": 5.0}, "lecam.decay": 0.5,
    "data.curriculum": {"start": 0.5, "kimg": 5.0}, "constraint": "weight_clipping",
    "balance.hold": {"low": 0.4, "high": 0.8}, "balance.unroll": {"lr": 0.1},
    "balance.top_k": {"epoch_kimg": 1.0}, "weighting.name": "adaptive", "pseudo_real.p": 0.5,
    "objective.label_smoothing": 0.1, "objective.fake_smoothing": 0.1, "objective.label_flip": 0.1,
    "objective.labels": [-1.0, 1.0, 0.0], "weighting.largest": 10.0, "pseudo_real.target": 0.6,
    "weighting.largest_share": 0.5, "weighting.patience_kimg": 1.0,
    "data.resolution": 16, "data.path": "elsewhere",
    "generator.family": "dcgan", "discriminator.family": "dcgan", "data.augment.flip": True,
    "growth": {"start": 4, "stage_kimg": 1.0, "fade_kimg": 1.0}, "compute.channels_last": True,
    "slopes.per_pixel": True, "augmentation.name": "ada", "augmentation.policy": "flip",
    "augmentation.target": 0.3, "augmentation.p": 0.5, "consistency.policy": "flip",
    "data.limit": 64, "data.held_out": 0.25,
    "data.augment.color": 0.5,
    **{f"optimizer.{player}.{name}": value for player in ("generator", "discriminator")
       for name, value in {"beta2_burn_in": {"start": 0.5, "kimg": 5.0}, "clip_norm": 1.0,
                           "clip_value": 1.0, "switch": {"kimg": 5.0, "name": "sgd"}}.items()},
}  # fmt: skip
MATCHED = {"feature_matching.gamma": 1.0}
FOLDER = {"data.kind": "folder", "data.path": "images", "evaluation.metrics": ["pixels"]}
LABELLED = {"objective.name": "non_saturating"}
ADAPTIVE = {**MATCHED, "weighting.name": "adaptive"}
# What must hold beside a change for it to be allowed.
BESIDE = {
    "data.held_out": {"data.limit": 64},
    "accumulate": {"penalties": {}},
    "compute.compile": {"penalties": {}},
    "balance.consensus": {"balance.order": "simultaneous"},
    "objective.labels": {"objective.name": "least_squares"},
    "pseudo_real.target": LABELLED,
    **dict.fromkeys(("label_smoothing", "fake_smoothing", "label_flip"), LABELLED),
    **dict.fromkeys(("weighting.name", "weighting.weight"), MATCHED),
    **dict.fromkeys(("weighting.start_kimg", "weighting.ramp_kimg"), MATCHED),
    "weighting.patience_kimg": MATCHED,
    **dict.fromkeys(("weighting.largest", "weighting.largest_share"), ADAPTIVE),
    **dict.fromkeys(("data.resolution", "data.path", "growth", "compute.channels_last"), FOLDER),
    **dict.fromkeys(("generator.family", "discriminator.family"), FOLDER),
    **dict.fromkeys(("data.augment.flip", "data.augment.crop", "data.augment.color"), FOLDER),
    **dict.fromkeys(("slopes.per_pixel", "consistency.policy"), FOLDER),
    "augmentation.name": {**FOLDER, **LABELLED, "augmentation.name": "diffaugment"},
    "augmentation.policy": {**FOLDER, "augmentation.name": "diffaugment"},
    "augmentation.p": {**FOLDER, "augmentation.name": "ada", "augmentation.p": 0.1},
    "augmentation.target": {**FOLDER, **LABELLED, "augmentation.name": "ada",
                            "augmentation.p": 0.1},
}  # fmt: skip


def other(path, value):
    """Another valid value for a field of the ring recipe."""
    if path in OTHER:
        return OTHER[path]
    if path.endswith("shape"):
        return "linear"
    if path.endswith("schedule.kimg"):
        return 5.0
    if path.endswith(("beta1", "beta2")):
        return 0.25
    if isinstance(value, bool):
        return not value
    return f"{value}x" if isinstance(value, str) else value + 1


PATHS = [path for path, _ in leaves(load("ring").to_dict())]


@pytest.mark.parametrize("path", PATHS)
def test_the_hash_covers_all_that_decides_a_run_and_nothing_else(path):
    beside = BESIDE.get(path, BESIDE.get(path.removeprefix("objective."), {}))
    recipe = load("ring").edit(beside)
    if path == "augmentation.name":
        change = {path: "ada", "augmentation.p": 0.1}
    else:
        change = {path: other(path, dict(leaves(recipe.to_dict()))[path])}
    edited = recipe.edit(change)
    assert edited != recipe
    decides = path not in {"name", "description", "seed"}
    assert (edited.content_hash() != recipe.content_hash()) == decides
    assert len(recipe.content_hash()) == 16


def test_hashes_of_changed_fields_differ_from_one_another():
    recipe = load("ring")
    alone = [path for path in PATHS if path not in BESIDE and not path.startswith("objective.")]
    decisive = [path for path in alone if path not in {"name", "description", "seed"}]
    values = dict(leaves(recipe.to_dict()))
    hashes = [recipe.edit({path: other(path, values[path])}).content_hash() for path in decisive]
    assert len(set(hashes)) == len(decisive) > 40


def test_values_at_their_defaults_do_not_enter_the_hash():
    recipe = load("ring")
    written = recipe.edit({"balance.discriminator_steps": 1, "noise.input.sigma": 0.0})
    assert written.content_hash() == recipe.content_hash() == "25da955c04128545"


def test_the_hash_is_the_same_however_a_number_is_written():
    recipe = load("ring")
    assert recipe.edit({"kimg": 768}).content_hash() == recipe.edit({"kimg": 768.0}).content_hash()
    reordered = recipe.edit({"penalties": dict(reversed(recipe.to_dict()["penalties"].items()))})
    assert reordered.content_hash() == recipe.content_hash()
