"""What a trial refuses to be, and how an arm is written."""

import pytest

from equipoise.clinic import REMEDIES
from equipoise.errors import RecipeError
from equipoise.recipe import load
from equipoise.trial import Arm, fewest_seeds, parse_arm, plan

RING, DIGITS, SICK = load("ring"), load("digits"), load("digits-sick")
LR = Arm("lr", {"optimizer.generator.lr": 1e-4})


def test_a_plan_holds_what_was_fixed():
    design = plan(RING, [LR], range(5), minimal_effect=0.01)
    assert design.baseline == RING
    assert design.arms == (LR,)
    assert design.seeds == (0, 1, 2, 3, 4)
    assert (design.metric, design.better, design.minimal_effect) == ("mode_kl", "lower", 0.01)


@pytest.mark.parametrize(
    ("baseline", "metric", "better"),
    [
        (RING, "high_quality", "higher"),
        (RING, "modes", "higher"),
        (DIGITS, None, "lower"),
        (DIGITS, "recall_digits_cnn", "higher"),
    ],
)
def test_the_direction_is_the_catalogues(baseline, metric, better):
    design = plan(baseline, [LR], range(5), metric)
    assert design.metric == (metric or "frechet_digits_cnn")
    assert design.better == better


@pytest.mark.parametrize(
    ("arms", "pattern"),
    [
        ([], r"arms = \[\]: a trial compares at least one change"),
        ([Arm("none", {})], "arm 'none' changes nothing in recipe 'ring'"),
        ([Arm("same", {"batch": RING.batch})], "arm 'same' changes nothing"),
        ([Arm("seed", {"seed": 5})], "arm 'seed' changes nothing"),
        ([Arm("name", {"name": "other"})], "arm 'name' changes nothing"),
        ([LR, LR], r"arms = \['lr', 'lr'\]: each needs a name of its own"),
        ([Arm("baseline", LR.edit)], "a name of its own, and not 'baseline'"),
        ([Arm("a", {"evaluation.samples": 16})], "edits the evaluation"),
        ([Arm("a", {"batchs": 16})], "unknown key 'batchs'; did you mean 'batch'"),
        ([Arm("a", {"objective": "hing"})], "did you mean 'hinge'"),
        (
            [Arm("a", {"penalties.r3.gamma": 1.0})],
            r"unknown penalties 'r3'.*choices: .*r1_finite_difference, r2",
        ),
        ([Arm("a", {"discriminator.normalization": "batch"})], "contradicts penalties.r1.gamma"),
    ],
)
def test_arms_that_cannot_be_tried_are_refused(arms, pattern):
    with pytest.raises(RecipeError, match=pattern):
        plan(RING, arms, range(6))


@pytest.mark.parametrize(
    ("arms", "seeds", "pattern"),
    [
        (1, range(4), r"1 arm\(s\) need at least 5 different seeds.*p = 2\^-n"),
        (1, (0, 1, 2, 3, 3), "different seeds"),
        (2, range(5), r"2 arm\(s\) need at least 6"),
        (1, range(21), "21 of them, and the exact test covers at most 20"),
    ],
)
def test_seeds_that_cannot_decide_are_refused(arms, seeds, pattern):
    changes = [Arm(f"lr {i}", {"optimizer.generator.lr": 1e-4 * (i + 2)}) for i in range(arms)]
    with pytest.raises(RecipeError, match=pattern):
        plan(RING, changes, seeds)


@pytest.mark.parametrize("arms", [1, 2, 3, 4, 5])
def test_the_least_number_of_seeds_is_enough_and_least(arms):
    changes = [Arm(f"lr {i}", {"optimizer.generator.lr": 1e-4 * (i + 2)}) for i in range(arms)]
    needed = fewest_seeds(arms)
    assert 2**-needed <= 0.05 / arms < 2 ** -(needed - 1)
    assert len(plan(RING, changes, range(needed)).seeds) == needed
    with pytest.raises(RecipeError, match=f"at least {needed}"):
        plan(RING, changes, range(needed - 1))


@pytest.mark.parametrize(
    ("baseline", "metric", "pattern"),
    [
        (RING, "mode_kll", r"unknown metric 'mode_kll'; did you mean 'mode_kl'\?"),
        (RING, "fid", r"does not measure it \(evaluation.metrics: mixture\)"),
        (RING, "frechet_digits_cnn", "does not measure it"),
        (DIGITS, "mode_kl", r"does not measure it \(evaluation.metrics: digits_cnn\)"),
        (RING.edit({"evaluation.primary": None}), None, "name the metric with --metric"),
    ],
)
def test_a_metric_that_would_have_no_value_is_refused(baseline, metric, pattern):
    with pytest.raises(RecipeError, match=pattern):
        plan(baseline, [LR], range(5), metric)


@pytest.mark.parametrize("size", [-0.1, float("nan"), float("inf")])
def test_a_minimal_effect_that_is_no_size_is_refused(size):
    with pytest.raises(RecipeError, match=r"minimal_effect = .* must be finite and at least 0"):
        plan(RING, [LR], range(5), minimal_effect=size)


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("r1=10", {"penalties.r1.gamma": 10}),
        ("r2=0.5", {"penalties.r2.gamma": 0.5}),
        ("penalties.r1.gamma=0", {"penalties.r1.gamma": 0}),
        ("batch=32", {"batch": 32}),
        ("objective=hinge", {"objective": "hinge"}),
        ("ema.half_life_kimg=null", {"ema.half_life_kimg": None}),
        ("penalties={}", {"penalties": {}}),
    ],
)
def test_an_arm_is_a_penalty_or_a_setting(text, edit):
    arm = parse_arm(text, RING)
    assert arm == Arm(text, edit)
    assert plan(RING, [arm], range(5)).arms == (arm,)


@pytest.mark.parametrize("name", sorted(REMEDIES))
def test_an_arm_is_a_remedy_where_it_has_an_edit(name):
    edit = dict(REMEDIES[name].edit(SICK))
    if edit:
        arm = parse_arm(name, SICK)
        assert arm == Arm(name, edit)
        assert plan(SICK, [arm], range(5)).arms == (arm,)
    else:
        with pytest.raises(RecipeError, match="has no edit that changes recipe 'digits-sick'"):
            parse_arm(name, SICK)


def test_a_misspelt_remedy_is_guessed():
    name = next(iter(REMEDIES))
    with pytest.raises(RecipeError, match=f"unknown remedy .*did you mean '{name}'.*or PATH=VALUE"):
        parse_arm(name[:-1], RING)


@pytest.mark.parametrize("text", ["=3", "r1=[", " =1"])
def test_an_arm_that_is_no_setting_is_refused(text):
    with pytest.raises(RecipeError):
        plan(RING, [parse_arm(text, RING)], range(5))
