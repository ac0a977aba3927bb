"""Measuring and picturing the averaged generator, from noise that never changes during a run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equipoise.data import generator_for
from equipoise.game import standing_statistics, truncated_normal
from equipoise.record import TraceWriter, write_bytes
from equipoise.training.game import Game

SAMPLES = "samples"
CHUNK = 512
ROWS, COLUMNS = 6, 10  # interpolations: paths, and points on each


@torch.no_grad()
def generate(game: Game, z: Tensor) -> Tensor:
    """Samples of the averaged generator for z (N, z_dim), on the CPU, float32."""
    game.average.eval()
    parts = [game.average(part).float().cpu() for part in z.split(CHUNK)]
    return torch.cat(parts)


def latents(game: Game, purpose: str, n: int) -> Tensor:
    """The same n latents at every evaluation, truncated where the recipe asks for it."""
    threshold = game.recipe.evaluation.truncation
    if threshold is None:
        return game.z(purpose, 0, n)
    rng = generator_for(game.recipe.seed, purpose, 0)
    return truncated_normal((n, game.recipe.generator.z_dim), threshold, rng).to(game.device)


def _settle_statistics(game: Game) -> None:
    """Batch normalization's statistics anew under the averaged weights."""
    batches = game.recipe.ema.standing_batches
    if batches:
        z = game.z("z/standing", 0, batches * game.recipe.batch).split(game.recipe.batch)
        standing_statistics(game.average, lambda i: game.average(z[i]), batches)


def evaluate(game: Game) -> dict[str, float]:
    """Every metric of the recipe by name, on `evaluation.samples` fixed latents."""
    if not game.evaluators:
        return {}
    _settle_statistics(game)
    fake = generate(game, latents(game, "z/evaluation", game.recipe.evaluation.samples))
    values: dict[str, float] = {}
    for evaluator in game.evaluators:
        values |= evaluator(fake)
    return values


def picture(game: Game, run_dir: Path, trace: TraceWriter, step: int) -> None:
    """Save fixed-noise samples and latent interpolations, and point the trace to them."""
    count = game.recipe.evaluation.sample_grid
    fixed = generate(game, latents(game, "z/fixed", count))
    _save(run_dir, trace, step, "samples/fixed", fixed)
    _save(run_dir, trace, step, "interpolation", _interpolation(game))


def picture_reals(game: Game, run_dir: Path, trace: TraceWriter) -> None:
    """Save reals beside which the samples are judged."""
    reals = game.source.reals(game.recipe.evaluation.sample_grid, game.recipe.seed)
    _save(run_dir, trace, 0, "samples/real", reals)


def _interpolation(game: Game) -> Tensor:
    """Samples along great circles between pairs of latents: (ROWS, COLUMNS, *shape)."""
    ends = game.z("z/interpolation", 0, 2 * ROWS)
    t = torch.linspace(0, 1, COLUMNS, device=ends.device)[None, :, None]
    angle = t * torch.pi / 2
    path = torch.cos(angle) * ends[:ROWS, None] + torch.sin(angle) * ends[ROWS:, None]
    return generate(game, path.flatten(0, 1)).unflatten(0, (ROWS, COLUMNS))


def _save(run_dir: Path, trace: TraceWriter, step: int, name: str, samples: Tensor) -> None:
    array = as_stored(samples)
    relative = f"{SAMPLES}/{name.replace('/', '-')}-{step:08d}.npy"
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(run_dir / relative, buffer.getvalue())
    trace.blob(step, name, relative)


def as_stored(samples: Tensor) -> np.ndarray:
    """Images in [-1, 1] as uint8 (value 0 to 255); points as float32."""
    if samples.shape[-1] == 2 and samples.dim() <= 3:
        return samples.float().numpy()
    pixels = ((samples.float().nan_to_num(0.0).clamp(-1, 1) + 1) * 127.5).round()
    return pixels.to(torch.uint8).numpy()
