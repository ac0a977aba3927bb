"""The trace: what is written comes back, and a kill, a full disk or junk costs at most a line."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.errors import RecordError
from equipoise.record import Blob, Series, Trace, TraceWriter
from equipoise.record.trace import FILE_NAME

FLOATS = st.floats(allow_nan=True, allow_infinity=True)
NAMES = st.text(min_size=1, max_size=12)
ROWS = st.dictionaries(
    st.integers(0, 2**40), st.dictionaries(NAMES, FLOATS, max_size=4), min_size=1, max_size=6
)
FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def small_trace(path):
    """A trace with a line of every kind; returns the writer's calls as steps of rows."""
    with TraceWriter(path) as writer:
        writer.header(objective="hinge", batch=4)
        writer.fact("wiring", {"shared": False})
        for step in range(1, 5):
            writer.row(step, step / 250, step / 10, {"loss/generator": step / 3, "ü": math.nan})
        writer.blob(4, "samples", "samples/4.png")
        writer.event(4, "finding", failure="non_finite")
    return path


@FEW
@given(rows=ROWS)
def test_rows_come_back_to_the_bit(tmp_path, rows):
    path = tmp_path / "t.jsonl"
    path.unlink(missing_ok=True)
    with TraceWriter(path) as writer:
        for step, signals in rows.items():
            writer.row(step, step / 1000, math.inf, signals)
    trace = Trace.read(path)
    assert trace.damaged == 0
    assert trace.kimg.steps.tolist() == sorted(rows)
    assert trace.kimg.values.tolist() == [step / 1000 for step in sorted(rows)]
    names = {name for signals in rows.values() for name in signals}
    assert set(trace.signals) == names
    for name in names:
        steps = sorted(step for step in rows if name in rows[step])
        assert trace.series(name).steps.tolist() == steps
        expected = np.array([rows[step][name] for step in steps])
        np.testing.assert_array_equal(trace.series(name).values, expected)


@FEW
@given(values=st.dictionaries(NAMES, st.one_of(st.text(), st.integers(), st.booleans(), st.none())))
def test_header_and_facts_come_back(tmp_path, values):
    path = tmp_path / "t.jsonl"
    path.unlink(missing_ok=True)
    with TraceWriter(path) as writer:
        writer.header(recipe=values)
        writer.fact("f", values)
    trace = Trace.read(path)
    assert trace.header["recipe"] == values
    assert trace.facts["f"] == values


def test_numpy_values_and_paths_are_written_as_plain_ones(tmp_path):
    with TraceWriter(tmp_path) as writer:
        writer.header(batch=np.int64(3), folder=tmp_path)
        writer.row(np.int64(1), np.float32(0.5), 0.0, {"a": np.float64("nan"), "b": np.float32(2)})
        with pytest.raises(TypeError, match="trace holds JSON values, not set"):
            writer.fact("f", {1})
    trace = Trace.read(tmp_path)
    assert trace.header["batch"] == 3
    assert trace.series("b").last == 2.0
    assert math.isnan(trace.series("a").last)


def test_blobs_and_events_come_back(tmp_path):
    trace = Trace.read(small_trace(tmp_path / "t.jsonl"))
    assert trace.blobs == (Blob(4, "samples", "samples/4.png"),)
    assert [(e["step"], e["kind"], e["failure"]) for e in trace.events] == [
        (4, "finding", "non_finite")
    ]
    with pytest.raises(TypeError):
        trace.events[0]["step"] = 5


def test_rows_of_one_step_are_merged_and_the_later_value_wins(tmp_path):
    with TraceWriter(tmp_path) as writer:
        writer.row(1, 0, 0, {"a": 1.0, "b": 1.0})
        writer.row(1, 0, 0, {"b": 2.0})
    trace = Trace.read(tmp_path)
    assert (trace.series("a").last, trace.series("b").last) == (1.0, 2.0)
    assert len(trace.series("b")) == 1


def test_a_trace_torn_at_any_byte_is_readable_and_loses_that_line_alone(tmp_path):
    data = small_trace(tmp_path / "whole.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    torn = tmp_path / "torn.jsonl"
    for size in range(len(data) + 1):
        torn.write_bytes(data[:size])
        trace = Trace.read(torn)
        whole = sum(end <= size or end == size + 1 for end in ends)  # one may lack its end alone
        assert len(trace.kimg) == min(max(whole - 2, 0), 4)
        assert trace.damaged == (size not in {0, *ends} and size + 1 not in ends)
        assert bool(trace.header) == (whole >= 1)


def test_a_writer_goes_on_behind_a_torn_line_at_any_byte(tmp_path):
    data = small_trace(tmp_path / "whole.jsonl").read_bytes()
    torn = tmp_path / "torn.jsonl"
    for size in range(len(data) + 1):
        torn.write_bytes(data[:size])
        before = Trace.read(torn)
        with TraceWriter(torn) as writer:
            writer.row(100, 1.0, 1.0, {"loss/generator": 9.0})
        after = Trace.read(torn)
        assert after.series("loss/generator").last == 9.0
        assert after.damaged == before.damaged
        assert after.kimg.steps.tolist() == [*before.kimg.steps.tolist(), 100]


def test_what_comes_after_a_resume_stands_and_what_it_voids_is_gone(tmp_path):
    small_trace(tmp_path / FILE_NAME)
    with TraceWriter(tmp_path) as writer:
        writer.resume(2)
        writer.row(3, 0.1, 0.1, {"loss/generator": 7.0})
    trace = Trace.read(tmp_path)
    assert trace.series("loss/generator").steps.tolist() == [1, 2, 3]
    assert trace.series("loss/generator").last == 7.0
    assert trace.blobs == ()
    assert trace.events == ()
    assert trace.header["objective"] == "hinge"


def test_a_later_schema_is_refused_and_junk_is_not(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"type": "header", "schema": 2}\n')
    with pytest.raises(RecordError, match=r"schema 2.*upgrade"):
        Trace.read(path)
    path.write_bytes(
        bytes(range(256)) + b'\n[1]\n"x"\n{"type": "row"}\n{"type": "row", "step": 1}\n'
    )
    assert Trace.read(path).damaged >= 4


def test_a_path_without_a_trace_is_said_in_one_line(tmp_path):
    with pytest.raises(RecordError, match=r"cannot read trace .*trace\.jsonl"):
        Trace.read(tmp_path)
    with pytest.raises(RecordError, match="cannot write"):
        TraceWriter(tmp_path / "absent" / "t.jsonl")


DAMAGED = [
    '{"type": "row", "step": "x", "signals": {}}',
    '{"type": "row", "step": 1e400, "signals": {}}',
    '{"type": "row", "step": 1e30, "signals": {}}',
    '{"type": "row", "step": 1, "signals": [1]}',
    '{"type": "row", "step": 1, "signals": {"a": null}}',
    '{"type": "row", "step": 1, "signals": {"a": "abc"}}',
    '{"type": "header", "schema": "x"}',
    '{"type": "fact", "name": [1], "value": 2}',
    '{"type": "resume", "step": null}',
    "[" * 100_000,
]


@pytest.mark.parametrize("line", DAMAGED, ids=lambda line: line[:50])
def test_a_line_with_a_wrong_value_counts_as_damaged(tmp_path, line):
    row = '{"type": "row", "step": 1, "signals": {"a": 1}}'
    (tmp_path / "t.jsonl").write_text(f"{row}\n{line}\n")
    trace = Trace.read(tmp_path / "t.jsonl")
    assert trace.damaged == 1
    assert trace.series("a").last == 1


def test_facts_hold_numbers_that_are_not_finite(tmp_path):
    with TraceWriter(tmp_path) as writer:
        writer.fact("worst", {"loss": math.nan})
    assert Trace.read(tmp_path).facts["worst"] == {"loss": "nan"}


FULL = """
import resource, signal, sys
from equipoise.errors import RecordError
from equipoise.record import TraceWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
with TraceWriter(sys.argv[1]) as writer:
    step = 0
    try:
        while True:
            writer.row(step + 1, 0.0, 0.0, {"loss/generator": 0.5})
            step += 1
    except RecordError as error:
        print(step, str(error))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX limits")
def test_a_full_disk_is_told_and_leaves_whole_lines_only(tmp_path):
    path = tmp_path / "t.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, message = done.stdout.split(" ", 1)
    assert str(path) in message
    assert "free some space" in message
    data = path.read_bytes()
    assert data.endswith(b"\n")
    assert [json.loads(line)["step"] for line in data.splitlines()] == [*range(1, int(count) + 1)]
    assert int(count) > 3


def test_from_columns_makes_what_a_file_would_and_refuses_uneven_ones():
    trace = Trace.from_columns([3, 5], {"a": [1, 2]}, {"objective": "hinge"})
    assert trace.series("a").values.tolist() == [1, 2]
    assert trace.last_step == 5
    assert "a" in trace
    assert "b" not in trace
    assert len(trace.series("b")) == 0
    assert math.isnan(trace.series("b").last)
    with pytest.raises(ValueError, match="'b' has 1 values for 2 steps"):
        Trace.from_columns([3, 5], {"b": [1]})


@given(st.lists(st.floats(), max_size=20), st.integers(-5, 25))
def test_series_are_cut_by_step_and_by_finiteness(values, step):
    series = Series(np.arange(len(values)), np.array(values, float))
    assert len(series.since(step)) + len(series.until(step - 1)) == len(series)
    assert all(s >= step for s in series.since(step).steps)
    assert np.isfinite(series.finite().values).all()
    assert len(series.finite()) == sum(map(math.isfinite, values))


def test_a_trace_until_a_step_holds_what_was_known_then(tmp_path):
    with TraceWriter(tmp_path) as writer:
        for step in (1, 2, 3):
            writer.row(step, step / 10, step, {"a": step})
            writer.blob(step, "samples/fixed", f"{step}.npy")
            writer.event(step, "warning")
    known = Trace.read(tmp_path).until(2)
    assert known.last_step == 2
    assert known.series("a").values.tolist() == [1, 2]
    assert [blob.step for blob in known.blobs] == [1, 2]
    assert [event["step"] for event in known.events] == [1, 2]
