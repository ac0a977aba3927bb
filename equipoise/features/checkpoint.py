"""Published checkpoints into our modules: read safely, match key for key, say what does not fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from equipoise import errors
from equipoise.errors import WeightsError

State = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)


def read_state(path: Path) -> State:
    """The tensors of a .safetensors, a pickled state dict or a TorchScript archive, on the CPU.

    A pickle is read with `weights_only=True`: it can hold tensors and nothing that runs. A state
    dict under "state_dict" or "model" is taken out.

    Raises:
        WeightsError: unreadable, or no tensors by name in it.
        MissingExtraError: a .safetensors without safetensors installed.
    """
    try:
        held = _held(path)
    except (RuntimeError, ValueError, OSError, EOFError, KeyError) as error:
        raise WeightsError(f"cannot read weights from {path}: {error}") from error
    except Exception as error:
        if type(error).__name__ not in ("UnpicklingError", "SafetensorError"):
            raise
        raise WeightsError(f"cannot read weights from {path}: {error}") from error
    for key in ("state_dict", "model"):
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    if not isinstance(held, Mapping) or not any(isinstance(v, Tensor) for v in held.values()):
        raise WeightsError(f"{path} holds {type(held).__name__}, not a state dict: tensors by name")
    return {str(key): value for key, value in held.items() if isinstance(value, Tensor)}


def build(make: Callable[[], Module], state: Mapping[str, Tensor], what: str) -> Module:
    """`make()` with the tensors of `state`, in float32, eval mode and frozen.

    It is made without memory and without a random number; what batch normalizations count
    (`num_batches_tracked`, absent from old files) is not needed.

    Raises:
        WeightsError: a tensor is missing, superfluous or of another shape; some are named.
    """
    with torch.device("meta"):
        module = make()
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    counts = {key: torch.tensor(0) for key in wanted if key.endswith("num_batches_tracked")}
    filled = counts | {key: _float(value) for key, value in state.items()}
    given = {key: tuple(value.shape) for key, value in filled.items()}
    wrong = [f"{key} {wanted[key]} is missing" for key in wanted if key not in given]
    wrong += [f"{key} {given[key]} is not known" for key in given if key not in wanted]
    both = wanted.keys() & given.keys()
    wrong += [
        f"{key} is {given[key]}, not {wanted[key]}" for key in both if given[key] != wanted[key]
    ]
    if wrong:
        some = "; ".join(sorted(wrong)[:3])
        raise WeightsError(
            f"these weights do not fit {what}: {some} ({len(wrong)} of {len(wanted)} tensors);"
            " give a file of its published layout"
        )
    module.load_state_dict(filled, assign=True)
    return module.eval().requires_grad_(False)


def _float(value: Tensor) -> Tensor:
    return value.detach().float() if value.is_floating_point() else value.detach()


def _held(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError as error:
            raise errors.need("safetensors", "train") from error
        return load_file(path)
    if _is_torchscript(path):
        with warnings.catch_warnings():  # TorchScript is deprecated; OpenAI's files are it
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location="cpu").state_dict()  # type: ignore[no-untyped-call, unused-ignore]  # torch
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_torchscript(path: Path) -> bool:
    import zipfile

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.partition("/")[2].startswith("code/") for name in archive.namelist())
