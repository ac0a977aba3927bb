"""Does the main job run on an accelerator? Speed, verdicts, laws, with the hardware's name.

    python -m benchmarks.device [--device cuda] [--steps 200]

1. `digits` and `ring` train on the device: final metrics, verdict, images per second.
2. Weights after `--steps` iterations with the monitor on equal, bitwise, those with it off.
3. A run stopped half-way and resumed ends with the weights of an unbroken one (reported;
   only the CPU promises it).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from equipoise.recipe import Recipe, load
from equipoise.training import Answer, Game, Iteration, Observer, Stop, resume, start
from equipoise.trial import train
from equipoise.trial.run import Watcher


class Halt:
    """An observer that ends a run at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def begin(self, game: Game, step: int) -> None:
        """Nothing to prepare."""

    def after(self, iteration: Iteration) -> Answer:
        """Stop at the step."""
        from equipoise.training import CONTINUE

        return Stop("half-way") if iteration.step == self.step else CONTINUE

    def measured(self, step: int, metrics: object) -> None:
        """Nothing to note."""

    def end(self) -> None:
        """Nothing to close."""


def short(preset: str, device: str, steps: int) -> Recipe:
    """A preset on the device, cut to `steps` iterations without evaluations on the way."""
    recipe = load(preset)
    kimg = steps * recipe.images_per_iteration / 1000
    return recipe.edit(
        {
            "compute.device": device,
            "kimg": kimg,
            "evaluation.every_kimg": kimg,
            "checkpoint.every_kimg": kimg,
        }
    )


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the newest checkpoint."""
    from safetensors.torch import load_file

    return load_file(sorted((run_dir / "checkpoints").glob("*.safetensors"))[-1])


def equal(first: Path, second: Path) -> bool:
    """Whether two runs ended with bitwise the same tensors."""
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def laws(preset: str, device: str, steps: int, folder: Path) -> dict[str, bool]:
    """Monitor on against off, and resumed against unbroken."""
    recipe = short(preset, device, steps)
    start(recipe, folder / "off")
    watched: tuple[Observer, ...] = (Watcher(folder / "on"),)
    start(recipe, folder / "on", watched)
    start(recipe, folder / "halted", (Halt(steps // 2),))
    resume(folder / "halted")
    return {
        "monitor_changes_nothing": equal(folder / "off", folder / "on"),
        "resume_is_exact": equal(folder / "off", folder / "halted"),
    }


def full(preset: str, device: str, folder: Path) -> dict[str, Any]:
    """A whole run of a preset."""
    run = train(load(preset).edit({"compute.device": device}), folder / "full")
    outcome = run.outcome
    return {
        **{k: round(v, 4) for k, v in outcome.metrics.items()},
        "verdict": run.diagnosis.verdict,
        "images_per_second": round(outcome.kimg * 1000 / outcome.seconds),
        "monitor_share": round(run.trace.series("cost/monitor").last, 4),
    }


def main() -> int:
    """Measure and print one JSON object; 1 when the monitor changed training."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda", "mps"])
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    name = torch.cuda.get_device_name() if options.device == "cuda" else options.device
    figures: dict[str, Any] = {"hardware": name, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        for preset in ("digits", "ring"):
            here = Path(folder) / preset
            figures[preset] = {
                **full(preset, options.device, here),
                **laws(preset, options.device, options.steps, here),
            }
    print(json.dumps(figures, indent=1))
    return 0 if all(figures[p]["monitor_changes_nothing"] for p in ("digits", "ring")) else 1


if __name__ == "__main__":
    sys.exit(main())
