"""Whole files or none, and one holder per run directory, also when the holder is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from equipoise.errors import RecordError
from equipoise.record import Lock, replacing, sweep_temporaries, write_bytes, write_text

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def run_python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def test_a_file_is_replaced_whole_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "ä")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def _fail_half_way(path):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError("half way")


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "f"
    write_text(path, "old")
    with pytest.raises(KeyError, match="half way"):
        _fail_half_way(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_refusal_of_the_file_system_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot write") as error:
        write_text(tmp_path / "file" / "below", "x")
    assert "\n" not in str(error.value)


KILLED = """
import sys
from pathlib import Path
from equipoise.record import write_bytes
print("ready", flush=True)
while True:
    for letter in b"ab":
        write_bytes(Path(sys.argv[1]), bytes([letter]) * 200_000)
"""


@POSIX
def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new(tmp_path):
    path = tmp_path / "state"
    write_bytes(path, b"a" * 200_000)
    for delay in (0.0, 0.003, 0.011, 0.02, 0.05):
        writer = run_python(KILLED, path)
        writer.stdout.readline()
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000)
    sweep_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_sweeping_takes_what_writers_left_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (".state.17.tmp", "deep/.x.3.tmp", "keep.tmp", ".hidden"):
        (tmp_path / name).write_text("")
    assert sweep_temporaries(tmp_path) == 2
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [".hidden", "keep.tmp"]


HOLDER = """
import sys
from pathlib import Path
from equipoise.record import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@POSIX
def test_a_lock_holds_between_processes_and_is_freed_by_a_kill(tmp_path):
    path = tmp_path / "run" / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RecordError, match=f"in use by process {holder.pid};"):
        Lock(path).acquire()
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with Lock(path):
        assert path.read_text() == str(os.getpid())


def test_a_lock_may_be_released_twice_and_taken_again(tmp_path):
    lock = Lock(tmp_path / ".lock")
    lock.acquire()
    with pytest.raises(RecordError, match="in use"):
        Lock(tmp_path / ".lock").acquire()
    lock.release()
    lock.release()
    with Lock(tmp_path / ".lock"):
        assert (tmp_path / ".lock").exists()
