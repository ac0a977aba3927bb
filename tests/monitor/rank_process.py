"""One rank of a run in two processes; says what its monitor saw, as JSON.

python rank_process.py RANK SIZE FOLDER WHAT
"""

import json
import sys
from pathlib import Path

from torch import distributed
from toy_loop import dense, play

from equipoise import StopTraining
from equipoise.monitor import Monitor


def main(rank, size, folder, what):
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    options = {"process_group": True, "tick": 5, "run_dir": folder / "run", "probes": ["spectral"]}
    if what == "stop":
        options["on_finding"] = "stop"
    if what == "adaptive":
        attach = lambda *given: Monitor(*given, overhead=0.5, **options)  # noqa: E731 - one call
    else:
        attach = dense(stride=1, **options)
    told = {"rank": rank}

    def on_step(step):
        told["step"] = step
        if what == "failing" and rank == 1 and step == 8:
            Monitor._take = broken

    nan_at = 12 if what == "stop" and rank == 0 else None
    try:
        state = play(40, attach, seed=rank, nan_at=nan_at, on_step=on_step)
    except StopTraining as stop:
        told["stopped"] = str(stop)
    else:
        trace = state.monitor.trace()
        told["loss"] = trace.series("loss/discriminator").values.tolist()
        told["steps"] = trace.series("loss/discriminator").steps.tolist()
        told["kimg"] = trace.kimg.last
        told["probed"] = any(name.startswith("sigma/") for name in trace.signals)
        told["stride"] = state.monitor._governor._planned
        state.monitor.close()
    distributed.barrier()  # a process that leaves early takes the connection with it
    distributed.destroy_process_group()
    print(json.dumps(told))


def broken(*_):
    raise RuntimeError("planted")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
