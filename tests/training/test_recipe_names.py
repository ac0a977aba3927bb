"""Names in a recipe that no table knows, parts that do not fit, devices that are not there."""

import pytest
import torch
from training_scenario import small

from equipoise.errors import DataError, EquipoiseError, RecipeError
from equipoise.game import NORMALIZATIONS, OBJECTIVES, OPTIMIZERS, PENALTIES
from equipoise.metrics import FAMILIES as METRICS
from equipoise.networks import FAMILIES as NETWORKS
from equipoise.recipe import load, preset_names
from equipoise.training import build, check_names, start

MISSPELT = [
    ("data.kind", "ringg", "ring", {"ring", "grid", "digits", "folder"}),
    ("generator.family", "mpl", "mlp", NETWORKS),
    ("discriminator.family", "dgcan", "dcgan", NETWORKS),
    ("generator.normalization", "bach", "batch", NORMALIZATIONS),
    ("discriminator.normalization", "spectra", "spectral", NORMALIZATIONS),
    ("objective.name", "relativistc", "relativistic", OBJECTIVES),
    ("optimizer.generator.name", "adan", "adam", OPTIMIZERS),
    ("optimizer.discriminator.name", "Adam", "adam", OPTIMIZERS),
    ("evaluation.metrics", "mixtures", "mixture", METRICS),
    ("penalties", "r_1", "r1", PENALTIES),
]


@pytest.mark.parametrize(("path", "name", "meant", "choices"), MISSPELT)
def test_an_unknown_name_lists_the_choices_and_guesses(path, name, meant, choices, tmp_path):
    base = small("digits") if path.endswith("family") else small()
    values = {"evaluation.metrics": [name], "penalties": {name: {"gamma": 1.0}}}
    recipe = base.edit({path: values.get(path, name)})
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


@pytest.mark.parametrize(("name", "lacks"), [("lecam", "lecam"), ("bcr", "augment")])
def test_a_penalty_that_recipes_cannot_feed_is_refused(name, lacks):
    with pytest.raises(RecipeError, match=rf"penalties.{name} needs {lacks}.*PENALTIES"):
        check_names(load("digits").edit({f"penalties.{name}.gamma": 1.0}))
