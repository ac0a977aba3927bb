"""What observers are told and when; Stop, Rollback; the budget, the cadences, the clock."""

import json

import numpy as np
import pytest
import torch
from training_scenario import BATCH, Witness, check_files, checkpoints, halt, same, small, weights

from equipoise.errors import RecipeError, RecordError
from equipoise.recipe import load
from equipoise.record import Trace
from equipoise.training import Rollback, Stop, resume, start


def passes(every_images: int, images: int, steps: int) -> list[int]:
    """Steps at which a count that grows by `images` passes a multiple, one image at a time."""
    return [
        step
        for step in range(1, steps + 1)
        if any(i % every_images == 0 for i in range((step - 1) * images + 1, step * images + 1))
    ]


def test_calls_come_in_order(tmp_path):
    witness = Witness()
    start(small(steps=9), tmp_path / "run", (witness,))
    after = [("after", step) for step in range(1, 10)]
    expected = [("begin", 0), *after[:8], ("measured", 8), *after[8:], ("measured", 9), ("end",)]
    assert witness.calls == expected


def test_an_iteration_tells_what_was_played(tmp_path):
    witness = Witness()
    recipe = small("digits", steps=3, balance__discriminator_steps=2)
    start(recipe, tmp_path / "run", (witness,))
    last = witness.iteration
    assert (last.step, last.images, last.kimg) == (3, 96, 0.096)
    assert last.seconds > 0
    assert last.real.shape == last.fake.shape == (BATCH, 1, 8, 8)
    assert last.real_logits.shape == last.fake_logits.shape == (BATCH,)
    assert set(last.losses) == {"discriminator", "generator"}
    assert set(last.penalties) == {"r1", "r2"}
    tensors = [last.real, last.fake, last.real_logits, last.fake_logits, *last.losses.values()]
    assert not any(tensor.requires_grad for tensor in tensors)


@pytest.mark.parametrize(
    ("kimg", "batch", "updates", "steps"),
    [
        (0.5, 16, 1, 32),
        (0.512, 16, 1, 32),
        (0.513, 16, 1, 33),
        (0.5, 16, 3, 11),
        (0.0001, 16, 1, 1),
    ],
)
def test_the_budget_is_spent_to_the_last_whole_iteration(kimg, batch, updates, steps, tmp_path):
    recipe = small(kimg=kimg, balance__discriminator_steps=updates, batch=batch)
    outcome = start(recipe, tmp_path / "run")
    assert (outcome.step, recipe.iterations) == (steps, steps)
    assert outcome.kimg == steps * batch * updates / 1000
    assert outcome.finished
    trace = Trace.read(tmp_path / "run")
    assert trace.header["budget_steps"] == steps
    assert trace.kimg.last == outcome.kimg


@pytest.mark.parametrize(("evaluate", "save"), [(0.1, 0.05), (0.016, 0.17), (0.57, 0.0004)])
def test_evaluations_and_checkpoints_come_when_the_count_passes_their_multiples(
    evaluate, save, tmp_path
):
    recipe = small(
        kimg=0.5, evaluation__every_kimg=evaluate, checkpoint__every_kimg=save, checkpoint__keep=99
    )
    witness = Witness()
    start(recipe, tmp_path / "run", (witness,))
    expected = sorted({*passes(round(evaluate * 1000), BATCH, 32), 32})
    assert witness.steps("measured") == expected
    trace = Trace.read(tmp_path / "run")
    assert trace.series("metric/mode_kl").steps.tolist() == expected
    assert [b.step for b in trace.blobs if b.name == "samples/fixed"] == expected
    saved = [int(path.stem[5:]) for path in checkpoints(tmp_path / "run")]
    assert saved == sorted({*passes(max(1, round(save * 1000)), BATCH, 32), 32})


def test_stop_ends_the_run_and_saves_it(tmp_path):
    outcome = start(small(), tmp_path / "run", (Witness(), halt(3)))
    assert (outcome.step, outcome.finished, outcome.interrupted) == (3, False, False)
    assert outcome.reason == "half-way"
    assert checkpoints(tmp_path / "run")[-1].stem == "step-00000003"
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (written["step"], written["finished"], written["reason"]) == (3, False, "half-way")


def test_the_first_observer_with_a_wish_decides_and_all_are_asked(tmp_path):
    second = halt(4)
    third = Witness({4: Rollback(0)})
    outcome = start(small(), tmp_path / "run", (Witness(), second, third))
    assert outcome.reason == "half-way"
    assert third.steps() == [1, 2, 3, 4]


def test_an_observer_that_fails_leaves_a_run_that_resumes(tmp_path):
    def fail():
        raise ZeroDivisionError

    witness, other = Witness({13: fail}), Witness()
    with pytest.raises(ZeroDivisionError):
        start(small(), tmp_path / "run", (other, witness))
    assert witness.calls[-1] == other.calls[-1] == ("end",)
    start(small(), tmp_path / "whole")
    resume(tmp_path / "run")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


def test_an_observer_that_cannot_begin_still_lets_the_others_end(tmp_path):
    class Broken(Witness):
        def begin(self, game, step):
            raise ZeroDivisionError

    first, broken = Witness(), Broken()
    with pytest.raises(ZeroDivisionError):
        start(small(), tmp_path / "run", (first, broken))
    assert first.calls == [("begin", 0), ("end",)]
    assert broken.calls == []
    assert resume(tmp_path / "run").finished


EDITS = {"optimizer.discriminator.lr": 3e-4, "optimizer.discriminator.beta1": 0.5, "seed": 7}


def test_rollback_goes_back_edits_and_plays_on(tmp_path):
    recipe = small(checkpoint__keep=9)
    witness = Witness({13: Rollback(11, EDITS)})
    outcome = start(recipe, tmp_path / "run", (witness,))
    begins = [(i, call[1]) for i, call in enumerate(witness.calls) if call[0] == "begin"]
    assert [step for _, step in begins] == [0, 10]
    assert witness.calls[begins[1][0] - 1] == ("end",)
    assert witness.steps() == [*range(1, 14), *range(11, 25)]
    assert outcome.finished
    played = load(tmp_path / "run")
    assert played == recipe.edit(EDITS)
    group = witness.game.optimizers["discriminator"].param_groups[0]
    assert group["betas"] == (0.5, 0.99)
    assert group["lr"] == pytest.approx(3e-4 * (1 + np.cos(np.pi * 23 / 24)) / 2)


def test_rollback_is_stopping_there_and_going_on_with_the_edited_recipe(tmp_path):
    """The slow twin: the state at step 10 carried by hand under the edited recipe."""
    from equipoise.recipe import dump
    from equipoise.training import build, load, save

    recipe = small(checkpoint__keep=9)
    start(recipe, tmp_path / "rolled", (Witness({13: Rollback(11, EDITS)}),))
    start(recipe, tmp_path / "twin", (halt(10),))
    edited = build(recipe.edit(EDITS))
    progress = load(checkpoints(tmp_path / "twin")[-1], edited, recipe=recipe)
    save(tmp_path / "twin", edited, progress, keep=9)
    (tmp_path / "twin" / "recipe.yaml").write_text(dump(edited.recipe))
    resume(tmp_path / "twin")
    assert same(weights(tmp_path / "rolled"), weights(tmp_path / "twin"))


def test_rollback_voids_what_came_later(tmp_path):
    recipe = small(evaluation__every_kimg=0.016, checkpoint__keep=9)
    seen = []

    class Reader(Witness):
        def begin(self, game, step):
            super().begin(game, step)
            if step:
                seen.append((Trace.read(tmp_path / "run"), checkpoints(tmp_path / "run")))

    start(recipe, tmp_path / "run", (Reader({13: Rollback(11, EDITS)}),))
    ((trace, saved),) = seen
    assert trace.series("metric/mode_kl").steps.tolist() == list(range(1, 11))
    assert max(blob.step for blob in trace.blobs) == 10
    assert [int(path.stem[5:]) for path in saved] == [5, 10]
    (event,) = trace.events
    assert (event["kind"], event["step"], event["asked"]) == ("rollback", 10, 11)
    assert event["edits"] == EDITS
    assert trace.header["recipe"]["optimizer"]["discriminator"]["beta1"] == 0.5
    end = check_files(tmp_path / "run")
    assert end.series("metric/mode_kl").steps.tolist() == list(range(1, 25))


def test_rollback_before_the_first_checkpoint_is_the_start(tmp_path):
    edit = {"optimizer.generator.lr": 1e-4}
    witness = Witness({13: Rollback(4, edit)})
    start(small(), tmp_path / "run", (witness,))
    start(small(optimizer__generator__lr=1e-4), tmp_path / "fresh")
    assert witness.steps("begin") == [0, 0]
    assert same(weights(tmp_path / "fresh"), weights(tmp_path / "run"))


def test_rollback_with_one_kept_checkpoint_finds_it(tmp_path):
    recipe = small(checkpoint__keep=1)
    witness = Witness({13: Rollback(13, {"optimizer.generator.lr": 1e-4})})
    start(recipe, tmp_path / "run", (witness,))
    assert witness.steps("begin") == [0, 10]


def test_the_budget_counts_images_when_a_rollback_changes_the_cadence(tmp_path):
    recipe = small(balance__discriminator_steps=5)
    witness = Witness({6: Rollback(6, {"balance.discriminator_steps": 1})})
    outcome = start(recipe, tmp_path / "run", (witness,))
    assert outcome.finished
    assert outcome.kimg == pytest.approx(24 * 5 * BATCH / 1000)
    assert outcome.step == 5 + 19 * 5


@pytest.mark.parametrize(
    ("edits", "error", "pattern"),
    [
        ({"generator.width": 16}, RecordError, "need a new run"),
        ({"optimizer.generator.lrr": 1.0}, RecipeError, "unknown key 'lrr'"),
        ({"objective": "hing"}, RecipeError, "did you mean 'hinge'"),
    ],
)
def test_a_rollback_that_cannot_be_done_leaves_the_run_as_it_was(edits, error, pattern, tmp_path):
    recipe = small()
    with pytest.raises(error, match=pattern):
        start(recipe, tmp_path / "run", (Witness({13: Rollback(11, edits)}),))
    assert load(tmp_path / "run") == recipe
    start(recipe, tmp_path / "whole")
    resume(tmp_path / "run")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


class Killed(BaseException):
    """Stands for a kill: nothing but the operating system runs after it."""


@pytest.mark.parametrize("last", ["restore", "forget_after", "save", "write_text", "resume"])
def test_a_kill_at_any_moment_of_a_rollback_leaves_a_run_that_resumes(last, tmp_path, monkeypatch):
    """Killed before the edited recipe is in place the run goes on as before it, else after it."""
    import equipoise.training.run as module

    recipe, edit = small(checkpoint__keep=1), {"optimizer.generator.lr": 1e-4}
    run_dir = tmp_path / "run"

    def dying(function):
        def work(*arguments, **named):
            function(*arguments, **named)
            raise Killed

        return work

    def ask():
        home = module.TraceWriter if last == "resume" else module
        monkeypatch.setattr(home, last, dying(getattr(home, last)))
        return Rollback(11, edit)

    with pytest.raises(Killed):
        start(recipe, run_dir, (Witness({13: ask}),))
    monkeypatch.undo()
    edited = last in ("write_text", "resume")
    assert load(run_dir) == (recipe.edit(edit) if edited else recipe)
    outcome = resume(run_dir)
    assert outcome.finished
    check_files(run_dir)
    answers = {13: Rollback(11, edit)} if edited else {}
    start(recipe, tmp_path / "twin", (Witness(answers),))
    assert same(weights(tmp_path / "twin"), weights(run_dir))


def test_a_rolled_back_run_can_be_stopped_and_resumed(tmp_path):
    recipe = small()
    start(recipe, tmp_path / "whole", (Witness({13: Rollback(11, EDITS)}),))
    answers = {13: Rollback(11, EDITS), 17: Stop("later")}
    assert start(recipe, tmp_path / "run", (Witness(answers),)).step == 17
    assert resume(tmp_path / "run").finished
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))
    kinds = [event["kind"] for event in Trace.read(tmp_path / "run").events]
    assert kinds == ["rollback"]


def test_samples_are_what_the_averaged_generator_makes(tmp_path):
    from equipoise.training import generate

    witness = Witness()
    start(small("digits"), tmp_path / "run", (witness,))
    stored = np.load(tmp_path / "run" / "samples" / "samples-fixed-00000024.npy")
    drawn = generate(witness.game, witness.game.z("z/fixed", 0, 4))
    assert stored.dtype == np.uint8
    assert np.abs(stored / 127.5 - 1 - drawn.numpy()).max() <= 0.5 / 127.5 + 1e-6
    paths = np.load(tmp_path / "run" / "samples" / "interpolation-00000024.npy")
    assert paths.shape == (6, 10, 1, 8, 8)
    reals = np.load(tmp_path / "run" / "samples" / "samples-real-00000000.npy")
    assert reals.shape == (4, 1, 8, 8)


def test_measuring_leaves_training_alone(tmp_path):
    """Evaluations and checkpoints at every step, and none but the last: the same weights."""
    often = small("digits", evaluation__every_kimg=0.016, checkpoint__every_kimg=0.016)
    never = small("digits", evaluation__every_kimg=9.0, checkpoint__every_kimg=9.0)
    start(often, tmp_path / "often")
    torch.rand(5)
    start(never, tmp_path / "never")
    assert same(weights(tmp_path / "often"), weights(tmp_path / "never"))
