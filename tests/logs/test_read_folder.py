"""Event files, MLflow, W&B, Parquet, JSON documents, and folders that hold several of them."""

import json
import math
import sys

import pytest

from equipoise.errors import MissingExtraError, RecordError
from equipoise.logs import read_log

LOSSES = {"loss/discriminator", "loss/generator"}


def log(trace):
    return trace.facts["log"]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def events(folder, cells, tensors=False):
    """An event file with (step, tag, value) cells, written by TensorBoard's own writer."""
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    import numpy as np
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    writer = EventFileWriter(str(folder))
    for step, tag, value in cells:
        if tensors:
            tensor = make_tensor_proto(np.float32(value))
            value = Summary.Value(tag=tag, tensor=tensor)
        else:
            value = Summary.Value(tag=tag, simple_value=value)
        writer.add_event(Event(wall_time=1000.0 + step, step=step, summary=Summary(value=[value])))
    writer.close()
    return next(path for path in folder.iterdir() if "tfevents" in path.name)


CELLS = [(s, t, v + s) for s in range(0, 50, 10) for t, v in (("Loss/D", 0.5), ("Loss/G", 1.25))]


@pytest.mark.parametrize("tensors", [False, True], ids=["simple_value", "tensor"])
@pytest.mark.parametrize("whole", [False, True], ids=["file", "folder"])
def test_event_files_are_read_to_the_digit(tmp_path, tensors, whole):
    file = events(tmp_path, CELLS, tensors)
    trace = read_log(tmp_path if whole else file)
    assert set(trace.signals) == LOSSES
    assert trace.series("loss/discriminator").steps.tolist() == [0, 10, 20, 30, 40]
    assert trace.series("loss/generator").values.tolist() == [1.25, 11.25, 21.25, 31.25, 41.25]
    assert trace.seconds.values.tolist() == [0, 10, 20, 30, 40]


def test_a_torn_event_file_gives_what_came_before(tmp_path):
    file = events(tmp_path, CELLS)
    data = file.read_bytes()
    file.write_bytes(data[:-9])
    assert len(read_log(file).series("loss/generator")) == 4
    spoiled = bytearray(data)
    spoiled[len(data) // 2] ^= 0xFF
    file.write_bytes(spoiled)
    assert 0 < len(read_log(file).series("loss/discriminator")) < 5
    file.write_bytes(b"\x00" * 40)
    with pytest.raises(RecordError):
        read_log(file)


def test_a_missing_reader_is_named_with_its_install_command(tmp_path, monkeypatch):
    for module in ("tensorboard.backend.event_processing.event_file_loader", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    write(tmp_path / "events.out.tfevents.1", "x")
    (tmp_path / "t.parquet").write_bytes(b"PAR1....PAR1")
    cases = [
        ("events.out.tfevents.1", "tensorboard"),
        ("t.parquet", "parquet"),
        (".", "tensorboard"),
    ]
    for name, extra in cases:
        with pytest.raises(MissingExtraError, match=rf"equipoise\[{extra}\]"):
            read_log(tmp_path / name)


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(
        {"step": [1, 2, 3], "d_loss": [0.5, None, math.nan], "g_loss": [1.0, 2.0, 3.0]}
    )
    path = tmp_path / "history.parquet"
    parquet.write_table(table, path)
    trace = read_log(path)
    assert trace.series("loss/generator").values.tolist() == [1, 2, 3]
    assert trace.series("loss/discriminator").steps.tolist() == [1, 3]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(RecordError, match="cannot read log"):
        read_log(path)


@pytest.mark.parametrize(
    "document",
    [
        {"d_loss": [0.5, 0.25], "g_loss": [1.0, 2.0], "step": [10, 20]},
        [{"step": 10, "d_loss": 0.5, "g_loss": 1}, {"step": 20, "d_loss": 0.25, "g_loss": 2}],
    ],
    ids=["columns", "rows"],
)
def test_a_json_document_over_several_lines(tmp_path, document):
    trace = read_log(write(tmp_path / "history.json", json.dumps(document, indent=1)))
    assert trace.series("loss/discriminator").values.tolist() == [0.5, 0.25]
    assert trace.series("loss/generator").steps.tolist() == [10, 20]


def mlflow_run(folder, shift=0.0):
    write(folder / "meta.yaml", "run_id: abc\n")
    write(folder / "params" / "gan_mode", "hinge")
    write(folder / "params" / "batch_size", "64")
    for name, value in (("train/d_loss", 0.5), ("train/g_loss", 1.0)):
        lines = [f"{1000 * s + 5000} {value + s + shift} {s}\n" for s in range(10)]
        write(folder / "metrics" / name, "".join(lines))


def test_a_run_of_mlflow(tmp_path):
    mlflow_run(tmp_path / "mlruns" / "0" / "abc")
    for path in (tmp_path, tmp_path / "mlruns", tmp_path / "mlruns" / "0" / "abc"):
        trace = read_log(path)
        assert dict(trace.header) == {"objective": "hinge", "batch": 64}
        assert trace.series("loss/discriminator").values.tolist() == [0.5 + s for s in range(10)]
        assert trace.series("loss/generator").steps.tolist() == list(range(10))
        assert trace.seconds.values.tolist() == list(range(10))
    mlflow_run(tmp_path / "mlruns" / "0" / "other", shift=1.0)
    with pytest.raises(RecordError, match=r"more than one run.*mlruns/0/abc, mlruns/0/other"):
        read_log(tmp_path)


def test_an_offline_run_of_wandb(tmp_path):
    files = tmp_path / "offline-run-1" / "files"
    write(files / "config.yaml", "gan_mode:\n  desc: null\n  value: hinge\nlr:\n  value: 0.1\n")
    write(files / "output.log", "".join(f"step {s} d_loss: {s}.5\n" for s in range(8)))
    write(files / "wandb-summary.json", '{"_step": 7, "d_loss": 9, "fid": 20.5, "_runtime": 3}')
    write(tmp_path / "offline-run-1" / "run-1.wandb", ":W&B")
    trace = read_log(tmp_path / "offline-run-1")
    assert trace.header["objective"] == "hinge"
    assert trace.series("loss/discriminator").last == 7.5  # the log, not the summary
    assert trace.series("metric/fid").steps.tolist() == [7]
    assert log(trace)["sources"]["files/wandb-summary.json"] == ["metric/fid"]


def test_wandb_exports(tmp_path):
    rows = [{"_step": s, "_runtime": 2.0 * s, "_timestamp": 9e8 + s, "loss_d": s, "loss_g": 1} for s in range(6)]  # fmt: skip # noqa: E501
    trace = read_log(write(tmp_path / "wandb-history.jsonl", jsonl(rows)))
    assert trace.series("loss/discriminator").values.tolist() == [0, 1, 2, 3, 4, 5]
    assert trace.seconds.values.tolist() == [0, 2, 4, 6, 8, 10]
    head = '"Step","run-1 - d_loss","run-1 - d_loss__MIN","run-1 - d_loss__MAX"\n'
    trace = read_log(write(tmp_path / "export.csv", head + '"0","0.5","0.1","0.9"\n"5","0.25","",""\n'))  # fmt: skip # noqa: E501
    assert trace.series("loss/discriminator").values.tolist() == [0.5, 0.25]
    assert trace.series("loss/discriminator").steps.tolist() == [0, 5]


def test_only_the_binary_of_wandb_says_what_to_do(tmp_path):
    write(tmp_path / "run-1.wandb", ":W&B")
    with pytest.raises(RecordError, match="wandb sync"):
        read_log(tmp_path)


def test_stylegans_folder_is_one_trace(tmp_path):
    write(tmp_path / "log.txt", "tick 0     kimg 0.0      time 20s       sec/tick 15.3\n" * 3)
    write(tmp_path / "training_options.json", '{"batch_size": 32}')
    stats = [
        {
            "Progress/kimg": {"num": 1, "mean": 4.0 * k, "std": 0},
            "Loss/D/loss": {"num": 9, "mean": 1.0 + k},
            "Loss/scores/fake": {"num": 9, "mean": -0.5},
            "timestamp": 1e9 + k,
        }
        for k in range(6)
    ]
    write(tmp_path / "stats.jsonl", jsonl(stats))
    fid = [
        {"results": {"fid50k_full": 30.0 - k}, "snapshot_pkl": f"network-snapshot-{4 * k:06d}.pkl"}
        for k in range(6)
    ]
    write(tmp_path / "metric-fid50k_full.jsonl", jsonl(fid))
    trace = read_log(tmp_path)
    assert set(trace.signals) == {"loss/discriminator", "logits/fake/mean", "metric/fid"}
    assert trace.series("metric/fid").steps.tolist() == [4000 * k for k in range(6)]
    assert trace.kimg.values.tolist() == [4.0 * k for k in range(6)]
    assert log(trace)["sources"]["metric-fid50k_full.jsonl"] == ["metric/fid"]
    assert "log.txt" in log(trace)["left_out"]
    assert trace.header["batch"] == 32
    assert json.dumps(log(trace))


def test_the_log_with_most_readings_goes_first_and_others_fill_in(tmp_path):
    write(tmp_path / "a.log", "".join(f"step {s} d_loss: {s}.123\n" for s in range(0, 60, 2)))
    write(tmp_path / "b.csv", "step,d_loss,fid\n" + "".join(f"{s},{s}.12,\n" for s in range(0, 80, 10)))  # fmt: skip # noqa: E501
    series = read_log(tmp_path).series("loss/discriminator")
    assert series.steps.tolist() == [*range(0, 60, 2), 60, 70]
    assert series.values[5] == 10.123
    assert series.last == 70.12


def test_logs_that_count_differently_are_not_mixed(tmp_path):
    write(tmp_path / "train.log", "".join(f"step {s} d_loss: 1\n" for s in range(20)))
    write(tmp_path / "eval.csv", "epoch,fid\n1,50\n2,40\n")
    trace = read_log(tmp_path)
    assert set(trace.signals) == {"loss/discriminator"}
    assert "counts by epoch" in log(trace)["left_out"]["eval.csv"]


def test_several_runs_are_not_taken_for_one(tmp_path):
    for name, loss in (("a", 1.0), ("b", 2.0)):
        write(tmp_path / f"{name}.log", "".join(f"step {s} d_loss: {loss}\n" for s in range(9)))
    with pytest.raises(RecordError, match=r"more than one run; give one of them: a\.log, b\.log"):
        read_log(tmp_path)
    write(tmp_path / "runs" / "1" / "trace.jsonl", "")
    with pytest.raises(RecordError, match=r"more than one run; give one of them: runs/1"):
        read_log(tmp_path)


def test_a_mapping_for_a_folder_may_be_of_any_of_its_logs(tmp_path):
    write(tmp_path / "a.log", "step 1 critic_x: 5 d_loss: 1\n")
    write(tmp_path / "b.csv", "step,g_loss\n1,2\n2,3\n")
    trace = read_log(tmp_path, {"critic_x": "loss/encoder"})
    assert set(trace.signals) == LOSSES | {"loss/encoder"}
    with pytest.raises(RecordError, match="no log in"):
        read_log(tmp_path, {"nobody": "loss/encoder"})


def test_a_folder_without_any_log_that_is_understood_says_why(tmp_path):
    write(tmp_path / "notes.txt", "nothing here\n")
    with pytest.raises(RecordError, match=r"no log in folder .* could be understood; no names"):
        read_log(tmp_path)
