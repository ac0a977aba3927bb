"""Recipes: what is refused and with which words, edits, hashes, arithmetic."""

import copy
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from recipe_leaves import leaves

from equipoise.errors import RecipeError
from equipoise.recipe import Recipe, Schedule, difference, load, preset_names
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
