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

OFF = {"penalties.r1.gamma": 0.0, "penalties.r2.gamma": 0.0}
HEAVY = {"optimizer.generator.beta1": 0.9, "optimizer.discriminator.beta1": 0.9}
FAST = {"optimizer.generator.lr": 0.02, "optimizer.discriminator.lr": 0.02}
CLIPPED = {**OFF, "objective.name": "wasserstein", "constraint.bound": 0.01}
TOP = {"balance.top_k.floor": 0.1, "balance.top_k.epoch_kimg": 1.0}
PLAYERS = {"parameters/generator": 10_000, "parameters/discriminator": 10_000}

# failure, edit, what is said, an edit of the first remedy (None: it has none)
SICK = [
    ("mode_collapse", {"data.curriculum": CURRICULUM}, "opened 30%", {"data.curriculum": None}),
    ("mode_collapse", {"evaluation.truncation": 0.3}, "0.3", {"evaluation.truncation": None}),
    ("mode_collapse", {"generator.z_dim": 2}, "surface", None),
    ("divergence", {**OFF, "objective.name": "wasserstein"}, "Nothing holds the critic", None),
    ("vanishing_gradient", CLIPPED, "pinned", None),
    ("divergence", FAST, "0.02 or more", {"optimizer.generator.lr": 0.005}),
    ("discriminator_dominance", OFF | {"optimizer.discriminator.lr": 0.02}, "10 times", None),
    ("generator_dominance", {"optimizer.discriminator.lr": 1e-4}, "20 times", None),
    ("discriminator_dominance", OFF | {"balance.discriminator_steps": 8}, "8 times", None),
    ("gradient_noise", {"batch": 4}, "gradient of 4 samples", {"batch": 16}),
    ("stagnation", {"objective.label_flip": 0.35}, "30% of the loss's pull", None),
    ("data_range_mismatch", {"data.augment.color": 0.5}, "0.5", {"data.augment.color": 0.0}),
    ("data_range_mismatch", {"data.augment.crop": 2}, "crop = 2", {"data.augment.crop": 0}),
    ("data_range_mismatch", ADA, "p = 1", {"augmentation.p": 0.3}),
    ("stagnation", {"noise.input.sigma": 0.3}, "sigma 0.3", {"noise.input.sigma": 0.1}),
    ("stagnation", {"generator.dropout": 0.7}, "70% of its units", None),
    ("generator_dominance", {"discriminator.dropout": 0.8}, "80% of its units", None),
    ("mode_collapse", TOP, "best 10%", None),
    ("oscillation", OFF | HEAVY, "beta1 = 0.9", None),
]
WELL = [
    {},
    OFF,
    HEAVY,
    {"data.curriculum": {"start": 0.3, "kimg": 20.0}},
    {"evaluation.truncation": 1.0},
    {"objective.name": "wasserstein", "penalties.wgan_gp.gamma": 10.0},
    {"optimizer.discriminator.lr": 4e-3, **OFF},
    {"balance.discriminator_steps": 8},
    {"optimizer.generator.lr": 5e-4},
    {"batch": 16},
    {"objective.label_flip": 0.1},
    {"data.augment.flip": True},
    {"augmentation.name": "ada", "augmentation.p": 0.5},
    {"augmentation.name": "diffaugment"},
    {"noise.input.sigma": 0.3, "noise.input.schedule": FADES},
    {"noise.input.sigma": 0.05},
    {"generator.dropout": 0.5, "discriminator.dropout": 0.5},
    {"balance.top_k.floor": 0.5, "balance.top_k.epoch_kimg": 1.0},
]


def played(edit, columns=LOW, share=1.0, facts=PLAYERS):
    recipe = load("digits").edit({"kimg": 64.0, **edit})
    pinned = {"parameter_norm/discriminator": np.full(READINGS, 0.8 * 0.01 * 100)}
    trace = run(columns)
    header = {"recipe": recipe.model_dump(), "budget_steps": trace.last_step / share}
    return run({**columns, **pinned}, header=header, facts=facts)


def lints(trace):
    found = diagnose(trace).findings
    return [f for f in found if f.evidence[0].signal.startswith("recipe/")]


@pytest.mark.parametrize(("failure", "edit", "said", "remedy"), SICK)
def test_a_setting_that_limits_is_blamed_and_its_remedy_comes_first(failure, edit, said, remedy):
    (finding,) = lints(played(edit))
    assert finding.failure == failure
    assert finding.confidence >= 0.9
    assert finding.since == 0
    assert said in finding.summary
    if remedy is not None:
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


@pytest.mark.parametrize(
    ("counts", "failure"),
    [
        ((1_000, 30_000), "stagnation"),
        ((30_000, 500), "generator_dominance"),
        ((1_000, 15_000), None),
    ],
)
def test_a_player_of_a_fraction_of_the_others_size_is_blamed(counts, failure):
    facts = dict(zip(PLAYERS, counts, strict=True))
    assert [f.failure for f in lints(played({}, facts=facts))] == ([failure] if failure else [])


def test_the_first_cause_speaks_alone():
    (finding,) = lints(played({"noise.input.sigma": 0.3, "data.curriculum": CURRICULUM}))
    assert finding.failure == "mode_collapse"


def test_a_log_without_a_recipe_has_no_lint():
    assert lints(run(LOW, header={"budget_steps": 10})) == []
    assert lints(run(LOW, header={"budget_steps": 10, "recipe": {"objective": "x"}})) == []
