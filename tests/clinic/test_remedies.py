# ruff: noqa: E501 - one case, one line
"""The taxonomy, the remedies, and that every edit fits every preset."""

import pytest
from clinic_scenarios import SURE, UNDIVERSE, run

from equipoise.clinic import FAILURES, REMEDIES, RULES, diagnose, prescribe, remedy
from equipoise.errors import RecipeError
from equipoise.recipe import load, preset_names
from equipoise.record import describe
from equipoise.training import check_names


@pytest.mark.parametrize("failure", FAILURES.values(), ids=lambda f: f.id)
def test_every_failure_is_told_in_words(failure):
    assert failure.meaning.endswith(".")
    assert failure.looks_like
    assert failure.confused_with
    assert FAILURES[failure.id] is failure


@pytest.mark.parametrize("remedy", REMEDIES.values(), ids=lambda r: r.id)
def test_every_remedy_treats_known_failures_and_says_why(remedy):
    assert remedy.treats
    assert set(remedy.treats) <= set(FAILURES)
    assert all(rank >= 1 for rank in remedy.treats.values())
    assert remedy.title
    assert remedy.code
    assert remedy.why
    watched = remedy.watch.replace("<player>", "generator")
    assert describe(watched) is not None, "the signal that must move is one of the catalogue"


@pytest.mark.parametrize("rule", RULES)
def test_every_failure_with_a_rule_has_a_remedy(rule):
    assert rule in FAILURES
    assert prescribe(rule)


@pytest.mark.parametrize("failure", sorted({f for r in REMEDIES.values() for f in r.treats}))
def test_no_two_remedies_of_a_failure_share_a_rank(failure):
    ranks = [r.treats[failure] for r in REMEDIES.values() if failure in r.treats]
    assert sorted(ranks) == list(range(1, len(ranks) + 1))


@pytest.mark.parametrize("failure", sorted(RULES))
def test_without_a_recipe_remedies_come_by_rank_with_code_alone(failure):
    given = prescribe(failure)
    ranks = [REMEDIES[p.remedy].treats[failure] for p in given]
    assert ranks == sorted(ranks)
    assert all(p.edit == {} and p.code for p in given)


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("name", REMEDIES)
def test_every_edit_gives_a_valid_recipe_that_differs_or_is_empty(name, preset):
    recipe = load(preset)
    for failure in REMEDIES[name].treats:
        given = {p.remedy: p for p in prescribe(failure, recipe.to_dict())}[name]
        if given.edit:
            assert recipe.edit(given.edit).content_hash() != recipe.content_hash()


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("name", REMEDIES)
def test_an_edit_is_refused_by_no_preset(name, preset):
    """What `prescribe` would quietly drop is a fault of the remedy on the shipped recipes."""
    recipe = load(preset)
    edit = REMEDIES[name].edit(recipe)
    edited = recipe.edit(edit) if edit else None
    assert edited is None or edited.content_hash() != recipe.content_hash()


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("failure", sorted(RULES))
def test_those_that_act_come_first_each_by_rank(failure, preset):
    given = prescribe(failure, load(preset).to_dict())
    acts = [bool(p.edit) for p in given]
    assert acts == sorted(acts, reverse=True)
    for group in (True, False):
        ranks = [REMEDIES[p.remedy].treats[failure] for p in given if bool(p.edit) == group]
        assert ranks == sorted(ranks)


def batch_normalized():
    off = {"penalties.r1.gamma": 0.0, "penalties.r2.gamma": 0.0}
    return load("digits").edit({"discriminator.normalization": "batch"} | off)


def test_no_gradient_penalty_edit_beside_batch_normalization():
    assert REMEDIES["gradient-penalty"].edit(batch_normalized()) == {}
    given = {p.remedy: p for p in prescribe("mode_collapse", batch_normalized().to_dict())}
    assert given["gradient-penalty"].edit == {}
    assert given["remove-batch-norm"].edit == {"discriminator.normalization": "none"}


def test_a_gradient_penalty_grows_tenfold_where_there_is_one():
    recipe = load("ring").edit({"penalties.r1.gamma": 0.05, "penalties.r2.gamma": 0.02})
    edit = REMEDIES["gradient-penalty"].edit(recipe)
    assert edit == {"penalties.r1.gamma": 0.5, "penalties.r2.gamma": 0.5}


def test_smoothing_is_prescribed_for_cross_entropy_alone():
    for name, fits in (("non_saturating", True), ("hinge", False), ("relativistic", False)):
        recipe = load("ring").edit({"objective.name": name})
        assert bool(REMEDIES["label-smoothing"].edit(recipe)) is fits


@pytest.mark.parametrize("recipe", [None, {}, {"name": "x"}, "text", {"penalties": 3}])
def test_a_recipe_that_cannot_be_read_leaves_the_code(recipe):
    assert all(p.edit == {} for p in prescribe("discriminator_dominance", recipe))


def test_a_diagnosis_carries_edits_for_the_recipe_of_its_run():
    recipe = load("ring")
    trace = run(SURE | UNDIVERSE, header={"recipe": recipe.to_dict()})
    first = diagnose(trace).findings[0].remedies[0]
    assert first.edit
    assert recipe.edit(first.edit) != recipe


def test_remedies_are_looked_up_by_name():
    assert remedy("spectral-norm").id == "spectral-norm"
    with pytest.raises(RecipeError, match="did you mean 'spectral-norm'"):
        remedy("spectral-nrom")


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("name", REMEDIES)
def test_an_edit_names_parts_that_exist(name, preset):
    recipe = load(preset)
    check_names(recipe.edit(REMEDIES[name].edit(recipe)))


CYCLED = {"optimizer.generator.beta1": 0.9, "optimizer.discriminator.beta1": 0.5}
GP = {"objective.name": "wasserstein", "penalties.wgan_gp.gamma": 1.0}
EDITS = [  # remedy, preset, what the recipe has, the edit
    ("lower-momentum", "ring", CYCLED, dict.fromkeys(CYCLED, 0.0)),
    ("lower-momentum", "ring", {}, {}),
    ("shorter-memory", "ring", {"optimizer.generator.beta2": 0.999}, {"optimizer.generator.beta2": 0.99}),
    ("average-weights", "ring", {"ema.half_life_kimg": None}, {"ema.half_life_kimg": 10.0}),
    ("average-weights", "ring", {}, {}),
    ("larger-batch", "digits", {}, {"batch": 256}),
    ("extragradient", "digits-sick", {}, {}),
    ("extragradient", "ring", {}, {"balance.order": "extragradient"}),
    ("two-time-scales", "digits", {}, {"optimizer.generator.lr": 5e-4}),
    ("two-time-scales", "digits-sick", {}, {}),
    ("weaker-penalty", "digits", {}, {"penalties.r1.gamma": 0.03, "penalties.r2.gamma": 0.03}),
    ("weaker-penalty", "digits-sick", {}, {}),
    ("annealed-penalty", "ring", {}, {}),
    ("adaptive-augmentation", "ring", {}, {}),
    ("adaptive-augmentation", "digits", {}, {"augmentation.name": "ada", "augmentation.policy": None, "augmentation.target": 0.6}),
    ("adaptive-augmentation", "digits", {"objective.name": "relativistic"}, {"augmentation.name": "ada", "augmentation.policy": None, "augmentation.p": 0.3}),
    ("differentiable-augmentation", "digits", {"augmentation.name": "diffaugment"}, {}),
    ("lecam-regularization", "ring", {}, {}),
    ("lecam-regularization", "digits", {"penalties.lecam.gamma": 0.3}, {}),
    ("instance-noise", "digits", {"noise.input.sigma": 0.1}, {}),
    ("unrolled-discriminator", "digits", {"balance.unroll": {"steps": 1, "lr": 0.1}}, {}),
    ("minibatch-deviation", "digits", {"discriminator.minibatch": "deviation"}, {}),
    ("packing", "digits", {}, {"discriminator.pack": 2}),
    ("packing", "digits", {"discriminator.pack": 4}, {}),
    ("wider-latent", "ring", {}, {}),
    ("wider-latent", "digits", {}, {"generator.z_dim": 64}),
    ("layer-norm", "digits", {}, {}),
    ("narrower-discriminator", "digits", {"discriminator.width": 15}, {}),
    ("simplify-players", "digits", {}, {"generator.width": 8, "discriminator.width": 8}),
    ("per-sample-penalty", "digits", {}, {}),
    ("per-sample-penalty", "digits", GP, {"penalties.wgan_gp.gamma": 10.0}),
    ("wasserstein-penalty", "digits", GP, {}),
    ("drift-term", "digits", {}, {"penalties.drift.gamma": 1e-3}),
    ("drift-term", "digits", {"penalties.drift.gamma": 1e-3}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "preset", "has", "edit"), EDITS)
def test_an_edit_has_a_direction_and_a_size_and_is_empty_where_it_does_not_apply(
    name, preset, has, edit
):
    assert REMEDIES[name].edit(load(preset).edit(has)) == pytest.approx(edit)


def test_gamma_is_turned_up_against_a_lead_and_down_against_a_flat_discriminator():
    up = prescribe("discriminator_dominance", load("digits").to_dict())[0].edit
    assert up["penalties.r1.gamma"] == pytest.approx(3.0)
    down = {p.remedy: p for p in prescribe("generator_dominance", load("digits").to_dict())}
    assert down["weaker-penalty"].edit["penalties.r1.gamma"] == pytest.approx(0.03)
