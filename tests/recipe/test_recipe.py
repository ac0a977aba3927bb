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


CONTRADICTIONS = {
    "_batch_norm_with_gradient_penalty": [
        ("digits", {"discriminator.normalization": "batch"}, "gradient"),
        (
            "digits",
            {"discriminator.normalization": "batch", "penalties": {"r2": {"gamma": 1}}},
            "penalties.r2.gamma",
        ),
    ],
    "_smoothing_undefined": [
        ("ring", {"objective": {"name": name, "label_smoothing": 0.1}}, words)
        for name, words in (("hinge", "margins"), ("wasserstein", "no labels"))
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
    ],
    "_primary_is_measured": [("ring", {"evaluation.metrics": []}, "never measured")],
    "_exponential_to_zero": [
        ("ring", {f"{path}.schedule": {"shape": "exponential", **ends}}, "never reaches 0")
        for path in ("penalties.r1", "optimizer.generator", "optimizer.discriminator")
        for ends in ({"end": 0.0}, {"start": 0.0})
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
    "data.kind": "grid", "data.channels": 3, "generator.normalization": "layer",
    "discriminator.normalization": "layer", "objective.name": "hinge", "compute.device": "auto",
    "compute.precision": "bf16-mixed", "evaluation.metrics": ["mixture", "x"],
    "evaluation.primary": "modes", "generator.family": None, "discriminator.family": None,
    "data.path": None, "data.resolution": None, "objective.label_smoothing": None,
    "data.augment.flip": None, "data.augment.crop": None, "data.augment.color": None,
    "optimizer.generator.name": "sgd", "optimizer.discriminator.name": "sgd",
}  # fmt: skip


def other(path, value):
    """Another valid value for a field of the ring recipe, None where each contradicts something."""
    if path in OTHER:
        return OTHER[path]
    if path.endswith("shape"):
        return "linear"
    if path.endswith("schedule.kimg"):
        return 5.0
    if path.endswith(("beta1", "beta2")):
        return 0.25
    return f"{value}x" if isinstance(value, str) else value + 1


def test_the_hash_covers_all_that_decides_a_run_and_nothing_else():
    recipe = load("ring")
    seen = {recipe.content_hash()}
    for path, value in leaves(recipe.to_dict()):
        changed = other(path, value)
        if changed is None:
            continue
        edited = recipe.edit({path: changed})
        assert edited != recipe, path
        decides = path not in {"name", "description", "seed"}
        assert (edited.content_hash() not in seen) == decides, path
        seen.add(edited.content_hash())
    assert len(recipe.content_hash()) == 16


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


def test_augmentation_of_reals_is_warned_of():
    assert load("digits").warnings() == ()
    (line,) = load("digits").edit({"data.augment.crop": 1}).warnings()
    assert "leak" in line


def test_an_endless_budget_is_refused():
    with pytest.raises(RecipeError, match="kimg = inf"):
        load("ring").edit({"kimg": float("inf")})


def test_the_tables_of_a_recipe_are_frozen_too():
    with pytest.raises(TypeError):
        load("ring").penalties["r1"] = None
