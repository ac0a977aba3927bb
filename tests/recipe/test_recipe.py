"""Recipes: what is refused and with which words, edits, hashes, arithmetic."""

import copy
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from equipoise.errors import RecipeError
from equipoise.recipe import Recipe, Schedule, difference, load, preset_names
from equipoise.recipe.contradictions import CHECKS
from equipoise.recipe.warnings import WARNINGS

POSITIVE = st.floats(1e-9, 1e9)
SHAPES = st.sampled_from(["constant", "linear", "cosine", "exponential"])
FIELDS = {
    "name": st.text(max_size=8),
    "description": st.text(max_size=8),
    "seed": st.integers(0, 2**63 - 1),
    "batch": st.integers(2, 10**6),
    "kimg": POSITIVE,
    "generator.width": st.integers(1, 4096),
    "generator.z_dim": st.integers(1, 512),
    "objective": st.sampled_from(["hinge", "non_saturating"]).map(lambda name: {"name": name}),
    "optimizer.generator.lr": POSITIVE,
    "optimizer.discriminator.beta1": st.floats(0, 0.999),
    "optimizer.discriminator.schedule": st.fixed_dictionaries({"shape": SHAPES, "end": POSITIVE}),
    "penalties.r1.gamma": POSITIVE,
    "penalties.new.schedule.shape": SHAPES,
    "balance.discriminator_steps": st.integers(1, 9),
    "ema.half_life_kimg": st.none() | POSITIVE,
    "evaluation.samples": st.integers(16, 10**6),
    "compute.device": st.sampled_from(["auto", "cpu", "cuda", "mps"]),
}
EDITS = st.fixed_dictionaries({}, optional=FIELDS)
PRESETS = st.sampled_from(preset_names())


@given(PRESETS, EDITS, EDITS)
@settings(max_examples=100, deadline=None)
def test_the_difference_of_two_recipes_turns_one_into_the_other(name, some, others):
    old = load(name).edit(some)
    new = old.edit(others)
    changes = difference(old.to_dict(), new.to_dict())
    assert old.edit(changes) == new
    assert difference(new.to_dict(), new.to_dict()) == {}


@given(PRESETS, EDITS)
@settings(max_examples=50, deadline=None)
def test_an_edit_leaves_the_original_as_it_was(name, changes):
    recipe = load(name)
    before = copy.deepcopy(recipe.to_dict())
    recipe.edit(changes)
    assert recipe.to_dict() == before


def test_an_edit_may_make_an_entry_of_a_table():
    recipe = load("ring").edit({"penalties.packing.gamma": 2})
    assert recipe.penalties["packing"].gamma == 2
    assert set(recipe.penalties) == {"r1", "r2", "packing"}


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        load("ring").kimg = 3


REFUSED = [
    ({"optimizer.discriminator.lr": -1}, ["optimizer.discriminator.lr = -1", "greater than 0"]),
    ({"optimizer.discriminator.lr": 0}, ["greater than 0"]),
    ({"optimizer.discrminator.lr": 1}, ["did you mean 'discriminator'", "fields here"]),
    ({"optimizr": 1}, ["did you mean 'optimizer'"]),
    ({"penalties.r1.gama": 1}, ["penalties.r1.gama", "did you mean 'gamma'"]),
    ({"penalties.r1": {"gama": 1}}, ["did you mean 'gamma'"]),
    ({"penalties.r1": 3}, ["penalties.r1 = 3"]),
    ({"kimg.x": 1}, ["'kimg' is a single value", "set it whole"]),
    ({"kimg": float("nan")}, ["kimg = nan"]),
    ({"batch": 64.5}, ["batch = 64.5", "integer"]),
    ({"batch": 1}, ["batch = 1", "greater than or equal to 2"]),
    ({"seed": -1}, ["seed = -1"]),
    ({"seed": 2**63}, ["less than"]),
    ({"compute.device": "tpu"}, ["'auto', 'cpu', 'cuda' or 'mps'"]),
    ({"optimizer.generator.beta1": 1.0}, ["less than 1"]),
    ({"objective.label_smoothing": 0.5}, ["less than 0.5"]),
    ({"penalties.r1.schedule.shape": "square"}, ["'exponential'"]),
    ({"penalties.r1.schedule.start": float("inf")}, ["finite"]),
    ({"data": "ring"}, ["data = 'ring'"]),
    ({"": 1}, ["unknown key ''"]),
    ({"batch": 1, "seed": -1}, ["batch = 1", "seed = -1"]),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_refused_is_said_in_one_line_with_path_value_and_rule(changes, words):
    with pytest.raises(RecipeError) as error:
        load("ring").edit(changes)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


def test_fields_that_are_missing_are_all_named():
    with pytest.raises(RecipeError, match=r"'data' is missing.*'objective' is missing"):
        Recipe(name="x")


GROWTH = {"start": 4, "stage_kimg": 1.0, "fade_kimg": 1.0}
ADA = {"augmentation.name": "ada", "augmentation.p": 0.5}
CONTRADICTIONS = {
    "_batch_norm_with_gradient_penalty": [
        ("digits", {"discriminator.normalization": "batch"}, "gradient"),
        (
            "digits",
            {"discriminator.normalization": "batch", "penalties": {"r2": {"gamma": 1}}},
            "penalties.r2.gamma",
        ),
    ],
    "_equalized_draws_its_own_weights": [
        (
            "ring",
            {"generator.equalized": True, "generator.normalization": "spectral"},
            "divides the scale out",
        ),
        (
            "ring",
            {"discriminator.equalized": True, "discriminator.initializer": "he"},
            "discriminator.initializer = 'he'",
        ),
    ],
    "_packs_are_whole": [
        ("ring", {"discriminator.pack": 3}, "2 whole packs"),
        ("ring", {"discriminator.pack": 128}, "2 whole packs"),
        ("ring", {"discriminator.pack": 4, "accumulate": 32}, "in 32 parts"),
    ],
    "_groups_are_whole": [
        ("digits", {"discriminator.minibatch": "deviation", "batch": 66}, "66 judgements"),
        (
            "digits",
            {"discriminator.minibatch": "deviation", "discriminator.pack": 2, "batch": 60},
            "30 judgements",
        ),
    ],
    "_clipping_reaches_the_weights": [
        (
            "ring",
            {"constraint": "weight_clipping", "discriminator.normalization": "spectral"},
            "normalization = 'spectral'",
        ),
        (
            "ring",
            {"constraint": "weight_clipping", "discriminator.equalized": True},
            "discriminator.equalized",
        ),
    ],
    "_growth_starts_small": [
        ("images", {"growth": {**GROWTH, "start": 12}}, "sizes are 4, 8, 16"),
        ("images", {"growth": {**GROWTH, "start": 32}}, "nothing to grow"),
    ],
    "_smoothing_undefined": [
        ("ring", {"objective": {"name": name, field: 0.1}}, words)
        for field in ("label_smoothing", "fake_smoothing", "label_flip")
        for name, words in (("hinge", "margins"), ("wasserstein", "no labels"))
    ],
    "_labels_are_of_least_squares": [
        ("ring", {"objective": {"name": "hinge", "labels": [0, 1, 1]}}, "only 'least_squares'"),
        ("ring", {"objective": {"name": "least_squares", "labels": [1, 1, 1]}}, "are equal"),
    ],
    "_sign_needs_a_zero": [
        ("digits", {**ADA, "augmentation.target": 0.6, "objective.name": name}, "shifted at will")
        for name in ("wasserstein", "relativistic")
    ]
    + [
        ("ring", {"pseudo_real.target": 0.6}, "pseudo_real.target"),
        ("ring", {"balance.hold": {"signal": "r_t", "low": -1, "high": 1}}, "'r_t'"),
    ],
    "_augmentation_is_whole": [
        ("digits", {"augmentation.name": "ada"}, "needs a strength"),
        ("digits", {"augmentation.name": "diffaugment", "augmentation.p": 0.5}, "of 'ada'"),
        ("digits", {"augmentation.target": 0.6}, "of 'ada', not of 'none'"),
        ("digits", {"augmentation.policy": "flip"}, "without augmentation.name"),
    ],
    "_weighting_needs_another_term": [
        ("ring", {"weighting": "adaptive"}, "set feature_matching.gamma"),
        ("ring", {"feature_matching.gamma": 1, "weighting.largest": 10}, "not 'fixed'"),
        (
            "ring",
            {"feature_matching.gamma": 1, "weighting": {"name": "balancer", "weight": 0}},
            "leave the game out",
        ),
    ],
    "_folder_needs_path": [
        ("digits", {"data.kind": "folder"}, "--data PATH"),
        ("digits", {"data.path": "images"}, "only read by"),
        ("digits", {"data.resolution": 32}, "own size"),
    ],
    "_points_are_not_images": [
        ("ring", {"generator.family": "dcgan"}, "generator.family"),
        ("ring", {"discriminator.family": "dcgan"}, "discriminator.family"),
        ("grid", {"data.augment.flip": True}, "points"),
        ("grid", {"growth": GROWTH}, "growth is about images"),
        ("grid", ADA, "augmentation.name = 'ada'"),
        ("grid", {"consistency.policy": "flip"}, "consistency.policy = 'flip'"),
        ("grid", {"compute.channels_last": True}, "compute.channels_last"),
        ("grid", {"slopes.per_pixel": True}, "slopes.per_pixel"),
    ],
    "_primary_is_measured": [("ring", {"evaluation.metrics": []}, "never measured")],
    "_exponential_to_zero": [
        ("ring", {f"{path}.schedule": {"shape": "exponential", **ends}}, "never reaches 0")
        for path in (
            "penalties.r1",
            "generator_penalties.orthogonal",
            "optimizer.generator",
            "optimizer.discriminator",
            "noise.input",
            "noise.latent",
        )
        for ends in ({"end": 0.0}, {"start": 0.0})
    ],
    "_negative_momentum": [
        ("ring", {"optimizer.generator.beta1": -0.5}, "set the name to 'sgd'"),
        (
            "ring",
            {"optimizer.generator.switch": {"kimg": 1, "name": "adamw", "beta1": -0.1}},
            "optimizer.generator.switch.beta1 = -0.1",
        ),
    ],
    "_second_moment": [
        (
            "ring",
            {
                "optimizer.generator.name": "sgd",
                "optimizer.generator.beta2_burn_in": {"start": 0.9, "kimg": 1},
            },
            "'sgd' has none",
        ),
        ("ring", {"optimizer.discriminator.beta2_burn_in": {"start": 2, "kimg": 1}}, "below 1"),
    ],
    "_half_life_of_nothing": [
        ("ring", {"ema.half_life_kimg": None, "ema.rampup": 0.05}, "need an average"),
    ],
    "_one_round": [
        (
            "ring",
            {"balance.order": "extragradient", "balance.discriminator_steps": 2},
            "discriminator_steps = 2",
        ),
        (
            "ring",
            {"balance.order": "simultaneous", "balance.hold": {"low": 0.4, "high": 0.8}},
            "balance.hold",
        ),
    ],
    "_consensus_is_simultaneous": [
        ("ring", {"balance.consensus": 1.0}, "balance.order = 'alternating'"),
        ("ring", {"balance.consensus": 1.0, "balance.order": "extragradient"}, "extragradient"),
        (
            "ring",
            {
                "balance.consensus": 1.0,
                "balance.order": "simultaneous",
                "balance.unroll": {"lr": 0.1},
            },
            "balance.unroll",
        ),
    ],
    "_half_precision_steps_once": [
        (
            "ring",
            {"compute.precision": "16-mixed", "balance.order": "extragradient"},
            "use 'bf16-mixed'",
        ),
    ],
    "_accumulated_parts_are_apart": [
        ("ring", {"accumulate": 3}, "whole parts"),
        ("ring", {"accumulate": 128}, "parts of 2"),
        ("digits", {"accumulate": 2}, "generator.normalization = 'batch'"),
        ("ring", {"accumulate": 2, "objective": "relativistic_average"}, "relativistic_average"),
        ("ring", {"accumulate": 2, "balance.top_k": {"epoch_kimg": 1}}, "balance.top_k"),
        ("ring", {"accumulate": 2, "feature_matching.gamma": 1}, "feature_matching"),
    ],
    "_compiled_once": [
        ("ring", {"compute.compile": ["discriminator"]}, "penalties.r1"),
        (
            "ring",
            {"compute.compile": ["generator"], "generator_penalties.path_length.gamma": 1},
            "path_length",
        ),
        ("ring", {"compute.compile": ["generator"], "noise.hidden.sigma": 1}, "noise.hidden"),
    ],
    "_hold_has_a_band": [
        ("ring", {"balance.hold": {"low": 0.8, "high": 0.8}}, "low must be below high"),
    ],
}
CASES = [(check, *case) for check, cases in CONTRADICTIONS.items() for case in cases]


def test_every_contradiction_has_a_case():
    assert set(CONTRADICTIONS) == {check.__name__ for check in CHECKS}


@pytest.mark.parametrize(("check", "name", "changes", "words"), CASES)
def test_contradictions_are_refused_with_the_reason(check, name, changes, words):
    with pytest.raises(RecipeError, match="recipe") as error:
        load(name).edit(changes)
    assert words in str(error.value)
    assert [c(load(name)) for c in CHECKS if c.__name__ == check] == [None]


ALLOWED = [
    ("digits", {"discriminator.normalization": "batch", "penalties": {"r1": {"gamma": 0}}}),
    ("digits", {"objective.label_smoothing": 0.1}),
    ("digits", {**ADA, "augmentation.target": 0.6}),
    ("digits", {"augmentation.name": "diffaugment", "augmentation.policy": "color"}),
    ("digits", {"discriminator.minibatch": "deviation"}),
    ("ring", {"discriminator.pack": 4, "accumulate": 16, "batch": 128}),
    ("ring", {"compute.compile": ["generator"]}),
    ("ring", {"optimizer.generator": {"name": "sgd", "beta1": -0.5}}),
    ("ring", {"balance.consensus": 1.0, "balance.order": "simultaneous"}),
    ("ring", {"weighting": "adaptive", "feature_matching.gamma": 1.0}),
    ("images", {"growth": {"start": 8, "stage_kimg": 1.0, "fade_kimg": 1.0}}),
    ("digits", {"data": {"kind": "folder", "path": "images", "resolution": 32}}),
    ("ring", {"evaluation.metrics": [], "evaluation.primary": None}),
]


@pytest.mark.parametrize(("name", "changes"), ALLOWED)
def test_what_only_resembles_a_contradiction_is_allowed(name, changes):
    assert load(name).edit(changes) != load(name)


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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


@pytest.mark.parametrize(
    ("batch", "steps", "kimg", "iterations"),
    [
        (128, 1, 768, 6000),
        (64, 1, 96, 1500),
        (64, 5, 0.32, 1),
        (64, 5, 0.321, 2),
        (100, 1, 0.3, 3),
        (3, 1, 0.1, 34),
        (64, 1, 1e-9, 1),
    ],
)
def test_the_budget_pays_for_whole_iterations(batch, steps, kimg, iterations):
    changes = {"batch": batch, "balance.discriminator_steps": steps, "kimg": kimg}
    recipe = load("ring").edit(changes)
    assert recipe.images_per_iteration == batch * steps
    assert recipe.iterations == iterations


@given(st.integers(2, 4096), st.integers(1, 8), st.integers(1, 10**9))
def test_iterations_are_the_fewest_that_show_the_budget(batch, steps, images):
    changes = {"batch": batch, "balance.discriminator_steps": steps, "kimg": images / 1000}
    recipe = load("ring").edit(changes)
    shown = recipe.iterations * recipe.images_per_iteration
    assert shown >= images > shown - recipe.images_per_iteration


def test_a_schedule_has_a_shape_two_ends_and_a_length():
    assert Schedule().model_dump() == {"shape": "constant", "start": 1.0, "end": 1.0, "kimg": None}
    holders = ("penalties.r1", "optimizer.generator", "optimizer.discriminator")
    for holder, shape in itertools.product(holders, ("linear", "cosine", "exponential")):
        schedule = {"shape": shape, "start": 0.5, "end": 0.1, "kimg": 3.0}
        recipe = load("ring").edit({f"{holder}.schedule": schedule})
        assert dict(leaves(recipe.to_dict()))[f"{holder}.schedule.shape"] == shape
        assert dict(leaves(recipe.to_dict()))[f"{holder}.schedule.end"] == 0.1
    for wrong in ({"start": -1}, {"end": -1}, {"kimg": 0}, {"length": 3}):
        with pytest.raises(RecipeError, match="schedule"):
            load("ring").edit({"penalties.r1.schedule": wrong})


WARNED = {
    "_reals_alone": ("digits", {"data.augment.crop": 1}, "leak"),
    "_lazy_on_small_data": ("ring", {"penalties.r1.every": 8}, "fail wholly on 25 Gaussians"),
    "_strong_ada": ("digits", {"augmentation": {"name": "ada", "p": 0.9}}, "above about 0.8"),
    "_switch_after_the_end": (
        "ring",
        {"optimizer.generator.switch": {"kimg": 1e6, "name": "sgd"}},
        "never happens",
    ),
}


def test_every_warning_has_a_case():
    assert set(WARNED) == {warn.__name__ for warn in WARNINGS}


@pytest.mark.parametrize("name", WARNED)
def test_what_is_likely_to_hurt_is_warned_of(name):
    preset, changes, words = WARNED[name]
    assert load(preset).warnings() == ()
    (line,) = load(preset).edit(changes).warnings()
    assert words in line


def test_an_endless_budget_is_refused():
    with pytest.raises(RecipeError, match="kimg = inf"):
        load("ring").edit({"kimg": float("inf")})


def test_the_tables_of_a_recipe_are_frozen_too():
    with pytest.raises(TypeError):
        load("ring").penalties["r1"] = None
