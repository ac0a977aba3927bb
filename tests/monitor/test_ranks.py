"""Several processes watch one run as one."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed
from toy_loop import dense, play

from equipoise.monitor import Monitor
from equipoise.monitor.ranks import merged
from equipoise.record import Trace

SCRIPT = Path(__file__).parent / "rank_process.py"
pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(), reason="no gloo here"
)


def ranks(folder, what, size=2):
    """What each rank told, and what it printed beside."""
    command = [sys.executable, "-W", "ignore", str(SCRIPT)]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(size), str(folder), what],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    ended = [process.communicate(timeout=120) for process in running]
    assert [p.returncode for p in running] == [0] * size, [err for _, err in ended]
    return [json.loads(out.splitlines()[-1]) for out, _ in ended], [err for _, err in ended]


@pytest.fixture(scope="module")
def alone():
    """The losses of each rank's own run."""
    runs = [play(40, dense(stride=1, tick=5), seed=rank).monitor for rank in range(2)]
    return [run.trace().series("loss/discriminator").values for run in runs]


def test_readings_are_those_of_all_and_rank_0_writes_and_probes(tmp_path, alone):
    (first, second), _ = ranks(tmp_path, "plain")
    assert first["loss"] == second["loss"]
    assert first["loss"] == pytest.approx(((alone[0] + alone[1]) / 2).tolist(), rel=1e-6)
    assert first["steps"] == list(range(5, 41, 5))
    assert first["kimg"] == pytest.approx(2 * 40 * 32 / 1000)
    written = Trace.read(tmp_path / "run")
    assert written.series("loss/discriminator").values.tolist() == first["loss"]
    assert first["probed"]
    assert second["probed"], "what rank 0 probed is known to all"


def test_rank_0_decides_what_is_read(tmp_path):
    (first, second), _ = ranks(tmp_path, "adaptive")
    assert first["stride"] == second["stride"]
    assert first["steps"] == second["steps"]


def test_all_stop_at_the_same_step(tmp_path):
    (first, second), _ = ranks(tmp_path, "stop")
    assert first["stopped"] == second["stopped"]
    assert "non_finite" in first["stopped"]
    assert first["step"] == second["step"] == 20, "found at 15, told to all at the next tick"


def test_a_rank_whose_monitor_fails_holds_nobody_up(tmp_path):
    (first, second), said = ranks(tmp_path, "failing")
    assert first["step"] == second["step"] == 40
    assert "planted" in said[1]
    assert "planted" not in said[0]
    assert first["steps"][-1] == 40, "the other goes on alone"


def test_readings_merge_by_their_kind():
    seen = [
        {"loss/generator": 1.0, "logits/extreme": 3.0, "cost/monitor": 0.1, "rotation": 0.5},
        {"loss/generator": 2.0, "logits/extreme": 2.0, "cost/monitor": 0.2},
    ]
    assert merged(seen) == {
        "loss/generator": 1.5, "logits/extreme": 3.0, "cost/monitor": 0.2, "rotation": 0.5,
    }  # fmt: skip
    assert math.isnan(merged([{"a": 1.0}, {"a": math.nan}])["a"])


def test_without_torch_distributed_a_group_is_refused():
    with pytest.raises(ValueError, match=r"process_group = True: .*init_process_group"):
        Monitor(torch.nn.Linear(1, 1), None, process_group=True)
