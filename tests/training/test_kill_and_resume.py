"""Runs killed with -9 at any moment, resumed, and compared bitwise with one never killed."""

import functools
import random
import signal
import subprocess
import sys
import time

import pytest
from training_processes import Command, die_after, equipoise, train_arguments, until
from training_scenario import check_files, checkpoints, halt, metrics, same, small, weights

from equipoise.errors import RecordError
from equipoise.training import resume, start

# much of the time goes into files, so that many kills fall there
BUSY = {"steps": 150, "evaluation__every_kimg": 0.096, "checkpoint__every_kimg": 0.032}
KILLS = {"ring": 14, "digits": 6}


def check_equal(whole, run_dir):
    """The run in `run_dir` ended as the one in `whole`, and all its files can be read."""
    trace = check_files(run_dir)
    assert trace.damaged <= 1  # the line under way at the kill
    assert same(weights(whole), weights(run_dir))
    assert metrics(whole) == metrics(run_dir)
    assert [path.name for path in checkpoints(run_dir)] == [
        path.name for path in checkpoints(whole)
    ]


def finish(recipe, folder, run_dir):
    """Play what a kill left to its end, as a user would; returns how far the kill let it come."""
    if (run_dir / "recipe.yaml").is_file():
        come = "before the first checkpoint" if not checkpoints(run_dir) else "later"
        code, said = equipoise("resume", run_dir, "--no-progress")
    else:
        come = "before it was a run"
        code, said = equipoise("resume", run_dir, "--no-progress")
        assert (code, said.count("\n")) == (2, 1), said
        assert "equipoise train RECIPE --run-dir" in said
        code, said = equipoise(*train_arguments(recipe, folder, run_dir))
    assert code == 0, said
    return come


@pytest.mark.slow
@pytest.mark.parametrize("preset", KILLS)
def test_killed_anywhere_and_resumed_ends_bitwise_as_never_killed(preset, tmp_path):
    recipe = small(preset, **BUSY)
    equipoise("list", "presets")  # so that the time of the server's own start is nobody's
    began = time.monotonic()
    code, said = equipoise(*train_arguments(recipe, tmp_path, tmp_path / "whole"))
    lasted = time.monotonic() - began
    assert code == 0, said
    rng, landed, kills, tries = random.Random(preset), {}, 0, 0
    while kills < KILLS[preset]:
        tries += 1
        assert tries <= 10 * KILLS[preset], f"only {landed} of {tries} kills came in time"
        run_dir = tmp_path / f"killed-{tries}"
        command = Command(*train_arguments(recipe, tmp_path, run_dir))
        share = (tries % KILLS[preset] + rng.random()) / KILLS[preset]  # spread over the whole run
        time.sleep(lasted * share)
        if command.kill() != -signal.SIGKILL:
            lasted *= 0.8  # it had ended by itself: the machine is less busy than it was
            continue
        writing = bool(list(run_dir.rglob("*.tmp")))
        for place in [finish(recipe, tmp_path, run_dir), *["in a write"] * writing]:
            landed[place] = landed.get(place, 0) + 1
        kills += 1
        check_equal(tmp_path / "whole", run_dir)
    assert landed.get("later", 0) >= KILLS[preset] // 3, landed
    print(preset, landed)


@pytest.mark.slow
def test_killed_again_and_again_it_still_ends_as_never_killed(tmp_path):
    recipe = small(**BUSY)
    start(recipe, tmp_path / "whole")
    run_dir, kills, steps = tmp_path / "run", 0, [0]
    command = Command(*train_arguments(recipe, tmp_path, run_dir))
    while kills < 4:
        until(lambda: checkpoints(run_dir) and int(checkpoints(run_dir)[-1].stem[5:]) > steps[-1])
        steps.append(int(checkpoints(run_dir)[-1].stem[5:]))
        if command.kill() != -signal.SIGKILL:
            break
        kills += 1
        command = Command("resume", run_dir, "--no-progress")
    assert command.wait()[0] in (0, -signal.SIGKILL)
    assert kills >= 2
    assert equipoise("resume", run_dir, "--no-progress")[0] == 0
    check_files(run_dir)
    assert same(weights(tmp_path / "whole"), weights(run_dir))
    assert metrics(tmp_path / "whole") == metrics(run_dir)


@pytest.mark.slow
def test_the_program_itself_killed_at_its_start_and_in_its_course(tmp_path):
    """`python -m equipoise`, nothing imported before: killed as it imports, and as it plays."""
    recipe = small(**BUSY)
    start(recipe, tmp_path / "whole")
    run_dir = tmp_path / "run"
    arguments = [sys.executable, "-m", "equipoise"]
    train = [*arguments, *map(str, train_arguments(recipe, tmp_path, run_dir))]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    early = subprocess.Popen(train, **quiet)
    time.sleep(0.3)
    early.kill()
    early.communicate()
    assert not run_dir.exists()
    late = subprocess.Popen(train, **quiet)
    until(lambda: checkpoints(run_dir))
    late.kill()
    assert late.wait() == -signal.SIGKILL
    late.communicate()
    resume = [*arguments, "resume", str(run_dir), "--no-progress"]
    ended = subprocess.run(resume, **quiet, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    check_files(run_dir)
    assert same(weights(tmp_path / "whole"), weights(run_dir))


@pytest.mark.parametrize("last", ["_introduce", "picture_reals", "write_text"])
def test_killed_at_every_stage_of_its_start(last, tmp_path):
    """Killed after the trace's header, the samples, and the recipe, which makes it a run."""
    recipe = small()
    start(recipe, tmp_path / "whole")
    run_dir = tmp_path / "run"
    arguments = train_arguments(recipe, tmp_path, run_dir)
    code, said = Command(*arguments, setup=functools.partial(die_after, last)).wait()
    assert code == -signal.SIGKILL, said
    assert (run_dir / ".starting").exists()
    assert (run_dir / "recipe.yaml").exists() == (last == "write_text")
    finish(recipe, tmp_path, run_dir)
    check_equal(tmp_path / "whole", run_dir)
    assert len([b for b in check_files(run_dir).blobs if b.name == "samples/real"]) == 1


def test_a_start_that_was_killed_half_way_is_refused_by_resume_and_taken_over_by_train(tmp_path):
    recipe = small()
    start(recipe, tmp_path / "whole")
    run_dir = tmp_path / "run"
    (run_dir / "samples").mkdir(parents=True)
    for name in (".starting", ".lock", ".recipe.yaml.77.tmp", "samples/.x.npy.77.tmp"):
        (run_dir / name).touch()
    (run_dir / "trace.jsonl").write_text('{"type": "header", "sch')
    (run_dir / "samples" / "samples-real-00000000.npy").write_bytes(b"\x93NUMPY torn")
    code, said = equipoise("resume", run_dir)
    assert (code, said.count("\n")) == (2, 1)
    assert "killed before its first step" in said
    code, said = equipoise(*train_arguments(recipe, tmp_path, run_dir))
    assert code == 0, said
    assert check_files(run_dir).damaged == 0
    assert same(weights(tmp_path / "whole"), weights(run_dir))


def test_a_directory_with_something_of_somebody_elses_is_left_alone(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    mine = dict.fromkeys(("trace.jsonl", ".editor.tmp", ".lock"), "mine")
    for name, text in mine.items():
        (run_dir / name).write_text(text)
    with pytest.raises(RecordError, match=r"is not empty \(it holds '.editor.tmp'\)"):
        start(small(), run_dir)
    assert {path.name: path.read_text() for path in run_dir.iterdir()} == mine
    (run_dir / ".starting").touch()
    (run_dir / "notes.txt").write_text("mine")
    with pytest.raises(RecordError, match=r"is not empty \(it holds 'notes.txt'\)"):
        start(small(), run_dir)
    assert (run_dir / "notes.txt").read_text() == (run_dir / "trace.jsonl").read_text() == "mine"


def test_a_run_is_not_started_over(tmp_path):
    start(small(), tmp_path / "run")
    before = weights(tmp_path / "run")
    code, said = equipoise(*train_arguments(small(seed=1), tmp_path, tmp_path / "run"))
    assert (code, said.count("error: ")) == (2, 1)
    assert f"go on with: equipoise resume {tmp_path / 'run'}" in said
    assert same(before, weights(tmp_path / "run"))


@pytest.mark.parametrize("make", ["nothing", "a file", "an empty directory"])
def test_what_is_no_run_is_not_resumed(make, tmp_path):
    place = tmp_path / "run"
    {"nothing": lambda: None, "a file": place.touch, "an empty directory": place.mkdir}[make]()
    with pytest.raises(RecordError, match=r"holds no run to resume \(no recipe.yaml\)"):
        resume(place)
    assert sorted(tmp_path.rglob("*")) == ([] if make == "nothing" else [place])


def test_a_file_is_no_place_for_a_run(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RecordError, match="is a file"):
        start(small(), tmp_path / "run")


@pytest.mark.parametrize("made_before", [False, True])
def test_a_start_that_fails_leaves_the_place_as_it_was(made_before, tmp_path, monkeypatch):
    import equipoise.training.run as module

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "picture_reals", fail)
    if made_before:
        (tmp_path / "run").mkdir()
    with pytest.raises(RecordError, match="No space left on device"):
        start(small(), tmp_path / "run")
    assert sorted(tmp_path.rglob("*")) == ([tmp_path / "run"] if made_before else [])


def test_a_run_in_use_is_refused_and_free_again_after_a_kill(tmp_path):
    run_dir = tmp_path / "run"
    recipe = small(steps=20_000, checkpoint__every_kimg=0.032)
    command = Command(*train_arguments(recipe, tmp_path, run_dir))
    try:
        until(lambda: checkpoints(run_dir))
        for arguments in (["resume", run_dir], train_arguments(recipe, tmp_path, run_dir)):
            code, said = equipoise(*arguments)
            assert (code, said.count("error: ")) == (2, 1), said
            assert f"is in use by process {command.process.pid}" in said
        with pytest.raises(RecordError, match="in use"):
            resume(run_dir)
    finally:
        assert command.kill() == -signal.SIGKILL
    outcome = resume(run_dir, (halt(int(checkpoints(run_dir)[-1].stem[5:]) + 3),))
    assert outcome.reason == "half-way"


def test_of_two_starts_in_one_place_one_plays(tmp_path):
    """Both pass the first look; the lock and the look under it decide."""
    recipe = small()
    arguments = train_arguments(recipe, tmp_path, tmp_path / "run")
    first, second = Command(*arguments), Command(*arguments)
    ends = [first.wait(), second.wait()]
    assert sorted(code for code, _ in ends) == [0, 2], ends
    start(recipe, tmp_path / "whole")
    check_equal(tmp_path / "whole", tmp_path / "run")


def test_a_place_that_was_taken_while_the_run_was_built_is_refused(tmp_path, monkeypatch):
    import equipoise.training.run as module

    run_dir, real = tmp_path / "run", module.build

    def build_late(recipe):
        monkeypatch.undo()
        start(small(seed=1), run_dir)  # another process was faster, and has ended
        return real(recipe)

    monkeypatch.setattr(module, "build", build_late)
    with pytest.raises(RecordError, match="holds a run; go on with"):
        start(small(), run_dir)
    start(small(seed=1), tmp_path / "whole")
    check_equal(tmp_path / "whole", run_dir)


def test_what_killed_writers_left_is_swept_away(tmp_path):
    run_dir = tmp_path / "run"
    start(small(), run_dir, (halt(7),))
    for name in (".result.json.7.tmp", "checkpoints/.step-00000010.safetensors.7.tmp"):
        (run_dir / name).write_bytes(b"torn")
    (run_dir / ".starting").touch()
    resume(run_dir)
    check_files(run_dir)
