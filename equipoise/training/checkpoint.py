"""Checkpoints: whole or absent, checked when read, and loaded without executing code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from equipoise.errors import RecordError, need
from equipoise.recipe import Recipe
from equipoise.record import write_bytes
from equipoise.training.game import Game

SCHEMA = 1
FOLDER = "checkpoints"


@dataclass
class Progress:
    """How far a run is: iterations done, reals shown, wall seconds spent on them."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0


def save(
    run_dir: Path, game: Game, progress: Progress, keep: int, former: Recipe | None = None
) -> Path:
    """Write everything that the rest of the run depends on; keep it and `keep` - 1 others.

    With `former` the file is good under that recipe too: a rollback that is killed before its
    edited recipe is in place resumes under the one before.

    Raises:
        RecordError: the file system refused; older checkpoints are untouched.
    """
    save_tensors = _safetensors().save
    tensors = dict(_tensors(game))
    recipes = [identity(recipe) for recipe in (game.recipe, former) if recipe is not None]
    meta = {
        "schema": str(SCHEMA),
        "recipes": json.dumps(recipes),
        "progress": json.dumps(asdict(progress)),
        "controls": json.dumps({name: c.state() for name, c in game.controls.items()}),
    }
    meta["digest"] = _digest(tensors, meta)
    path = run_dir / FOLDER / f"step-{progress.step:08d}.safetensors"
    write_bytes(path, save_tensors(tensors, metadata=meta))
    for old in [other for other in _files(run_dir) if other != path][keep - 1 :]:
        old.unlink(missing_ok=True)
    return path


def restore(
    run_dir: Path, game: Game, until: int | None = None, recipe: Recipe | None = None
) -> Progress:
    """Load the newest readable checkpoint (at or before step `until`) into `game`.

    Where there is none, `game` stays as it was built, which is the run's start, and the progress
    is fresh. `recipe` is the one that the files were written under, if not the game's.

    Raises:
        RecordError: checkpoints exist but none can be read, or they belong to another recipe.
    """
    reasons = []
    for path in _files(run_dir):
        if until is not None and _step_of(path) > until:
            continue
        try:
            return load(path, game, recipe)
        except RecordError as error:
            reasons.append(str(error))
    if reasons:
        raise RecordError(
            f"no checkpoint can be read: {'; '.join(reasons)}; with none left, the run goes on from"
            " its start, to the same end"
        )
    return Progress()


def forget_after(run_dir: Path, step: int) -> None:
    """Delete checkpoints of steps after `step`, which a rollback made void."""
    for path in _files(run_dir):
        if _step_of(path) > step:
            path.unlink(missing_ok=True)


def load(path: Path, game: Game, recipe: Recipe | None = None) -> Progress:
    """Load one checkpoint, written under `recipe` (default: the game's), into `game`.

    Raises:
        RecordError: damaged, of a later version, of another recipe, or of other networks.
    """
    tensors, meta = _read(path)
    wanted = identity(recipe or game.recipe)
    written = json.loads(meta["recipes"])
    if wanted not in written:
        raise RecordError(
            f"{path} belongs to recipe {written[0]}, not to {wanted} ({game.recipe.name!r});"
            " resume with the recipe.yaml of its own run directory"
        )
    try:
        for name, module in game.modules.items():
            module.load_state_dict(_under(tensors, name))
        _restore_controls(game, meta)  # before the optimizers: it turns to the one that was on
        for name, optimizer in game.optimizers.items():
            _restore_optimizer(optimizer, _under(tensors, f"optimizer/{name}"))
    except (RuntimeError, ValueError, KeyError) as error:
        raise RecordError(
            f"{path} does not fit the networks that recipe {game.recipe.name!r} builds"
            f" ({' '.join(str(error).split())[:200]}); other networks need a new run"
        ) from error
    return Progress(**json.loads(meta["progress"]))


def load_generator(path: Path, module: torch.nn.Module) -> None:
    """Load the averaged generator of a checkpoint into `module`, for sampling alone.

    Raises:
        RecordError: damaged, or of a later version.
    """
    tensors, _ = _read(path)
    module.load_state_dict(_under(tensors, "average"))


def identity(recipe: Recipe) -> str:
    """What a checkpoint belongs to: all that decides the run, seed included."""
    return f"{recipe.content_hash()} with seed {recipe.seed}"


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and texts of a file, every bit of both checked."""
    safetensors = _safetensors()
    try:
        data = path.read_bytes()
        tensors = safetensors.load(data)
        length = int.from_bytes(data[:8], "little")
        meta = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        schema, digest = int(meta["schema"]), meta.pop("digest")
    except Exception as error:  # the reader raises its own type for every kind of damage
        raise RecordError(
            f"{path} is damaged ({type(error).__name__}: {error}); delete it"
        ) from error
    if schema > SCHEMA:
        raise RecordError(
            f"{path} has checkpoint schema {schema}, this version reads up to {SCHEMA};"
            " upgrade equipoise (or delete it, if it is damaged)"
        )
    if digest != _digest(tensors, meta):
        raise RecordError(f"{path} is damaged (its digest does not match); delete it")
    return tensors, meta


def _tensors(game: Game) -> Iterator[tuple[str, Tensor]]:
    for name, module in game.modules.items():
        for key, value in module.state_dict().items():
            yield f"{name}/{key}", _own(value)
    for name, optimizer in game.optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                yield f"optimizer/{name}/{index}/{key}", _own(torch.as_tensor(value))


def _own(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().clone()


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = len(prefix) + 1
    return {k[start:]: v for k, v in tensors.items() if k.startswith(f"{prefix}/")}


def _restore_controls(game: Game, meta: Mapping[str, str]) -> None:
    """A control that an edit brought in starts afresh; one that it took out is dropped."""
    states = json.loads(meta["controls"])
    for name, control in game.controls.items():
        if name in states:
            control.load(states[name])


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Moments and counts come from the file; rates and betas stay those of the recipe."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _digest(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    digest = hashlib.blake2b(json.dumps(texts, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _files(run_dir: Path) -> list[Path]:
    """The newest first."""
    return sorted((run_dir / FOLDER).glob("step-*.safetensors"), key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    digits = path.stem.removeprefix("step-")
    return int(digits) if digits.isdigit() else -1


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise need("safetensors", "train") from error
    return safetensors.torch
