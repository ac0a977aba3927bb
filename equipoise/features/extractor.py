"""One interface for features: images in, one row of numbers per image out, and what was done."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from equipoise.errors import DataError
from equipoise.features.images import AS_GIVEN, Preprocess, refuse_not_finite

BATCH = 64  # images per pass

Network = Callable[[Tensor], Tensor]


@dataclass
class Extractor:
    """Features of images, with all that must agree before two numbers may be compared.

    `extractor(images)` takes a tensor (N, C, H, W), uint8 or float, or a sequence of (C, H, W)
    whose sizes may differ where `preprocess` resizes, and gives float32 (N, d). It runs in
    batches, in eval mode, in float32 even under autocast, without gradient and without TF32
    convolutions; the network's modes and the global random states are as before afterwards.

    Attributes:
        name: of the features; part of every metric's name ("frechet_random_conv_v1").
        network: what reads a prepared batch and gives (n, d).
        preprocess: what is done to images before.
        dim: d; None until the first batch where it is not known before.
        weights_sha256: of the weights, None for what has none.
        batch: images per pass.
        device: where it computes and returns; None is where the images are (a network given by
            the user stays where it is).
    """

    name: str
    network: Network
    preprocess: Preprocess = field(default_factory=Preprocess)
    dim: int | None = None
    weights_sha256: str | None = None
    batch: int = BATCH
    device: torch.device | str | None = None
    _stays: bool = field(default=False, repr=False)  # the user's module, on the user's device
    _told: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}: must be 1 image or more")

    def convention(self) -> dict[str, object]:
        """What a metric records: features, dim, resize, quantization, normalization, weights.

        Ask after the first batch: before it `dim` may be None.
        """
        entries: dict[str, object] = {"features": self.name, "dim": self.dim}
        return entries | self.preprocess.told() | {"weights_sha256": self.weights_sha256}

    def __call__(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """Features float32 (N, d) of images.

        Raises:
            DataError: no images, another shape or type, NaN, values out of range, sizes that
                differ where nothing resizes, features that are not finite; the image is named.
            ValueError: the network gives no (n, d), or another d than before.
        """
        if len(images) == 0:
            raise DataError("images holds none; features need one image or more")
        if not isinstance(images[0], Tensor):
            raise DataError(
                f"images is {type(images).__name__} of {type(images[0]).__name__}: must be a tensor"
                " (N, C, H, W) or a sequence of tensors; torch.from_numpy makes one of an array"
            )
        device = self._place(images[0].device)
        rows = []
        with _undisturbed(self.network, device):
            for first in range(0, len(images), self.batch):
                chunk = images[first : first + self.batch]
                rows.append(self._rows(self._prepared(chunk, first, device), first))
        return torch.cat(rows)

    def _prepared(
        self, chunk: Tensor | Sequence[Tensor], first: int, device: torch.device
    ) -> Tensor:
        if isinstance(chunk, Tensor):
            self._tell_gray(chunk.shape)
            return self.preprocess(chunk.detach().to(device), first)
        ready = []
        for index, image in enumerate(chunk, first):
            if image.dim() != 3:
                raise DataError(
                    f"image {index} has shape {tuple(image.shape)}: a sequence holds (C, H, W)"
                )
            self._tell_gray((1, *image.shape))
            ready.append(self.preprocess(image.detach().to(device)[None], index)[0])
            if ready[-1].shape != ready[0].shape:
                raise DataError(
                    f"image {index} is {tuple(ready[-1].shape)} and image {first} is"
                    f" {tuple(ready[0].shape)}, and {self.name!r} does not resize them to one size;"
                    " resize them before, or pass resize= and size="
                )
        return torch.stack(ready)

    def _rows(self, batch: Tensor, first: int) -> Tensor:
        rows = self.network(batch)
        if not isinstance(rows, Tensor) or rows.dim() != 2 or len(rows) != len(batch):
            what = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
            raise ValueError(
                f"features {self.name!r} gave {what} for {len(batch)} images: must be a tensor"
                f" ({len(batch)}, d); flatten or pool what the network gives"
            )
        if self.dim is None:
            self.dim = rows.shape[1]
        if rows.shape[1] != self.dim:
            raise ValueError(
                f"features {self.name!r} have {rows.shape[1]} dimensions, and had {self.dim}"
                " before; give images of one size and one number of channels"
            )
        rows = rows.detach().float()
        try:
            refuse_not_finite(rows, first)
        except DataError as error:
            raise DataError(f"features {self.name!r} of finite images: {error}") from None
        return rows

    def _place(self, images: torch.device) -> torch.device:
        own = _home(self.network)
        if self.device is None and self._stays and own is not None:
            return own
        device = torch.device(self.device) if self.device is not None else images
        if isinstance(self.network, nn.Module) and own is not None and own != device:
            self.network.to(device)
        return device

    def _tell_gray(self, shape: Sequence[int]) -> None:
        if self.preprocess.gray != "tell" or self._told or len(shape) != 4 or shape[1] != 1:
            return
        self._told = True
        warnings.warn(
            f"images have one channel, which is repeated to three for {self.name!r};"
            " gray='repeat' says that this is meant, gray='refuse' refuses it",
            stacklevel=4,
        )


def from_callable(network: Network, name: str | None = None) -> Extractor:
    """An extractor of a function or module images -> (N, d), which reads images as they are given.

    Args:
        network: kept, not copied; a module's modes are restored after each call.
        name: of the features; None takes the function's or class's own.

    Raises:
        ValueError: it has no name of its own (a lambda, a partial).
    """
    found = name or getattr(network, "__name__", None)
    if found is None and isinstance(network, nn.Module):
        found = type(network).__name__.lower()
    if found is None or not found.isidentifier():
        raise ValueError(
            f"the features {network!r} have no usable name ({found!r}); pass name='...' (letters,"
            " digits, _): it becomes part of the metric's name"
        )
    sha256 = fingerprint(network) if isinstance(network, nn.Module) else None
    as_given = Preprocess(quantize="none", normalize=AS_GIVEN, gray="keep")
    return Extractor(found, network, as_given, weights_sha256=sha256, _stays=True)


def fingerprint(module: nn.Module) -> str | None:
    """sha256 over the names, types, shapes and bytes of a module's state; None if it has none."""
    digest = hashlib.sha256()
    state = module.state_dict()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if state else None


def _home(network: Network) -> torch.device | None:
    if not isinstance(network, nn.Module):
        return None
    held = next(itertools.chain(network.parameters(), network.buffers()), None)
    return None if held is None else held.device


@contextlib.contextmanager
def _undisturbed(network: Network, device: torch.device) -> Iterator[None]:
    """Eval mode, no gradient, float32, exact convolutions; modes and random states restored."""
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    modes = [module.training for module in modules]
    cuda = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(cuda),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        _exact(device),
    ):
        try:
            for module in modules:
                module.training = False
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode


@contextlib.contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """Convolutions in full float32, the same on every run; nothing to do off CUDA."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    # torch < 2.9 has the old switch only; where both are, reading the old one may raise
    holder, name, exact = (
        (cudnn.conv, "fp32_precision", "ieee")
        if hasattr(cudnn, "conv")
        else (cudnn, "allow_tf32", False)
    )
    before, deterministic = getattr(holder, name), cudnn.deterministic
    try:
        setattr(holder, name, exact)
        cudnn.deterministic = True
        yield
    finally:
        setattr(holder, name, before)
        cudnn.deterministic = deterministic
