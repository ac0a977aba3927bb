"""Which objective a loop uses, told from its losses."""

import pytest
import torch
from toy_loop import dense

from equipoise.game import OBJECTIVES
from equipoise.monitor.infer import AGREE, TOLD, TRIES, Inference, inferred_objective


def logits(spread=2.0, count=64, seed=0):
    source = torch.Generator().manual_seed(seed)
    draw = torch.randn(2, count, generator=source) * spread
    return draw[0] + spread, draw[1] - spread / 2


def test_minimax_is_told_as_non_saturating_whose_discriminator_is_the_same():
    assert set(OBJECTIVES) - set(TOLD) == {"minimax"}
    assert OBJECTIVES["minimax"].discriminator is OBJECTIVES["non_saturating"].discriminator


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("name", TOLD)
def test_each_objective_is_told_in_both_scales(name, scale):
    real, fake = logits()
    loss = scale * OBJECTIVES[name].discriminator(real, fake).mean()
    told = inferred_objective(real, fake, loss)
    assert (told.name, told.scale) == (name, scale)
    assert told.how.startswith("inferred")


@pytest.mark.parametrize(
    ("loss", "reason"),
    [(None, "pass objective="), (float("nan"), "not finite"), (123.0, "a penalty in it")],
)
def test_what_is_not_told_says_why(loss, reason):
    told = inferred_objective(*logits(), loss)
    assert told.name is None
    assert "not told" in told.how
    assert reason in told.how


def test_at_chance_several_fit_and_none_is_told():
    real, fake = logits(spread=1e-3)
    told = inferred_objective(
        real, fake, OBJECTIVES["relativistic"].discriminator(real, fake).mean()
    )
    assert told.name is None
    assert "several objectives fit" in told.how


def ask(inference, name, readings, spread=2.0, extra=0.0):
    for seed in range(readings):
        real, fake = logits(spread, seed=seed)
        inference.ask(real, fake, OBJECTIVES[name].discriminator(real, fake).mean() + extra)


def test_one_reading_is_not_enough():
    inference = Inference()
    ask(inference, "hinge", AGREE - 1)
    assert inference.told.name is None
    ask(inference, "hinge", AGREE)
    assert inference.told.name == "hinge"
    assert inference.over


def test_the_question_waits_while_the_logits_are_small():
    inference = Inference()
    ask(inference, "relativistic", 5, spread=1e-3)
    assert not inference.over
    ask(inference, "relativistic", AGREE)
    assert inference.told.name == "relativistic"


def test_it_rests_after_many_tries():
    inference = Inference()
    ask(inference, "hinge", TRIES, extra=50.0)
    assert inference.over
    assert inference.told.name is None
    silent = Inference()
    silent.ask(*logits(), None)
    assert not silent.over, "a loop that logs its losses seldom is asked again"


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_the_monitor_says_how_it_knows(name, penalty):
    monitor = dense()(None, None, None, None)
    for seed in range(6):
        real, fake = logits(seed=seed)
        loss = OBJECTIVES[name].discriminator(real, fake).mean() + penalty
        monitor.observe(real_logits=real, fake_logits=fake, losses={"d": loss})
    fact = monitor.trace().facts["objective"]
    assert fact["name"] == (None if penalty else name)
    assert fact["how"].startswith("not told" if penalty else "inferred")


def test_a_relativistic_loop_is_read_relative_to_the_midpoint():
    monitor = dense()(None, None, None, None)
    for seed in range(AGREE + 1):
        real, fake = logits(seed=seed)
        real, fake = real + 100, fake + 100
        loss = OBJECTIVES["relativistic"].discriminator(real, fake).mean()
        monitor.observe(real_logits=real, fake_logits=fake, losses={"discriminator": loss})
    accuracy = monitor.trace().series("accuracy/discriminator").values
    assert accuracy[0] == 0.5
    assert accuracy[-1] > 0.8


def test_a_given_objective_is_not_asked_for():
    monitor = dense(objective="hinge")(None, None, None, None)
    monitor.observe(real_logits=torch.ones(4), fake_logits=torch.zeros(4), losses={"d": 1.0})
    assert monitor.trace().header["objective"] == "hinge"
    assert "objective" not in monitor.trace().facts


def test_without_losses_it_says_what_to_pass():
    monitor = dense()(None, None, None, None)
    monitor.observe(real_logits=torch.ones(4), fake_logits=torch.zeros(4))
    assert "pass objective=" in monitor.trace().facts["objective"]["how"]
