"""Sinks: each tracker reads back what the trace holds, and none can harm loop or neighbours."""

import contextlib
import json
import os
import random
import sqlite3
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_changes_nothing import bitwise_equal, everything
from toy_loop import dense, play

from equipoise.errors import MissingExtraError
from equipoise.logs import read_log
from equipoise.monitor import Monitor
from equipoise.monitor.sinks import (
    MLflowSink,
    Sink,
    TensorBoardSink,
    TrackioSink,
    WandbSink,
)

LOSS = "loss/discriminator"


class Memory:
    """A sink that remembers."""

    def __init__(self):
        self.rows, self.findings, self.closed = [], [], 0

    def write(self, step, values):
        self.rows.append((step, values))

    def finding(self, step, finding):
        self.findings.append((step, finding.failure))

    def close(self):
        self.closed += 1


def rows(trace, name):
    series = trace.series(name)
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def same(got, expected):
    assert [step for step, _ in got] == [step for step, _ in expected]
    np.testing.assert_allclose([v for _, v in got], [v for _, v in expected], rtol=1e-6)


def test_a_sink_gets_every_tick_and_each_finding_once():
    memory = Memory()
    state = play(12, dense(sinks=[memory]), nan_at=7)
    trace = state.monitor.trace()
    assert [step for step, _ in memory.rows] == list(range(1, 13))
    for name in trace.signals:
        same([(s, v[name]) for s, v in memory.rows if name in v], rows(trace, name))
    assert memory.findings == [(7, "non_finite")]
    assert memory.closed == 0
    state.monitor.close()
    state.monitor.close()
    assert memory.closed == 1
    assert isinstance(memory, Sink)


def test_the_rest_of_a_tick_and_late_findings_come_at_the_end():
    memory = Memory()
    state = play(12, dense(sinks=[memory], tick=5), nan_at=12)
    assert [step for step, _ in memory.rows] == [5, 10]
    assert memory.findings == []
    state.monitor.close()
    assert [step for step, _ in memory.rows] == [5, 10, 12]
    assert memory.findings == [(12, "non_finite")]


def test_a_function_is_a_sink():
    heard = []
    play(8, dense(sinks=[lambda *given: heard.append(given)]), nan_at=7)
    assert [step for step, values in heard if LOSS in values] == list(range(1, 9))
    assert [(s, v) for s, v in heard if LOSS not in v] == [(7, {"finding/non_finite": 0.99})]


class Broken(Memory):
    def __init__(self, *at):
        super().__init__()
        self.at, self.calls = at, []

    def _meet(self, name):
        self.calls.append(name)
        if name in self.at:
            raise OSError("disk full")

    def write(self, step, values):
        values.clear()  # what one sink does to its copy is nobody else's matter
        self._meet("write")

    def finding(self, step, finding):
        self._meet("finding")

    def close(self):
        self._meet("close")


@pytest.mark.parametrize("at", ["write", "finding", "close"])
def test_a_sink_that_raises_is_said_once_and_is_off(capsys, at):
    broken, memory = Broken(at), Memory()
    state = play(12, dense(sinks=[broken, memory]), nan_at=7)
    state.monitor.close()
    assert state.done == 12
    said = capsys.readouterr().err
    assert said.count("the sink Broken failed and is off (OSError: disk full)") == 1
    assert said[-1] == "\n"
    assert said.count("\n") == 1
    assert broken.calls.count(at) == 1
    assert broken.calls[-1] == at
    assert [step for step, _ in memory.rows] == list(range(1, 13))
    assert LOSS in memory.rows[-1][1]
    assert (memory.findings, memory.closed) == ([(7, "non_finite")], 1)
    assert state.monitor.diagnose().findings[0].failure == "non_finite"


@pytest.mark.parametrize(
    ("sinks", "message"),
    [
        ([3], "sinks holds int: pass objects with write, finding and close"),
        ([TensorBoardSink], "sinks holds TensorBoardSink"),
        (Memory(), "pass a list of sinks"),
        ("runs", "pass a list of sinks"),
    ],
)
def test_what_is_no_sink_is_refused(sinks, message):
    with pytest.raises(ValueError, match=message):
        Monitor(None, None, sinks=sinks)


@pytest.mark.parametrize("kind", [TensorBoardSink, WandbSink, MLflowSink, TrackioSink])
def test_what_is_no_writer_is_refused(kind):
    with pytest.raises(ValueError, match=r"target is int.*: pass .*, or a "):
        kind(3)


@pytest.mark.parametrize("kind", [TensorBoardSink, WandbSink, MLflowSink])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"folder = .*give one that can be made"):
        kind(tmp_path / "file" / "runs")


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        (TensorBoardSink, "tensorboard"),
        (WandbSink, "wandb"),
        (MLflowSink, "mlflow"),
        (TrackioSink, "trackio"),
    ],
)
def test_a_missing_package_is_one_line_with_the_command(tmp_path, monkeypatch, kind, module):
    for name in [n for n in sys.modules if n.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as error:
        kind(str(tmp_path))
    assert f"pip install 'equipoise[{module}]'" in str(error.value)
    assert "\n" not in str(error.value)


def test_tensorboard_reads_back_what_the_trace_holds(tmp_path):
    state = play(9, dense(sinks=[TensorBoardSink(tmp_path, prefix="")]), nan_at=8)
    state.monitor.close()
    read = read_log(tmp_path)
    same(rows(read, LOSS)[:7], rows(state.monitor.trace(), LOSS)[:7])
    (file,) = tmp_path.iterdir()
    assert b"equipoise" not in file.read_bytes()
    assert b"finding/non_finite/text_summary" in file.read_bytes()


def test_the_loops_own_tensorboard_writer_stays_open(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        play(3, dense(sinks=[TensorBoardSink(writer)])).monitor.close()
        writer.add_scalar("mine", 1.0, 4)
    (file,) = tmp_path.iterdir()
    assert b"equipoise/loss/discriminator" in file.read_bytes()
    assert b"mine" in file.read_bytes()


def offline_records(file):
    """Records of W&B's own file: blocks of 32 KiB of (crc, length, type) and a part of a record."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def finished(folder):
    """Rows of the one run in a folder; W&B's own process may still be writing when finish ends."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    until = time.monotonic() + 30
    while True:
        records = list(offline_records(file))
        if any(r.WhichOneof("record_type") == "exit" for r in records):
            break
        assert time.monotonic() < until, "the run's file never ended"
        time.sleep(0.05)
    told = [r.history.item for r in records if r.WhichOneof("record_type") == "history"]
    return [
        {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items} for items in told
    ]


@pytest.fixture
def offline(monkeypatch):
    """W&B with no server, no account and no word to the terminal."""
    pytest.importorskip("wandb")
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def test_wandb_offline_reads_back_what_the_trace_holds(tmp_path, offline):
    state = play(9, dense(sinks=[WandbSink(tmp_path)]), nan_at=8)
    state.monitor.close()
    told = finished(tmp_path)
    name, step = f"equipoise/{LOSS}", "equipoise/step"
    got = [(row[step], row[name]) for row in told if name in row]
    same(got[:7], rows(state.monitor.trace(), LOSS)[:7])
    found = [row for row in told if "equipoise/finding/non_finite/confidence" in row]
    assert [row[step] for row in found] == [8]
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert b"A number stopped being finite" in file.read_bytes()


def test_the_loops_own_wandb_run_stays_open_and_keeps_its_steps(tmp_path, offline):
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    run = wandb.init(project="mine", dir=str(tmp_path), mode="offline", settings=settings)
    state = play(4, dense(sinks=[WandbSink(run)], tick=2), on_step=lambda n: run.log({"mine": n}))
    state.monitor.close()
    run.log({"mine": 5})
    run.finish()
    told = finished(tmp_path)
    assert [row["mine"] for row in told if "mine" in row] == [1, 2, 3, 4, 5]
    assert [r["equipoise/step"] for r in told if f"equipoise/{LOSS}" in r] == [2, 4]


@pytest.fixture
def quiet_mlflow(monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    return pytest.importorskip("mlflow")


def test_mlflow_reads_back_what_the_trace_holds(tmp_path, quiet_mlflow):
    state = play(9, dense(sinks=[MLflowSink(tmp_path, prefix="")]), nan_at=8)
    state.monitor.close()
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ
    (meta,) = tmp_path.glob("*/*/meta.yaml")
    assert "status: 3" in meta.read_text(), "the run has ended"
    same(rows(read_log(meta.parent), LOSS)[:7], rows(state.monitor.trace(), LOSS)[:7])
    tag = (meta.parent / "tags" / "finding" / "non_finite").read_text()
    assert tag.startswith("since step 8: A number stopped being finite")
    MLflowSink(tmp_path).close()
    assert len(list(tmp_path.glob("*/*/meta.yaml"))) == 2, "a second run of the same experiment"


def test_the_loops_own_mlflow_run_stays_active(tmp_path, monkeypatch, quiet_mlflow):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    quiet_mlflow.set_tracking_uri(tmp_path.as_uri())
    quiet_mlflow.set_experiment("mine")
    with quiet_mlflow.start_run() as run:
        play(3, dense(sinks=[MLflowSink(run)])).monitor.close()
        assert quiet_mlflow.active_run().info.run_id == run.info.run_id
    (metric,) = tmp_path.glob("*/*/metrics/equipoise/loss/discriminator")
    assert [line.split()[2] for line in metric.read_text().splitlines()] == ["1", "2", "3"]


def test_names_that_mlflow_refuses_are_mended(tmp_path, quiet_mlflow):
    sink = MLflowSink(tmp_path)
    whole = {"dead_units/generator": 1.0, "adaptive_weight": 1.0}
    sink.write(1, {**whole, "dead_units/generator/0(conv)": 1.0, "adaptive_weight/at_largest": 0.0})
    sink.close()
    names = ["adaptive_weight", "adaptive_weight.at_largest", "generator", "generator.0_conv_"]
    assert sorted(p.name for p in tmp_path.rglob("metrics/**/*") if p.is_file()) == names


TRACKIO = """
from equipoise.monitor.sinks import TrackioSink
from equipoise.record import Finding
sink = TrackioSink("toys")
for step in (2, 4, 6):
    sink.write(step, {"loss/generator": step / 8})
sink.finding(6, Finding("non_finite", 0.75, 5, "Gone."))
sink.close()
"""


def test_trackio_reads_back_what_it_was_given(tmp_path):
    """Skipped where trackio is missing: it asks for an older Pillow than the tests are pinned to.

    In a process of its own, since trackio asks for its folder when it is imported.
    """
    pytest.importorskip("trackio")
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", TRACKIO]
    subprocess.run(command, check=True, env=environment, timeout=60, capture_output=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "toys.db")) as base:
        told = [(s, json.loads(m)) for s, m in base.execute("select step, metrics from metrics")]
    name, found = "equipoise/loss/generator", "equipoise/finding/non_finite"
    assert [(s, v[name]) for s, v in told if name in v] == [(2, 0.25), (4, 0.5), (6, 0.75)]
    assert told[-1] == (6, {found: "since step 5: Gone.", f"{found}/confidence": 0.75})


class Run(SimpleNamespace):
    def log(self, values, step=None):
        self.rows.append((step, values))


def test_the_loops_own_trackio_run_is_logged_to_by_step():
    run = Run(rows=[])
    play(4, dense(sinks=[TrackioSink(run, prefix="")], tick=2)).monitor.close()
    assert [step for step, values in run.rows if LOSS in values] == [2, 4]


def outcome(attach):
    random.seed(0)
    np.random.seed(0)
    state = play(60, attach)
    if state.monitor is not None:
        state.monitor.close()
    return everything(state)


def test_training_is_bitwise_the_same_with_sinks(tmp_path, offline, quiet_mlflow):
    torch.set_num_threads(1)

    def attach(*given):
        kinds = (TensorBoardSink, WandbSink, MLflowSink)
        return dense(sinks=[kind(tmp_path / kind.__name__) for kind in kinds], tick=5)(*given)

    expected, got = outcome(None), outcome(attach)
    assert [k for k in expected if not bitwise_equal(expected[k], got[k])] == []
