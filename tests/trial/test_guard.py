"""A run that treats itself: back to before the onset, on under a remedy, all of it in the trace."""

import pytest
from typer.testing import CliRunner

from equipoise.cli.app import app
from equipoise.recipe import load
from equipoise.record import Finding, Prescription
from equipoise.training import CONTINUE, Rollback, build
from equipoise.trial import train
from equipoise.trial.guard import MOST_ROLLBACKS, Rollbacks, keeps_weights

GAME = build(load("digits").edit({"evaluation.metrics": [], "evaluation.primary": None}))


def remedy(name, effect="live", edit=("optimizer.discriminator.lr", 1e-4)):
    return Prescription(name, name, "", dict([edit]) if edit else {}, "", effect, "", "")


def found(*remedies, failure="divergence", confidence=0.9, since=100):
    return Finding(failure, confidence, since, "It diverges.", (), remedies)


def test_it_goes_back_to_before_the_onset_with_the_first_live_remedy():
    guard = Rollbacks()
    guard(found(remedy("code", edit=None), remedy("anew", "restart"), remedy("slower")))
    assert guard.answer(GAME) == Rollback(99, {"optimizer.discriminator.lr": 1e-4})
    assert guard.answer(GAME) == CONTINUE, "each finding is answered once"


def test_no_remedy_is_tried_twice_and_none_left_means_going_on(capsys):
    guard = Rollbacks()
    for name in ("first", "second"):
        guard(found(remedy("first"), remedy("second")))
        assert isinstance(guard.answer(GAME), Rollback)
        assert f"on with {name}." in capsys.readouterr().err
    guard(found(remedy("first"), remedy("second")))
    assert guard.answer(GAME) == CONTINUE
    assert "No remedy is left" in capsys.readouterr().err


def test_it_goes_back_so_often_and_no_more():
    guard = Rollbacks()
    for number in range(MOST_ROLLBACKS):
        guard(found(remedy(f"remedy {number}")))
        assert isinstance(guard.answer(GAME), Rollback)
    guard(found(remedy("another")))
    assert guard.answer(GAME) == CONTINUE


def test_an_unsure_finding_is_left_alone():
    guard = Rollbacks()
    guard(found(remedy("first"), confidence=0.4))
    assert guard.answer(GAME) == CONTINUE
    assert guard.done == 0


@pytest.mark.parametrize(
    ("edit", "fits"),
    [
        ({"penalties.r1.gamma": 3.0}, True),
        ({"optimizer.generator.lr": 1e-5}, True),
        ({"augmentation.name": "diffaugment"}, False),
        ({"noise.input.sigma": 0.1}, False),
        ({"discriminator.width": 8}, False),
        ({"optimizer.generator.name": "sgd", "optimizer.generator.beta1": 0.5}, False),
        ({"discriminator.normalization": "batch"}, False),
    ],
)
def test_only_an_edit_that_a_checkpoint_fits_is_applied_on_the_way(edit, fits):
    assert keeps_weights(GAME, edit) == fits
    guard = Rollbacks()
    guard(
        found(remedy("this", edit=None)),
    )
    assert guard.answer(GAME) == CONTINUE
    guard(found(Prescription("this", "this", "", edit, "", "live", "", "")))
    assert guard.answer(GAME) == (Rollback(99, edit) if fits else CONTINUE)


SICK = {"evaluation.every_kimg": 8.0, "checkpoint.every_kimg": 4.0}


@pytest.mark.slow
def test_a_sick_run_is_treated_on_the_way_and_ends_better(tmp_path):
    recipe = load("digits-sick").edit(SICK)
    untreated = train(recipe, tmp_path / "untreated")
    treated = train(recipe, tmp_path / "treated", on_finding="rollback")
    assert untreated.diagnosis.verdict == "sick"
    events = [e for e in treated.trace.events if e["kind"] == "rollback"]
    assert events
    assert treated.recipe != recipe
    assert treated.recipe == recipe.edit({k: v for e in events for k, v in e["edits"].items()})
    metric = "frechet_digits_cnn"
    assert treated.outcome.metrics[metric] < 0.5 * untreated.outcome.metrics[metric]


def test_the_guard_is_chosen_on_the_command_line(tmp_path):
    wrong = CliRunner().invoke(app, ["train", "ring", "--guard", "pray"])
    assert wrong.exit_code == 2
    assert "'rollback'" in wrong.output
