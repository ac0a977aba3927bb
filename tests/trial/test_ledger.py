"""The ledger keeps what it was told, refuses to forget, and survives other writers and kills."""

import contextlib
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from equipoise.errors import RecordError
from equipoise.record import TrialRow
from equipoise.trial.ledger import Ledger, RunRow

VERDICT = TrialRow(
    trial="t1",
    created="2025-01-01T00:00:00+00:00",
    baseline="ring",
    baseline_hash="abc",
    arm="r1 'quoted'; DROP TABLE runs",
    edit={"penalties.r1.gamma": 0.5, "note": "äöü"},
    metric="mode_kl",
    better="lower",
    minimal_effect=0.01,
    seeds=(0, 1, 2),
    baseline_values=(0.5, math.inf, 0.75),
    arm_values=(0.25, 0.5, -math.inf),
    improvement=math.nan,
    interval=(-math.inf, math.inf),
    p_value=0.125,
    verdict="inconclusive",
    reason="3 pairs cannot",
    environment={"torch": "2", "threads": 1},
    failures=("r1/2: non-finite",),
)
RUN = RunRow("abc", 0, "base", "ok", {"mode_kl": 0.1, "fid": math.nan}, code_version="1")


def same(row, other):
    """Equality that takes NaN for equal to NaN."""
    return repr(row) == repr(other)


def ask(path, question):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


def run_python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def test_what_is_entered_comes_back_in_another_process_too(tmp_path):
    path = tmp_path / "deep" / "ledger.sqlite"
    with Ledger(path) as ledger:
        assert same(ledger.add_run(RUN), RUN)
        ledger.add_verdict(VERDICT)
        ledger.add_verdict(replace(VERDICT, trial="t2"))
    with Ledger(path) as ledger:
        assert same(ledger.find_run("abc", 0, "1"), RUN)
        assert [row.trial for row in ledger.verdicts()] == ["t1", "t2"]
        assert [row.trial for row in ledger.verdicts(limit=1)] == ["t2"]
        assert ledger.verdicts(limit=0) == []
        assert same(ledger.verdicts()[0], VERDICT)


def test_a_cell_is_recipe_seed_and_code(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        ledger.add_run(RUN)
        assert ledger.find_run("abc", 1, "1") is None
        assert ledger.find_run("abd", 0, "1") is None
        assert ledger.find_run("abc", 0, "2") is None


def test_a_finished_cell_stands_and_failed_attempts_are_all_kept(tmp_path):
    failed = replace(RUN, status="failed", values={}, reason="killed")
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.add_run(failed).reason == "killed"
        assert ledger.add_run(replace(failed, reason="again")).reason == "again"
        assert ledger.find_run("abc", 0, "1").status == "failed"
        assert same(ledger.add_run(RUN), RUN)
        assert same(ledger.add_run(replace(RUN, values={"mode_kl": 9.0})), RUN)
        assert same(ledger.add_run(failed), RUN)
    rows = ask(tmp_path / "l", "SELECT status FROM runs")
    assert sorted(status for (status,) in rows) == ["failed", "failed", "failed", "ok"]


@pytest.mark.parametrize("table", ["runs", "verdicts"])
@pytest.mark.parametrize("change", ["UPDATE {} SET arm = 'x'", "DELETE FROM {}"])
def test_nothing_is_changed_or_deleted(tmp_path, table, change):
    with Ledger(tmp_path / "l") as ledger:
        ledger.add_run(RUN)
        ledger.add_verdict(VERDICT)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        ask(tmp_path / "l", change.format(table))


def test_a_wrong_status_is_refused(tmp_path):
    with Ledger(tmp_path / "l") as ledger, pytest.raises(ValueError, match="'done'"):
        ledger.add_run(replace(RUN, status="done"))


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("my notes, longer than a page header of a database\n" * 40)
    before = text.read_bytes()
    with pytest.raises(RecordError, match=r"notes\.txt.*not a ledger"):
        Ledger(text)
    assert text.read_bytes() == before
    foreign = tmp_path / "foreign.sqlite"
    database = sqlite3.connect(foreign)
    database.execute("CREATE TABLE runs (x)")
    database.close()
    with pytest.raises(RecordError, match="not a ledger"):
        Ledger(foreign)


def test_a_later_schema_is_refused(tmp_path):
    Ledger(tmp_path / "l").close()
    database = sqlite3.connect(tmp_path / "l")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(RecordError, match=r"schema 99.*upgrade"):
        Ledger(tmp_path / "l")


def test_a_path_that_cannot_be_opened_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "ledger", tmp_path):
        with pytest.raises(RecordError) as error:
            Ledger(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_writer_that_does_not_let_go_is_named_after_the_patience(tmp_path):
    with Ledger(tmp_path / "l", patience=0.1) as ledger:
        other = sqlite3.connect(tmp_path / "l", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RecordError, match="another process"):
            ledger.add_run(RUN)
        other.execute("ROLLBACK")
        other.close()
        assert same(ledger.add_run(RUN), RUN)


WRITER = """
import sys
from equipoise.trial.ledger import Ledger, RunRow
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Ledger(path) as ledger:
    for seed in range(count):
        ledger.add_run(RunRow(name, seed, "arm", "ok", {"fid": float(seed)}))
        print(seed, flush=True)
"""


def test_two_processes_write_at_once_and_both_succeed(tmp_path):
    path = tmp_path / "new" / "ledger"
    writers = [run_python(WRITER, path, name, 20) for name in ("a", "b", "a")]
    for writer in writers:
        assert writer.communicate(timeout=60)[0].split() == [str(i) for i in range(20)]
        assert writer.returncode == 0
    with Ledger(path) as ledger:
        found = [ledger.find_run(name, seed) for name in ("a", "b") for seed in range(20)]
        assert [run.values["fid"] for run in found] == [*range(20), *range(20)]
    rows = ask(path, "SELECT count(*) FROM runs")[0]
    assert rows == (40,)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_what_a_killed_writer_had_entered_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "ledger"
    writer = run_python(WRITER, path, "a", 100000)
    told = [int(writer.stdout.readline()) for _ in range(10)]
    os.kill(writer.pid, signal.SIGKILL)
    told += [int(line) for line in writer.communicate()[0].split()]
    with Ledger(path) as ledger:
        assert all(ledger.find_run("a", seed).values == {"fid": seed} for seed in told)
        assert ledger.find_run("a", told[-1] + 2) is None
    assert ask(path, "PRAGMA integrity_check")[0] == ("ok",)


TORN = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")  # pages go to the file before the commit
database.execute("BEGIN IMMEDIATE")
for seed in range(2000):
    database.execute(
        "INSERT INTO runs VALUES (NULL, 'torn', ?, 'a', 'ok', '{}', ?, 0, '', '', '{}')",
        (seed, "x" * 500),
    )
os._exit(9)
"""


def test_a_writer_that_dies_within_an_entry_leaves_the_ledger_as_it_was(tmp_path):
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        ledger.add_run(RUN)
    before = path.stat().st_size
    writer = run_python(TORN, path)
    writer.communicate(timeout=60)
    assert writer.returncode == 9
    assert path.stat().st_size > before  # the torn entry did reach the file
    with Ledger(path) as ledger:
        assert ledger.find_run("torn", 0) is None
        assert same(ledger.find_run("abc", 0, "1"), RUN)
        ledger.add_verdict(VERDICT)
    assert ask(path, "PRAGMA integrity_check")[0] == ("ok",)


def test_verdicts_are_plain_json_in_the_file(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        ledger.add_verdict(VERDICT)
    cells = ask(tmp_path / "l", 'SELECT "row", arm FROM verdicts')[0]
    plain = json.loads(cells[0], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert plain["improvement"] == {"number": "nan"}
    assert cells[1] == VERDICT.arm
