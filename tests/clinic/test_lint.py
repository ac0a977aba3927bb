"""What a recipe sets that limits its samples."""

import numpy as np
import pytest
from clinic_scenarios import READINGS, run

from equipoise.clinic import diagnose
from equipoise.recipe import load

LOW = {"metric/coverage_digits_cnn": np.full(READINGS, 0.2)}
FADES = {"shape": "linear", "start": 1.0, "end": 0.0, "kimg": None}
CURRICULUM = {"start": 0.3, "kimg": 1e4}
ADA = {"augmentation.name": "ada", "augmentation.p": 1.0}

SICK = [
    ("mode_collapse", {"data.curriculum": CURRICULUM}, "opened 30%", {"data.curriculum": None}),
    (
        "data_range_mismatch",
        {"data.augment.color": 0.5},
        "color = 0.5",
        {"data.augment.color": 0.0},
    ),
    (
        "mode_collapse",
        {"evaluation.truncation": 0.3},
        "truncation = 0.3",
        {"evaluation.truncation": None},
    ),
    ("data_range_mismatch", {"data.augment.crop": 2}, "crop = 2", {"data.augment.crop": 0}),
    ("data_range_mismatch", ADA, "p = 1", {"augmentation.p": 0.3}),
    ("stagnation", {"noise.input.sigma": 0.3}, "sigma 0.3", {"noise.input.sigma": 0.1}),
]
WELL = [
    {"data.curriculum": {"start": 0.3, "kimg": 20.0}},
    {"data.augment.flip": True},
    {"augmentation.name": "ada", "augmentation.p": 0.5},
    {"augmentation.name": "diffaugment"},
    {"noise.input.sigma": 0.3, "noise.input.schedule": FADES},
    {"noise.input.sigma": 0.05},
    {"evaluation.truncation": 1.0},
]


def played(edit, columns=LOW, share=1.0):
    recipe = load("digits").edit({"kimg": 64.0, **edit})
    trace = run(columns)
    header = {"recipe": recipe.model_dump(), "budget_steps": trace.last_step / share}
    return run(columns, header=header)


def lints(trace):
    found = diagnose(trace).findings
    return [f for f in found if f.evidence[0].signal.startswith("recipe/")]


@pytest.mark.parametrize(("failure", "edit", "said", "remedy"), SICK)
def test_a_setting_that_limits_is_blamed_and_its_remedy_comes_first(failure, edit, said, remedy):
    (finding,) = lints(played(edit))
    assert (finding.failure, finding.confidence, finding.since) == (failure, 0.97, 0)
    assert said in finding.summary
    assert remedy.items() <= finding.remedies[0].edit.items()


@pytest.mark.parametrize("edit", WELL)
def test_a_setting_that_is_usual_is_not(edit):
    assert lints(played(edit)) == []


@pytest.mark.parametrize(("failure", "edit", "said", "remedy"), SICK)
def test_good_samples_excuse_all_but_data_that_is_never_shown(failure, edit, said, remedy):
    good = {"metric/coverage_digits_cnn": np.full(READINGS, 0.9)}
    assert bool(lints(played(edit, good))) == ("data.curriculum" in edit)


@pytest.mark.parametrize(("failure", "edit", "said", "remedy"), SICK)
def test_while_the_run_goes_on_nothing_is_said(failure, edit, said, remedy):
    assert lints(played(edit, share=0.5)) == []
