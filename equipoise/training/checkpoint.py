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


def save(run_dir: Path, game: Game, progress: Progress, keep: int) -> Path:
    """Write everything that the rest of the run depends on; drop all but the newest `keep`.

    Raises:
        RecordError: the file system refused; older checkpoints are untouched.
    """
    save_tensors = _safetensors().save
    tensors = dict(_tensors(game))
    meta = {
        "schema": str(SCHEMA),
        "recipe": game.recipe.content_hash(),
        "progress": json.dumps(asdict(progress)),
        "optimizers": json.dumps({k: _settings(o) for k, o in game.optimizers.items()}),
        "digest": _digest(tensors),
    }
    path = run_dir / FOLDER / f"step-{progress.step:08d}.safetensors"
    write_bytes(path, save_tensors(tensors, metadata=meta))
    for old in _files(run_dir)[keep:]:
        old.unlink(missing_ok=True)
    return path


def restore(run_dir: Path, game: Game, until: int | None = None) -> Progress:
    """Load the newest readable checkpoint (at or before step `until`) into `game`.

    Returns a fresh `Progress` when the run has no checkpoint yet.

    Raises:
        RecordError: checkpoints exist but none can be read, or it belongs to another recipe.
    """
    reasons = []
    for path in _files(run_dir):
        if until is not None and _step_of(path) > until:
            continue
        try:
            return load(path, game)
        except RecordError as error:
            reasons.append(str(error))
    if reasons:
        raise RecordError("no checkpoint can be read: " + "; ".join(reasons))
    return Progress()


def forget_after(run_dir: Path, step: int) -> None:
    """Delete checkpoints of steps after `step`, which a rollback made void."""
    for path in _files(run_dir):
        if _step_of(path) > step:
            path.unlink(missing_ok=True)


def load(path: Path, game: Game) -> Progress:
    """Load one checkpoint into `game`.

    Raises:
        RecordError: damaged, of a later version, or of another recipe.
    """
    tensors, meta = _read(path)
    if int(meta.get("schema", "0")) > SCHEMA:
        raise RecordError(f"{path} was written by a later version; upgrade equipoise")
    if meta.get("recipe") != game.recipe.content_hash():
        raise RecordError(
            f"{path} belongs to recipe {meta.get('recipe')}, not to {game.recipe.content_hash()}"
            f" ({game.recipe.name!r}); resume with the recipe.yaml of its own run directory"
        )
    if meta.get("digest") != _digest(tensors):
        raise RecordError(f"{path} is damaged (its digest does not match); delete it")
    for name, module in game.modules.items():
        module.load_state_dict(_under(tensors, name))
    settings = json.loads(meta["optimizers"])
    for name, optimizer in game.optimizers.items():
        _restore_optimizer(optimizer, _under(tensors, f"optimizer/{name}"), settings[name])
    return Progress(**json.loads(meta["progress"]))


def load_generator(path: Path, module: torch.nn.Module) -> None:
    """Load the averaged generator of a checkpoint into `module`, for sampling alone."""
    tensors, _ = _read(path)
    module.load_state_dict(_under(tensors, "average"))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    safetensors = _safetensors()
    try:
        data = path.read_bytes()
        tensors = safetensors.load(data)
        length = int.from_bytes(data[:8], "little")
        meta = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except Exception as error:  # the reader raises its own type for every kind of damage
        raise RecordError(
            f"{path} is damaged ({type(error).__name__}: {error}); delete it"
        ) from error
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


def _settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    groups = optimizer.state_dict()["param_groups"]
    return [{k: v for k, v in group.items() if _is_plain(v)} for group in groups]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, list, tuple))


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    for group in groups:
        group["betas"] = tuple(group["betas"]) if "betas" in group else group.pop("betas", None)
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
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
