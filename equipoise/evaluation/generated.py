"""What a run's averaged generator makes, as a set of samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from equipoise.data.samples import Batch
from equipoise.errors import RecordError
from equipoise.recipe import load as load_recipe
from equipoise.training import Game, build, generate, load_generator

RECIPE, FOLDER, SUFFIX = "recipe.yaml", "checkpoints", ".safetensors"


class Generated:
    """`count` samples of the averaged generator in a checkpoint, from latents that `seed` draws.

    Images come out as they are stored: levels 0..255, rounded; points as rows.
    """

    def __init__(self, path: Path, count: int, seed: int) -> None:
        """`path`: a checkpoint, or a run directory, of which the newest one is taken.

        Raises:
            RecordError: no run, no checkpoint, or a damaged one.
        """
        self.path, self._count, self._seed = path, count, seed
        self._file, run_dir = _checkpoint(path)
        self._game = _game(run_dir)
        load_generator(self._file, self._game.average)

    def __len__(self) -> int:
        return self._count

    def batches(self, size: int, start: int = 0) -> Iterator[Batch]:
        """See `equipoise.data.Samples`."""
        latents = self._latents()
        for first in range(start, self._count, size):
            z = latents[first : min(first + size, self._count)].to(self._game.device)
            names = [f"sample {i} of {self._file.name}" for i in range(first, first + len(z))]
            yield Batch(names, _stored(generate(self._game, z)))

    def content_hash(self) -> str:
        """Of the checkpoint's bytes, the number of samples and the seed."""
        data = self._file.read_bytes()
        return hashlib.sha256(data + f"{self._count} {self._seed}".encode()).hexdigest()

    def reals(self) -> RealsOf:
        """The data that the run was trained on."""
        return RealsOf(self._game, self.path)

    def _latents(self) -> Tensor:
        draw = torch.Generator().manual_seed(self._seed)
        return torch.randn(self._count, self._game.recipe.generator.z_dim, generator=draw)


class RealsOf:
    """The reals of a run's own data, each once; of an endless source as many as are evaluated."""

    def __init__(self, game: Game, path: Path) -> None:
        self.path = path
        count = game.source.size or game.recipe.evaluation.samples
        self._values = _stored(game.source.reals(count, game.recipe.seed))

    def __len__(self) -> int:
        return len(self._values)

    def batches(self, size: int, start: int = 0) -> Iterator[Batch]:
        """See `equipoise.data.Samples`."""
        for first in range(start, len(self), size):
            part = self._values[first : first + size]
            yield Batch([f"real {i}" for i in range(first, first + len(part))], part)

    def content_hash(self) -> str:
        """Of the values."""
        return hashlib.sha256(self._values.contiguous().numpy().tobytes()).hexdigest()


def is_run(path: Path) -> bool:
    """Whether `path` is a run directory or a checkpoint in one."""
    return path.suffix == SUFFIX or (path / RECIPE).is_file()


def _checkpoint(path: Path) -> tuple[Path, Path]:
    """The checkpoint's file and its run directory."""
    if path.is_file():
        return path, path.parent.parent
    files = sorted((path / FOLDER).glob(f"*{SUFFIX}"))
    if not files:
        raise RecordError(f"{path} holds no checkpoint; let the run reach its first one, or resume")
    return files[-1], path


def _game(run_dir: Path) -> Game:
    recipe = run_dir / RECIPE
    if not recipe.is_file():
        raise RecordError(
            f"{run_dir} has no {RECIPE}: a checkpoint is read beside the recipe of its run"
        )
    return build(load_recipe(recipe))


def _stored(samples: Tensor) -> Tensor:
    """Images in [-1, 1] as levels, rounded as StyleGAN does; points as they are."""
    if samples.dim() == 2:
        return samples.float().cpu()
    return (samples.float().cpu() * 127.5 + 128).floor().clamp(0, 255).to(torch.uint8)
