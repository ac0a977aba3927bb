"""A synthetic run whose discriminator takes over at step 600, and all that a report tells of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from equipoise.recipe import load
from equipoise.record import (
    Diagnosis,
    Evidence,
    Finding,
    Note,
    Prescription,
    Trace,
    TraceWriter,
    TrialRow,
)

ONSET = 600


def signals(i: int, rng: np.random.Generator) -> dict[str, float]:
    """Readings of row `i` (step 10 i): a balanced game, then dominance."""
    grip = max(0.0, (10 * i - ONSET) / 1400)

    def noisy(value: float, share: float = 0.08) -> float:
        return value * (1 + share * rng.standard_normal())

    readings = {
        "loss/generator": noisy(0.7 + 5 * grip),
        "loss/discriminator": noisy(0.69 * np.exp(-5 * grip)),
        "logits/real/mean": noisy(0.3 + 6 * grip),
        "logits/fake/mean": -noisy(0.3 + 7 * grip),
        "logits/real/std": 1.0 + grip,
        "logits/fake/std": 1.0,
        "auc/discriminator": min(1.0, 0.68 + 2 * grip) - 0.01 * rng.random(),
        "accuracy/discriminator": min(1.0, 0.62 + 2 * grip) - 0.02 * rng.random(),
        "gradient_norm/generator": noisy(0.5 * np.exp(-9 * grip)),
        "gradient_norm/discriminator": noisy(0.8),
        "update_ratio/generator": noisy(1e-3 * np.exp(-4 * grip)),
        "update_ratio/discriminator": noisy(2e-3),
        "diversity/pairwise": noisy(0.95 - 0.6 * min(grip, 1), 0.03),
        "parameter_norm/generator": 30 + 0.01 * i,
        "parameter_norm/discriminator": 40 + 0.1 * i,
        "batch/fake/std": noisy(0.3, 0.02),
        "batch/real/std": noisy(0.31, 0.02),
    }
    if i % 20 == 0:
        readings |= {"metric/frechet_digits_cnn": noisy(30 / (1 + i / 40) + 25 * grip)}
        readings |= {"metric/recall_digits_cnn": min(1.0, i / 80) * (1 - 0.8 * min(grip, 1))}
    return readings


def write_run(folder: Path, *, points: bool = False, rows: int = 200) -> Trace:
    """A run directory with a trace and, every 20 rows, samples and an interpolation."""
    rng = np.random.default_rng(0)
    (folder / "samples").mkdir(parents=True)
    make = _points if points else _images
    with TraceWriter(folder) as writer:
        writer.header(objective="non_saturating", players=["generator", "discriminator"], batch=64)
        writer.fact("environment", {"equipoise": "0.1.0", "python": "3.11", "device": "cpu"})
        _save(folder, writer, 0, "samples/real", make(rng, 1.0, ()))
        for i in range(rows):
            writer.row(10 * i, 0.64 * i, 0.5 * i, signals(i, rng))
            if i % 20 == 0:
                likeness = min(1.0, i / 100)
                _save(folder, writer, 10 * i, "samples/fixed", make(rng, likeness, ()))
                _save(folder, writer, 10 * i, "interpolation", make(rng, likeness, (4, 8)))
    return Trace.read(folder)


def _save(folder: Path, writer: TraceWriter, step: int, name: str, array: np.ndarray) -> None:
    path = f"samples/{name.replace('/', '-')}-{step}.npy"
    np.save(folder / path, array)
    writer.blob(step, name, path)


def _images(rng: np.random.Generator, likeness: float, grid: tuple[int, ...]) -> np.ndarray:
    y, x = np.mgrid[:8, :8]
    radius = rng.uniform(1.5, 3.5, (*(grid or (64,)), 1, 1, 1))
    ring = np.exp(-((np.hypot(x - 3.5, y - 3.5) - radius) ** 2))
    noise = rng.random(ring.shape)
    return (255 * (likeness * ring + (1 - likeness) * noise)).astype(np.uint8)


def _points(rng: np.random.Generator, likeness: float, grid: tuple[int, ...]) -> np.ndarray:
    angle = rng.integers(0, 8, grid or (512,)) * np.pi / 4
    if grid:
        angle = np.linspace(0, np.pi, grid[1]) + rng.uniform(0, 6, (grid[0], 1))
    centre = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return (likeness * centre + 0.1 * rng.standard_normal(centre.shape)).astype(np.float32)


def diagnosis() -> Diagnosis:
    """Dominance since `ONSET`, with evidence, remedies, a note and a missing signal."""
    window = (1500, 1990)
    remedies = (
        Prescription(
            "two_time_scales",
            "Slow the discriminator down",
            "A slower discriminator leaves the generator a gradient (Heusel et al., 2017).",
            {"optimizer.discriminator.lr": 2e-4},
            "for group in discriminator_optimizer.param_groups:\n    group['lr'] = 2e-4",
            "live",
            "auc/discriminator",
        ),
        Prescription(
            "r1",
            "Add an R1 gradient penalty",
            "It keeps the discriminator smooth at the real samples (Mescheder et al., 2018).",
            {"penalties.r1.gamma": 0.1},
            takes_effect="restart",
            watch="gradient_norm/generator",
            caution="not together with batch normalization in the discriminator",
        ),
    )
    finding = Finding(
        "discriminator_dominance",
        0.93,
        ONSET,
        "AUC rose above 0.99 at step 600 and stayed there, while the generator's gradient fell to a"
        " hundredth of what it was.",
        (
            Evidence("auc/discriminator", 0.995, "0.55 to 0.95 in well run games", window),
            Evidence(
                "gradient_norm/generator", 0.0009, "within a factor of 10 of its median", window
            ),
            Evidence("sigma/discriminator/0", 9.0, "below 2", window),
        ),
        remedies,
    )
    note = Note(
        "loss_at_chance",
        "The discriminator loss stood at 0.69 for 600 steps.",
        "That is ln 2, the loss of a discriminator that guesses: two players in balance.",
    )
    missing = {"logits/held_out/mean": "whether the discriminator overfits"}
    return Diagnosis("sick", (finding,), (note,), missing, {"auc/discriminator": 0.995}, (0, 1990))


def trial(arm: str = "r1", verdict: str = "keep", created: str = "2025-05-01") -> TrialRow:
    """Eight pairs; the arm is better by 2.4 on average."""
    baseline = (12.1, 11.4, 13.0, 12.6, 11.9, 12.2, 12.8, 11.7)
    values = (9.8, 9.9, 9.7, 11.9, 8.8, 9.6, 10.1, 9.0)
    return TrialRow(
        f"digits-{arm}",
        f"{created}T10:00:00Z",
        "digits-sick",
        "0123456789abcdef",
        arm,
        {"penalties.r1.gamma": 0.1},
        "frechet_digits_cnn",
        "lower",
        0.5,
        tuple(range(8)),
        baseline,
        values,
        2.36,
        (1.73, 2.99),
        0.0039,
        verdict,  # type: ignore[arg-type]  # a plain string
        "The whole interval lies above the least improvement worth keeping (0.5).",
        failures=("r1/8: non-finite loss at step 40",) if verdict == "revert" else (),
    )


def everything(folder: Path, *, points: bool = False) -> dict:
    """All arguments of `write_report` but the path."""
    rows = [trial(), trial("slow-d", "revert", "2025-05-02"), trial("wide", "inconclusive")]
    return {
        "title": "digits-sick, seed 0",
        "trace": write_run(folder, points=points),
        "diagnosis": diagnosis(),
        "recipe": load("digits-sick"),
        "preset": load("digits"),
        "trials": rows[:1],
        "ledger": rows,
    }
