"""Ctrl-C and SIGTERM: the state is saved, the way on is said, and the end is bitwise the same."""

import signal
import threading

import pytest
from training_processes import Command, equipoise, train_arguments, until
from training_scenario import Witness, check_files, checkpoints, same, small, weights

from equipoise.training import resume, start

LONG = {"steps": 100, "checkpoint__every_kimg": 0.032}


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_says_how_to_go_on_and_loses_nothing(kind, tmp_path):
    recipe = small(**LONG)
    start(recipe, tmp_path / "whole")
    run_dir = tmp_path / "run"
    command = Command(*train_arguments(recipe, tmp_path, run_dir))
    until(lambda: checkpoints(run_dir))
    command.signal(kind)
    code, said = command.wait()
    assert code == 130, said
    assert f"equipoise resume {run_dir}" in said.replace("\n", "")
    assert "Traceback" not in said
    assert int(checkpoints(run_dir)[-1].stem[5:]) < 100
    check_files(run_dir)
    code, said = equipoise("resume", run_dir, "--no-progress")
    assert code == 0, said
    assert same(weights(tmp_path / "whole"), weights(run_dir))


def test_a_signal_in_the_middle_of_a_start_leaves_nothing(tmp_path):
    recipe = small()
    arguments = train_arguments(recipe, tmp_path, tmp_path / "run")
    code, said = Command(*arguments, setup=_interrupted_start).wait()
    assert code == 130, said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def _interrupted_start():
    import equipoise.training.run as module

    module.picture_reals = lambda *_: signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_the_iteration_under_way_is_finished_and_saved(kind, tmp_path):
    witness = Witness({7: lambda: signal.raise_signal(kind)})
    outcome = start(small(), tmp_path / "run", (witness,))
    assert (outcome.step, outcome.interrupted, outcome.finished) == (7, True, False)
    assert checkpoints(tmp_path / "run")[-1].stem == "step-00000007"
    start(small(), tmp_path / "whole")
    assert resume(tmp_path / "run").finished
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_acts_at_once(second, tmp_path, monkeypatch):
    """Whichever of the two comes second; the former handlers are back as soon as one came."""

    class AtOnceError(Exception):
        pass

    def former(*_):
        raise AtOnceError

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(second)
        raise AssertionError("the second signal waited")

    kept = signal.signal(second, former)
    try:
        with pytest.raises(AtOnceError):
            start(small(), tmp_path / "run", (Witness({13: twice}),))
    finally:
        signal.signal(second, kept)
    assert checkpoints(tmp_path / "run")[-1].stem == "step-00000010"
    start(small(), tmp_path / "whole")
    resume(tmp_path / "run")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


def test_a_second_ctrl_c_is_a_keyboard_interrupt(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(small(), tmp_path / "run", (Witness({3: twice}),))


def test_handlers_are_given_back(tmp_path):
    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    start(small(steps=2), tmp_path / "run")
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_was_ignored_stays_ignored(tmp_path):
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        witness = Witness({7: lambda: signal.raise_signal(signal.SIGINT)})
        assert start(small(), tmp_path / "run", (witness,)).finished
    finally:
        signal.signal(signal.SIGINT, kept)


def test_a_run_in_a_thread_leaves_signals_alone(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    found = []
    witness = Witness({2: lambda: found.append(signal.getsignal(signal.SIGINT))})
    thread = threading.Thread(target=start, args=(small(steps=3), tmp_path / "run", (witness,)))
    thread.start()
    thread.join()
    assert found == [before]
    assert (tmp_path / "run" / "result.json").is_file()
