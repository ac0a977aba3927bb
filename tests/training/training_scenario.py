"""Runs small enough to be played many times, and what the tests ask of them."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as load_tensors

from equipoise.recipe import Recipe, load
from equipoise.record import Trace
from equipoise.training import CONTINUE, Stop

BATCH = 16


def small(preset: str = "ring", steps: int = 24, **edits) -> Recipe:
    """A preset with tiny networks that ends after `steps` iterations; `__` in a name is a dot."""
    width = 8 if preset == "ring" else 4
    edited = load(preset).edit(
        {
            "generator.width": width,
            "discriminator.width": width,
            "batch": BATCH,
            "evaluation.samples": 16,
            "evaluation.sample_grid": 4,
            **{name.replace("__", "."): value for name, value in edits.items()},
        }
    )
    per_kimg = edited.images_per_iteration / 1000
    cadences = {"kimg": steps * per_kimg, "evaluation.every_kimg": 8 * per_kimg}
    cadences["checkpoint.every_kimg"] = 5 * per_kimg
    given = {name.replace("__", ".") for name in edits}
    return edited.edit({path: value for path, value in cadences.items() if path not in given})


def checkpoints(run_dir: Path) -> list[Path]:
    """The checkpoints of a run, the oldest first."""
    return sorted((run_dir / "checkpoints").glob("*.safetensors"))


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the newest checkpoint: players, average, optimizer state."""
    return load_tensors(checkpoints(run_dir)[-1].read_bytes())  # no map of a file that may change


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bitwise equality of two checkpoints, NaN equal to NaN."""
    return first.keys() == second.keys() and all(
        first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first
    )


def metrics(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Every evaluation in the trace, by metric: steps and values."""
    signals = Trace.read(run_dir).signals
    return {
        name: list(zip(series.steps.tolist(), series.values.tolist(), strict=True))
        for name, series in signals.items()
        if name.startswith("metric/")
    }


def check_files(run_dir: Path) -> Trace:
    """Everything in a run directory can be read and nothing temporary is left."""
    trace = Trace.read(run_dir)
    assert trace.header["schema"] == 1
    assert not list(run_dir.rglob("*.tmp"))
    assert not (run_dir / ".starting").exists()
    for path in run_dir.rglob("*.npy"):
        assert np.load(path, allow_pickle=False).size
    for blob in trace.blobs:
        assert (run_dir / blob.path).is_file()
    for path in checkpoints(run_dir):
        assert load_tensors(path.read_bytes())
    for path in run_dir.glob("*.json"):
        json.loads(path.read_text())
    return trace


class Witness:
    """An observer that notes every call and answers as told at a step, once."""

    def __init__(self, answers=None) -> None:
        self.calls = []
        self.reals = []
        self.answers = dict(answers or {})

    def begin(self, game, step):
        self.game = game
        self.calls.append(("begin", step))

    def after(self, iteration):
        self.iteration = iteration
        self.reals.append(iteration.real)
        self.calls.append(("after", iteration.step))
        answer = self.answers.pop(iteration.step, CONTINUE)
        return (answer() or CONTINUE) if callable(answer) else answer

    def measured(self, step, metrics):
        self.calls.append(("measured", step))

    def end(self):
        self.calls.append(("end",))

    def steps(self, kind="after"):
        """Steps of the calls of one kind."""
        return [call[1] for call in self.calls if call[0] == kind]


def halt(step: int) -> Witness:
    """An observer that ends the run at `step`."""
    return Witness({step: Stop("half-way")})
