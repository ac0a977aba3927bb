"""Names in a recipe that no table knows, parts that do not fit, devices that are not there."""

import pytest
import torch
from training_scenario import small

from equipoise.errors import DataError, EquipoiseError, RecipeError
from equipoise.game import (
    ADA_PARTS,
    AUGMENTATIONS,
    CONSTRAINTS,
    INITIALIZERS,
    MINIBATCH_LAYERS,
    NORMALIZATIONS,
    OBJECTIVES,
    OPTIMIZERS,
    PENALTIES,
    WEIGHT_PENALTIES,
    WEIGHTINGS,
)
from equipoise.metrics import FAMILIES as METRICS
from equipoise.networks import FAMILIES as NETWORKS
from equipoise.recipe import load, preset_names
from equipoise.training import build, check_names, start
from equipoise.training.fits import ON_GENERATOR
from equipoise.training.terms import GENERATOR_PENALTIES, WEIGHED

MISSPELT = [
    ("data.kind", "ringg", "ring", {"ring", "grid", "digits", "folder"}),
    ("generator.family", "mpl", "mlp", NETWORKS),
    ("discriminator.family", "dgcan", "dcgan", NETWORKS),
    ("generator.normalization", "bach", "batch", [*NORMALIZATIONS, "spectral_exact"]),
    ("discriminator.normalization", "spectra", "spectral", [*NORMALIZATIONS, "spectral_exact"]),
    ("objective.name", "relativistc", "relativistic", OBJECTIVES),
    ("optimizer.generator.name", "adan", "adam", OPTIMIZERS),
    ("optimizer.discriminator.name", "Adam", "adam", OPTIMIZERS),
    ("evaluation.metrics", "mixtures", "mixture", METRICS),
    ("penalties", "r_1", "r1", [*PENALTIES, *WEIGHT_PENALTIES]),
    ("generator_penalties", "path_lenght", "path_length", GENERATOR_PENALTIES),
    ("generator.initializer", "othogonal", "orthogonal", [*INITIALIZERS, "fixup"]),
    ("discriminator.minibatch", "deviations", "deviation", MINIBATCH_LAYERS),
    ("constraint.name", "weight_clip", "weight_clipping", CONSTRAINTS),
    ("weighting.name", "adaptative", "adaptive", WEIGHTINGS),
    ("augmentation.name", "difaugment", "diffaugment", ["none", *AUGMENTATIONS]),
    ("consistency.policy", "flipp", "flip", ADA_PARTS),
]
BESIDE = {
    "generator_penalties": {"generator_penalties.path_lenght.gamma": 1.0},
    "constraint.name": {"constraint": "weight_clip"},
    "weighting.name": {"weighting": "adaptative", "feature_matching.gamma": 1.0},
}


@pytest.mark.parametrize(("path", "name", "meant", "choices"), MISSPELT)
def test_an_unknown_name_lists_the_choices_and_guesses(path, name, meant, choices, tmp_path):
    images = path.endswith("family") or path.split(".")[0] in ("augmentation", "consistency")
    base = small("digits") if images else small()
    values = {"evaluation.metrics": [name], "penalties": {name: {"gamma": 1.0}}}
    recipe = base.edit(BESIDE.get(path, {path: values.get(path, name)}))
    with pytest.raises(RecipeError) as caught:
        check_names(recipe)
    text = str(caught.value)
    assert f"unknown {path} {name!r}; did you mean {meant!r}?" in text
    assert f"(choices: {', '.join(sorted(choices))})" in text
    assert "\n" not in text
    with pytest.raises(RecipeError, match="did you mean"):
        start(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_names_what_exists(preset):
    check_names(load(preset))


@pytest.mark.parametrize(
    ("preset", "edit", "pattern"),
    [
        ("ring", {"evaluation.metrics": ["digits_cnn"]}, "it reads digits"),
        ("digits", {"evaluation.metrics": ["mixture"]}, "has no known modes"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_written(
    preset, edit, pattern, tmp_path
):
    with pytest.raises((RecipeError, DataError), match=pattern):
        start(small(preset).edit(edit), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_device_that_is_not_there_is_said(tmp_path):
    with pytest.raises(RecipeError, match=r"compute\.device = 'cuda' is not available here"):
        start(small(compute__device="cuda"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_there_is_said(tmp_path):
    recipe = small(
        "digits", data__kind="folder", data__path=str(tmp_path / "none"), data__resolution=8
    )
    with pytest.raises(EquipoiseError, match="none"):
        build(recipe)


@pytest.mark.parametrize("name", ["cr", "bcr"])
def test_a_consistency_penalty_without_a_transform_is_refused(name):
    recipe = load("digits").edit({f"penalties.{name}.gamma": 1.0})
    with pytest.raises(RecipeError, match=rf"penalties\.{name} .* set consistency\.policy"):
        check_names(recipe)
    check_names(recipe.edit({"consistency.policy": "flip"}))
    check_names(recipe.edit({f"penalties.{name}.gamma": 0.0}))


def test_what_may_be_on_the_generator_is_what_the_loop_knows():
    assert set(ON_GENERATOR) == set(GENERATOR_PENALTIES)
    assert set(WEIGHTINGS) == set(WEIGHED)


@pytest.mark.parametrize(
    ("preset", "growth", "words"),
    [
        ("digits", {"start": 4}, "cannot grow; use one of progressive"),
        ("digits", {"start": 8}, "nothing to grow"),
    ],
)
def test_growth_needs_players_that_grow_and_room_to_do_so(preset, growth, words):
    recipe = small(preset, growth={"stage_kimg": 1.0, "fade_kimg": 1.0, **growth})
    if growth["start"] == 8:
        family = {"generator.family": "progressive", "discriminator.family": "progressive"}
        recipe = recipe.edit({**family, "generator.normalization": "pixel"})
    with pytest.raises(RecipeError, match=words):
        build(recipe)
