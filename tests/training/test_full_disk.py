"""A disk without room: one clear line, nothing half written, and a run that goes on later."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest
from training_processes import equipoise, train_arguments
from training_scenario import check_files, checkpoints, same, small, weights

from equipoise.training import start

RECIPE = small(steps=60, evaluation__every_kimg=0.032, checkpoint__every_kimg=0.08)


def one_error(said):
    """The single line that says what could not be written."""
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "cannot write" in line
    assert "free some space" in line
    return line


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("disk") / "whole"
    folder = run_dir.parent
    assert equipoise(*train_arguments(RECIPE, folder, run_dir))[0] == 0
    return run_dir


def size(path):
    return path.stat().st_size


@pytest.mark.parametrize("limit", [0, 100, "samples", "recipe"])
def test_no_room_for_the_start_leaves_no_directory(limit, whole, tmp_path):
    """Nothing fits; the trace's header does not; the samples do not; all but the recipe fit."""
    recipe = RECIPE
    if limit == "samples":
        recipe = RECIPE.edit({"evaluation.sample_grid": 1024})
        limit = 7000
        assert limit < 1024 * 2 * 4
    elif limit == "recipe":
        limit = size(whole / "recipe.yaml") - 1
        recipe = RECIPE.edit({"description": "x" * 10})
    code, said = equipoise(*train_arguments(recipe, tmp_path, tmp_path / "run"), limit=limit)
    assert code == 2, said
    one_error(said)
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("where", ["checkpoint", "trace"])
def test_no_room_later_keeps_a_run_that_resumes(where, whole, tmp_path):
    run_dir = tmp_path / "run"
    recipe, limit = RECIPE, size(checkpoints(whole)[-1]) - 1
    if where == "trace":
        limit = size(whole / "trace.jsonl") - 2000
        assert limit > size(checkpoints(whole)[-1]), "then the checkpoint would fail first"
    code, said = equipoise(*train_arguments(recipe, tmp_path, run_dir), limit=limit)
    assert code == 2, said
    line = one_error(said)
    assert "Traceback" not in said
    assert (".safetensors" if where == "checkpoint" else "trace.jsonl") in line
    check_files(run_dir)
    assert bool(checkpoints(run_dir)) == (where == "trace")
    code, said = equipoise("resume", run_dir, "--no-progress", limit=limit)
    assert code == 2, said
    check_files(run_dir)
    code, said = equipoise("resume", run_dir, "--no-progress")
    assert code == 0, said
    check_files(run_dir)
    assert same(weights(whole), weights(run_dir))


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 128 KiB of its own, and the function that gives it room."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None or not sys.platform.startswith("linux"):
        pytest.skip("only root may mount")
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")

    def give_room():
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)

    try:
        yield place, give_room
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up_and_is_freed(tiny_disk, whole, tmp_path):
    place, give_room = tiny_disk
    run_dir = place / "run"
    code, said = equipoise(*train_arguments(RECIPE, tmp_path, run_dir))
    assert code == 2, said
    assert "No space left on device" in one_error(said)
    check_files(run_dir)
    give_room()
    code, said = equipoise("resume", run_dir, "--no-progress")
    assert code == 0, said
    check_files(run_dir)
    assert same(weights(whole), weights(run_dir))


def test_a_full_disk_leaves_no_directory(tiny_disk, tmp_path):
    place, _ = tiny_disk
    (place / "filler").touch()
    with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as filler:
        while filler.write(b"\0" * 4096):
            pass
    code, said = equipoise(*train_arguments(RECIPE, tmp_path, place / "run"))
    assert code == 2, said
    one_error(said)
    assert [path.name for path in place.iterdir()] == ["filler"]


def test_the_older_checkpoint_outlives_a_failed_write(tmp_path, monkeypatch):
    from equipoise.errors import RecordError
    from equipoise.record import atomic
    from equipoise.training import resume

    run_dir = tmp_path / "run"
    real, count = os.replace, []

    def refuse_third(source, target):
        if str(target).endswith(".safetensors"):
            count.append(target)
            if len(count) == 3:
                raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(atomic.os, "replace", refuse_third)
    with pytest.raises(RecordError, match=r"step-00000015.*No space left"):
        start(small(), run_dir)
    monkeypatch.undo()
    assert [path.stem for path in checkpoints(run_dir)] == ["step-00000005", "step-00000010"]
    check_files(run_dir)
    start(small(), tmp_path / "whole")
    resume(run_dir)
    assert same(weights(tmp_path / "whole"), weights(run_dir))
