"""A trial from design to ledger: pairs, failures, verdicts; killed, interrupted, resumed."""

import importlib
import json
import math
import os
import signal
import threading
import time

import pytest
import torch

from equipoise.recipe import load
from equipoise.record import Trace
from equipoise.training import build
from equipoise.trial import Arm, CellResult, Ledger, conduct, enter_run, plan, run_cells, train
from equipoise.trial.local import Cell, play

conduct_module = importlib.import_module("equipoise.trial.conduct")  # the room shows the function

BATCH = 16
PATIENCE = 120  # seconds for anything to happen on a busy machine


def ring(steps=40, **edits):
    return load("ring").edit(
        {
            "generator.width": 8,
            "discriminator.width": 8,
            "batch": BATCH,
            "kimg": steps * BATCH / 1000,
            "evaluation.samples": 16,
            "evaluation.sample_grid": 4,
            "evaluation.every_kimg": 100.0,
            "checkpoint.every_kimg": 0.16,
            **edits,
        }
    )


SLOWER = Arm("slower", {"optimizer.discriminator.lr": 1e-5})
ABSURD = Arm("absurd", {"optimizer.discriminator.lr": 1e30})


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as book:
        yield book


@pytest.fixture
def fake_runs(monkeypatch):
    """Cells end with the value that `values[arm, seed]` holds (a text: they failed so); no run."""
    values, asked = {}, []

    def run(cells, done, workers=None):
        for cell in cells:
            asked.append((cell.arm, cell.recipe.seed))
            value = values[cell.arm, cell.recipe.seed]
            metrics = {} if isinstance(value, str) else {"mode_kl": value}
            reason = value if isinstance(value, str) else ""
            done(CellResult(cell.arm, cell.recipe.seed, metrics, 1.0, "healthy", reason))

    monkeypatch.setattr(conduct_module, "run_cells", run)
    return values, asked


def test_pairs_become_a_verdict_in_the_ledger(fake_runs, ledger, tmp_path):
    values, asked = fake_runs
    design = plan(ring(), [SLOWER], range(5), minimal_effect=0.05)
    for seed in range(5):
        values["baseline", seed], values["slower", seed] = 1.0 + seed, 0.5 + seed - 0.01 * seed
    (row,) = conduct(design, tmp_path, ledger)
    assert asked == [(arm, seed) for seed in range(5) for arm in ("baseline", "slower")]
    assert (row.verdict, row.arm, row.edit) == ("keep", "slower", SLOWER.edit)
    assert row.improvement == pytest.approx(0.52)
    assert row.p_value == 1 / 32
    assert (row.metric, row.better, row.minimal_effect) == ("mode_kl", "lower", 0.05)
    assert row.baseline_values == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert row.arm_values == pytest.approx((0.5, 1.49, 2.48, 3.47, 4.46))
    assert row.baseline_hash == design.baseline.content_hash()
    assert row.failures == ()
    assert ledger.verdicts() == [row]


def test_a_higher_metric_is_better_the_other_way(fake_runs, ledger, tmp_path, monkeypatch):
    design = plan(ring(), [SLOWER], range(5), metric="high_quality")

    def run(cells, done, workers=None):
        for cell in cells:
            value = 0.2 if cell.arm == "baseline" else 0.6
            done(CellResult(cell.arm, cell.recipe.seed, {"high_quality": value}))

    monkeypatch.setattr(conduct_module, "run_cells", run)
    (row,) = conduct(design, tmp_path, ledger)
    assert (row.verdict, row.better) == ("keep", "higher")
    assert row.improvement == pytest.approx(0.4)


def test_several_arms_share_the_baseline_and_pay_for_it(fake_runs, ledger, tmp_path):
    """Holm: the better arm's p is doubled, and the verdict rests on that."""
    values, _ = fake_runs
    other = Arm("other", {"batch": 32})
    design = plan(ring(), [SLOWER, other], range(6))
    for seed in range(6):
        values["baseline", seed] = 1.0
        values["slower", seed] = 0.5
        values["other", seed] = 1.0 + (0.1 if seed % 2 else -0.1)
    first, second = conduct(design, tmp_path, ledger)
    assert first.p_value == pytest.approx(2 / 64)
    assert (first.verdict, second.verdict) == ("keep", "inconclusive")
    assert first.trial == second.trial
    assert len(ledger.verdicts()) == 2


def test_a_run_without_a_value_is_worse_than_any_that_has_one(fake_runs, ledger, tmp_path):
    values, _ = fake_runs
    for seed in range(5):
        values["baseline", seed], values["slower", seed] = 1.0, "mode_kl not finite"
    (row,) = conduct(plan(ring(), [SLOWER], range(5)), tmp_path, ledger)
    assert row.verdict == "revert"
    assert all(math.isnan(value) for value in row.arm_values)
    assert row.failures == tuple(f"slower/{seed}: mode_kl not finite" for seed in range(5))
    assert ledger.verdicts()[0].failures == row.failures
    hashed = ring(**SLOWER.edit).content_hash()
    assert ledger.find_run(hashed, 0, row.environment["equipoise"]).status == "failed"


def test_when_only_the_baseline_fails_the_arm_wins_and_when_both_do_nobody(
    fake_runs, ledger, tmp_path
):
    values, _ = fake_runs
    for seed in range(5):
        values["baseline", seed], values["slower", seed] = "diverged", 1.0
    design = plan(ring(), [SLOWER], range(5))
    (row,) = conduct(design, tmp_path, ledger)
    assert (row.verdict, row.improvement) == ("keep", 1.0)
    both = dict.fromkeys(values, "diverged")
    values.update(both)
    with Ledger(tmp_path / "other.sqlite") as other:
        (row,) = conduct(design, tmp_path, other)
    assert (row.verdict, row.improvement) == ("inconclusive", 0.0)


def test_what_has_a_value_is_never_run_again_and_what_failed_is(fake_runs, ledger, tmp_path):
    values, asked = fake_runs
    for seed in range(5):
        values["baseline", seed], values["slower", seed] = 1.0, 0.5
    values["slower", 3] = "its worker process died 2 times"
    design = plan(ring(), [SLOWER], range(5))
    conduct(design, tmp_path, ledger)
    asked.clear()
    values["slower", 3] = 0.5
    (row,) = conduct(design, tmp_path, ledger)
    assert asked == [("slower", 3)]
    assert (row.verdict, row.failures) == ("keep", ())
    asked.clear()
    wider = plan(ring(), [SLOWER], range(6))
    values["baseline", 5], values["slower", 5] = 1.0, 0.5
    conduct(wider, tmp_path, ledger)
    assert asked == [("baseline", 5), ("slower", 5)]


def test_a_trial_interrupted_between_cells_goes_on_where_it_was(fake_runs, ledger, tmp_path):
    values, asked = fake_runs
    for seed in range(5):
        values["baseline", seed], values["slower", seed] = 1.0, 0.5
    seen = []

    def stop_at_third(result):
        seen.append((result.arm, result.seed))
        if len(seen) == 3:
            raise KeyboardInterrupt

    design = plan(ring(), [SLOWER], range(5))
    with pytest.raises(KeyboardInterrupt):
        conduct(design, tmp_path, ledger, on_cell=stop_at_third)
    assert ledger.verdicts() == []
    asked.clear()
    conduct(design, tmp_path, ledger)
    assert len(asked) == 7
    assert not set(asked) & set(seen)


def test_every_cell_has_a_folder_of_its_own(tmp_path):
    """Arms whose names look alike as file names, and baselines that differ by a setting."""
    arms = [Arm("r1=1", {"penalties.r1.gamma": 1}), Arm("r1-1", {"penalties.r1.gamma": 2})]
    first = conduct_module._cells(plan(ring(), arms, range(6)), tmp_path)
    second = conduct_module._cells(plan(ring(batch=8), arms, range(6)), tmp_path)
    folders = [cell.run_dir for cell in (*first, *second)]
    assert len(set(folders)) == len(folders) == 36
    assert all(folder.parent == tmp_path for folder in folders)
    odd = Arm("../../x y/é=[1, 2]", {"batch": 8})
    (cell, *_) = conduct_module._cells(plan(ring(), [odd], range(5)), tmp_path)[1:]
    assert cell.run_dir.parent == tmp_path


def test_cells_of_one_seed_share_data_and_noise(tmp_path):
    cells = conduct_module._cells(plan(ring(), [SLOWER], range(5)), tmp_path)
    games = {(cell.arm, cell.recipe.seed): build(cell.recipe) for cell in cells}
    for seed in range(5):
        base, arm = games["baseline", seed], games["slower", seed]
        for images in (0, 160):
            assert torch.equal(
                base.source.batch(seed, images, BATCH), arm.source.batch(seed, images, BATCH)
            )
            for purpose in ("z/discriminator", "z/generator/0", "z/evaluation"):
                assert torch.equal(base.z(purpose, images, 4), arm.z(purpose, images, 4))
        first = next(base.generator.parameters())
        assert torch.equal(first, next(arm.generator.parameters()))
    assert not torch.equal(games["baseline", 0].z("z", 0, 4), games["baseline", 1].z("z", 0, 4))


def test_a_run_that_fails_is_a_result(tmp_path):
    folder = tmp_path / "occupied"
    folder.mkdir()
    bad = play(Cell("bad", ring(**{"data.kind": "nothing"}), folder / "bad"))
    assert bad.metrics == {}
    assert "RecipeError" in bad.reason
    diverged = play(Cell("absurd", ring(**ABSURD.edit), folder / "absurd"))
    assert diverged.verdict == "sick"
    assert diverged.reason.endswith("not finite")
    assert math.isnan(diverged.metrics["mode_kl"])


def test_a_cell_goes_on_from_what_is_left_of_it(tmp_path):
    recipe = ring(seed=3)
    whole = play(Cell("a", recipe, tmp_path / "whole"))
    train(recipe, tmp_path / "half", (_stop_at(25),))
    played = play(Cell("a", recipe, tmp_path / "half"))
    steps = Trace.read(tmp_path / "half").kimg.steps
    assert steps.max() == 40
    assert played.metrics == whole.metrics
    train(ring(seed=4), tmp_path / "other")  # another cell's remains are not ours
    assert play(Cell("a", recipe, tmp_path / "other")).metrics == whole.metrics
    assert load(tmp_path / "other").seed == 3


def _stop_at(step):
    from equipoise.training import CONTINUE, Stop

    class Halt:
        def begin(self, game, step):
            pass

        def after(self, iteration):
            return Stop("half-way") if iteration.step == step else CONTINUE

        def measured(self, step, metrics):
            pass

        def end(self):
            pass

    return Halt()


def test_a_run_played_outside_counts_only_when_it_is_whole(ledger, tmp_path):
    from equipoise.training import Rollback

    recipe = ring()
    version = train(recipe, tmp_path / "a", (_stop_at(25),))
    enter_run(ledger, version)
    code = version.trace.facts["environment"]["equipoise"]
    assert ledger.find_run(recipe.content_hash(), 0, code) is None
    halt = _stop_at(25)
    halt.after = _once(Rollback(20, {"optimizer.generator.lr": 1e-4}), 25)
    rolled = train(recipe, tmp_path / "b", (halt,))
    enter_run(ledger, rolled)
    assert ledger.find_run(rolled.recipe.content_hash(), 0, code) is None
    enter_run(ledger, train(ring(**ABSURD.edit), tmp_path / "c"))
    assert ledger.find_run(ring(**ABSURD.edit).content_hash(), 0, code) is None
    whole = train(recipe, tmp_path / "d")
    enter_run(ledger, whole)
    assert ledger.find_run(recipe.content_hash(), 0, code).values == whole.outcome.metrics


def _once(answer, step):
    from equipoise.training import CONTINUE

    answers = {step: answer}
    return lambda iteration: answers.pop(iteration.step, CONTINUE)


def files(folder):
    """Every file of every run with its time of change and size, but the ledger's."""
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    }


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


@pytest.mark.slow
def test_a_trial_of_real_runs_in_two_processes(ledger, tmp_path):
    design = plan(ring(), [ABSURD], range(5))
    folder, cells = tmp_path / "runs", []
    (row,) = conduct(design, folder, ledger, 2, cells.append)
    assert len(cells) == 10
    assert len(list(folder.iterdir())) == 10
    assert row.verdict == "revert"
    assert len(row.failures) == 5
    assert all("not finite" in failure for failure in row.failures)
    for seed in range(5):
        alone = train(ring(seed=seed), tmp_path / "alone" / str(seed)).outcome.metrics["mode_kl"]
        assert row.baseline_values[seed] == alone
    before = {k: v for k, v in files(folder).items() if "baseline-" in str(k)}
    assert before
    cells.clear()
    (again,) = conduct(design, folder, ledger, 2, cells.append)
    assert {result.arm for result in cells} == {"absurd"}, "only what has no value is tried again"
    assert {k: v for k, v in files(folder).items() if "baseline-" in str(k)} == before
    assert (again.baseline_values, again.verdict) == (row.baseline_values, "revert")
    assert len(ledger.verdicts()) == 2


@pytest.mark.slow
def test_an_interrupted_sweep_resumes_and_ends_as_an_uninterrupted_one(ledger, tmp_path):
    design = plan(ring(150), [SLOWER], range(5))
    seen = []

    def stop_at_third(result):
        seen.append((result.arm, result.seed))
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct(design, tmp_path / "runs", ledger, 2, stop_at_third)
    begun = {path.name for path in (tmp_path / "runs").iterdir()}
    assert len(begun) < 10, "cells that had not begun were cancelled"
    resumed = []
    (row,) = conduct(design, tmp_path / "runs", ledger, 2, resumed.append)
    assert len(resumed) == 7
    assert not {(result.arm, result.seed) for result in resumed} & set(seen)
    for index, seed in enumerate((0, 4)):
        for arm, values in (({}, row.baseline_values), (SLOWER.edit, row.arm_values)):
            recipe = ring(150, **arm, seed=seed)
            alone = train(recipe, tmp_path / f"alone-{index}-{len(arm)}")
            assert values[seed] == alone.outcome.metrics["mode_kl"]


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_one_retry(tmp_path):
    cells = [Cell("a", ring(400, seed=seed), tmp_path / str(seed)) for seed in range(4)]
    victim, results, killed = cells[1], {}, []

    def kill():
        until(lambda: list(victim.run_dir.glob("checkpoints/*.safetensors")))
        pid = int((victim.run_dir / ".lock").read_text())
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    run_cells(cells, lambda result: results.__setitem__(result.seed, result), 2)
    killer.join()
    assert len(killed) == 1
    assert killed[0] != os.getpid()
    assert sorted(results) == [0, 1, 2, 3]
    assert all(result.reason == "" for result in results.values())
    resumed = (victim.run_dir / "trace.jsonl").read_text().count('"type": "resume"')
    assert resumed == 1, "it went on from its checkpoint"
    for cell in cells:
        others = (cell.run_dir / "trace.jsonl").read_text().count('"type": "resume"')
        assert others == (cell is victim), "nobody else lost anything"
    alone = train(victim.recipe, tmp_path / "alone")
    assert results[1].metrics == alone.outcome.metrics
    assert json.loads((victim.run_dir / "result.json").read_text())["finished"]


@pytest.mark.slow
def test_a_worker_killed_every_time_is_a_result_and_the_others_go_on(tmp_path):
    cells = [Cell("a", ring(300, seed=seed), tmp_path / str(seed)) for seed in range(3)]
    victim, results = cells[0], {}
    lock = victim.run_dir / ".lock"

    def kill():
        pids = set()
        while len(pids) < 2:
            until(lambda: lock.exists() and lock.read_text().strip() not in ("", *pids))
            pid = lock.read_text().strip()
            os.kill(int(pid), signal.SIGKILL)
            pids.add(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    run_cells(cells, lambda result: results.__setitem__(result.seed, result), 1)
    killer.join()
    assert results[0].reason == "its worker process died 2 times"
    assert results[0].metrics == {}
    assert [results[seed].reason for seed in (1, 2)] == ["", ""]
