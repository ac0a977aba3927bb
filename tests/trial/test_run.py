"""One watched run: watching changes nothing, divergence is an outcome, the judgement is kept."""

import json
import math

import pytest
import torch
from safetensors.torch import load as load_tensors

from equipoise.errors import RecordError
from equipoise.recipe import load
from equipoise.record import Trace
from equipoise.training import CONTINUE, Rollback, Stop, start
from equipoise.trial import carry_on, read_diagnosis, train
from equipoise.trial.run import FEWEST, MOST, reading_interval

STEPS = 200


def small(preset, steps=STEPS, **edits):
    width = 8 if preset == "ring" else 4
    return load(preset).edit(
        {
            "generator.width": width,
            "discriminator.width": width,
            "batch": 16,
            "kimg": steps * 0.016,
            "evaluation.samples": 16,
            "evaluation.sample_grid": 4,
            "evaluation.every_kimg": steps * 0.005,
            "checkpoint.every_kimg": 0.4,
            **edits,
        }
    )


def weights(run_dir):
    newest = max((run_dir / "checkpoints").glob("*.safetensors"))
    return load_tensors(newest.read_bytes())


def same(first, second):
    return first.keys() == second.keys() and all(
        first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first
    )


class At:
    """An observer that answers once, at a step."""

    def __init__(self, step, answer):
        self.step, self.answer = step, answer

    def begin(self, game, step):
        self.game = game

    def after(self, iteration):
        answer, here = self.answer, iteration.step == self.step
        self.answer = CONTINUE if here else answer
        return answer if here else CONTINUE

    def measured(self, step, metrics):
        self.metrics = metrics

    def end(self):
        pass


RECIPES = {
    "ring": small("ring"),
    "digits": small("digits"),
    "digits, spectral, 2 to 1": small(
        "digits",
        **{
            "discriminator.normalization": "spectral",
            "penalties": {},
            "balance.discriminator_steps": 2,
        },
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_watching_changes_no_weight(name, tmp_path):
    """One run's monitor reads, ticks, judges and is asked for traces; the other has none."""
    recipe = RECIPES[name]
    start(recipe, tmp_path / "off")
    found, traces = [], []
    run = train(recipe, tmp_path / "on", on_finding=found.append, on_tick=traces.append)
    assert same(weights(tmp_path / "off"), weights(tmp_path / "on"))
    assert (
        run.outcome.metrics == json.loads((tmp_path / "off" / "result.json").read_text())["metrics"]
    )
    ticks = recipe.iterations // reading_interval(recipe)
    assert len(traces) == ticks
    assert len(run.trace.series("gradient_norm/generator")) >= ticks


def test_the_interval_gives_a_short_run_readings_and_a_long_one_not_too_many():
    assert [reading_interval(small("ring", steps)) for steps in (20, 300, 1200, 6000, 60000)] == [
        FEWEST, FEWEST, 20, MOST, MOST,
    ]  # fmt: skip


def test_readings_after_a_resume_are_those_of_the_unbroken_run(tmp_path):
    recipe = RECIPES["ring"]
    whole = train(recipe, tmp_path / "whole").trace
    train(recipe, tmp_path / "parts", (At(90, Stop("here")),))
    parts = carry_on(tmp_path / "parts").trace
    assert set(whole.signals) == set(parts.signals)
    for name in set(whole.signals) - {"cost/monitor"}:
        first, second = whole.series(name), parts.series(name)
        assert first.steps.tolist() == second.steps.tolist(), name
        assert first.values.tolist() == second.values.tolist(), name
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_readings_after_a_rollback_begin_where_it_went(tmp_path):
    recipe = RECIPES["ring"]
    edit = {"optimizer.generator.lr": 1e-4}
    run = train(recipe, tmp_path / "run", (At(90, Rollback(60, edit)),))
    assert run.recipe == recipe.edit(edit)
    rates = run.trace.series("learning_rate/generator")
    assert rates.steps.tolist() == sorted(set(rates.steps.tolist()))
    assert rates.until(50).values.min() > 5e-4
    assert rates.since(51).values.max() <= 1e-4
    assert run.trace.series("updates/generator").last == STEPS


@pytest.mark.parametrize("preset", ["ring", "digits"])
def test_a_run_that_diverges_ends_and_is_judged(preset, tmp_path):
    absurd = {"optimizer.discriminator.lr": 1e30, "optimizer.generator.lr": 1e30}
    run = train(small(preset, 100, **absurd), tmp_path / "run")
    assert run.outcome.finished
    assert run.outcome.metrics
    assert all(math.isnan(value) for value in run.outcome.metrics.values())
    for name in run.outcome.metrics:
        assert math.isnan(run.trace.series(f"metric/{name}").last)
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert set(written["metrics"].values()) == {"nan"}
    assert run.diagnosis.verdict == "sick"
    assert run.diagnosis.findings[0].failure == "non_finite"
    assert run.diagnosis.findings[0].since <= 10


def test_a_finding_can_stop_the_run(tmp_path):
    recipe = small("ring", **{"optimizer.discriminator.lr": 1e30})
    run = train(recipe, tmp_path / "run", on_finding="stop")
    assert not run.outcome.finished
    assert run.outcome.step < STEPS
    assert "non_finite" in run.outcome.reason
    assert run.diagnosis.verdict == "sick"
    assert carry_on(tmp_path / "run").outcome.finished


def test_the_judgement_is_kept_and_comes_back(tmp_path):
    run = train(small("ring", 30), tmp_path / "run")
    assert read_diagnosis(tmp_path / "run").to_dict() == run.diagnosis.to_dict()
    assert run.trace.header["recipe_hash"] == run.recipe.content_hash()
    assert run.trace.facts["environment"]["torch"] == torch.__version__
    (tmp_path / "run" / "diagnosis.json").write_text("{")
    with pytest.raises(RecordError, match=r"diagnosis.json.*run: equipoise diagnose"):
        read_diagnosis(tmp_path / "run")


def test_evaluations_reach_the_observers_and_the_rules(tmp_path):
    seen = At(0, CONTINUE)
    run = train(small("ring", 30), tmp_path / "run", (seen,))
    assert seen.metrics["metric/mode_kl"] == run.outcome.metrics["mode_kl"]
    assert run.diagnosis.signals["metric/mode_kl"] == run.outcome.metrics["mode_kl"]
    assert (
        Trace.read(tmp_path / "run").series("metric/mode_kl").last == run.outcome.metrics["mode_kl"]
    )
