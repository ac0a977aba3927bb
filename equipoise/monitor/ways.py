"""How a network that nobody explained is called: what it takes, tried out until it answers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.monitor.anatomy import CONVOLUTIONS, TRANSPOSED, WEIGHTED
from equipoise.monitor.batches import LABELS

SEED = 0
WIDTHS = ("z_dim", "latent_dim", "dim_z", "z_size", "latent_size", "noise_dim", "nz")
COUNTS = ("num_classes", "n_classes", "classes", "c_dim")


@dataclass(frozen=True, eq=False)
class Way:
    """A network with inputs that it takes; calling it draws the same numbers each time.

    Attributes:
        inputs: samples or latents, then labels where it takes them.
        labelled: whether the last input is labels.
        guessed: whether the width and height of the first input are a guess.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    labelled: bool = False
    guessed: bool = False

    def __call__(self) -> Any:
        start_over(self.inputs[0].device)
        return self.module(*self.inputs)

    def on(self, first: Tensor) -> Way:
        """The same with another first input."""
        return replace(self, inputs=(first, *self.inputs[1:]))

    def labelled_as(self, labels: Tensor) -> Way:
        """The same with other labels."""
        return replace(self, inputs=(*self.inputs[:-1], labels))


def start_over(device: torch.device) -> None:
    """Seed what draws on the CPU and on `device`, and no other device (as torch's own would)."""
    torch.default_generator.manual_seed(SEED)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(SEED)
    elif device.type == "mps":
        torch.mps.manual_seed(SEED)


def ways_to_generate(
    module: nn.Module, real: Tensor, labels: Tensor | None, z: Tensor | None
) -> Iterator[Way]:
    """Calls to try, the likeliest first."""
    for first, guessed in _latents(module, real, z):
        for way in _with_labels(module, first, labels):
            yield replace(way, guessed=guessed)


def ways_to_judge(module: nn.Module, samples: Tensor, labels: Tensor | None) -> Iterator[Way]:
    """Calls to try, the likeliest first."""
    yield from _with_labels(module, samples, labels)


def _latents(module: nn.Module, real: Tensor, z: Tensor | None) -> Iterator[tuple[Tensor, bool]]:
    """Latents, and whether their width and height are a guess."""
    count = len(real)
    if z is not None:
        yield z.detach()[:count].clone(), False
        return
    for shape, guessed in dict(_latent_shapes(module, real)).items():
        images = shape == tuple(real.shape[1:])
        yield (like(module, real) if images else noise(module, count, shape)), guessed


def like(module: nn.Module, samples: Tensor) -> Tensor:
    """Samples in the place and precision of the module's weights."""
    weights = next((p for p in module.parameters() if p.dtype.is_floating_point), samples)
    return samples.to(weights)


def noise(module: nn.Module, count: int, shape: tuple[int, ...]) -> Tensor:
    """The same N(0, I) each time, in the place and precision of the module's weights."""
    rng = torch.Generator().manual_seed(SEED)
    return like(module, torch.randn(count, *shape, generator=rng))


def _latent_shapes(module: nn.Module, real: Tensor) -> Iterator[tuple[tuple[int, ...], bool]]:
    """By attribute, by the first layer with weights; images where that one takes images.

    The first dense layer may take z beside an embedded or one-hot label.
    """
    named = (getattr(module, name, None) for name in WIDTHS)
    for width in dict.fromkeys(w for w in named if isinstance(w, int) and w > 0):
        yield (width,), False
        yield (width, 1, 1), False
    first: Any = next((m for m in module.modules() if isinstance(m, WEIGHTED)), None)
    if isinstance(first, CONVOLUTIONS) and first.in_channels == real.shape[1]:
        yield tuple(real.shape[1:]), False
    if isinstance(first, (*CONVOLUTIONS, *TRANSPOSED)):
        yield (first.in_channels, *(1,) * len(first.kernel_size)), True
    if isinstance(first, nn.Linear):
        for beside in (0, *_label_widths(module)):
            if first.in_features > beside:
                yield (first.in_features - beside,), False
        yield (first.in_features, 1, 1), False
        yield tuple(real.shape[1:]), False


def _label_widths(module: nn.Module) -> Iterator[int]:
    """Numbers that a label may take beside z: an embedding's, or one for each class."""
    for table in (m for m in module.modules() if isinstance(m, nn.Embedding)):
        yield table.embedding_dim
    yield from (n for name in COUNTS if isinstance(n := getattr(module, name, None), int))


def _with_labels(module: nn.Module, first: Tensor, labels: Tensor | None) -> Iterator[Way]:
    wish = wants_labels(module)
    given = _invented(module, len(first)) if labels is None and wish == "must" else labels
    if wish != "no" and given is not None:
        given = given[: len(first)].to(first.device)
        yield Way(module, (first, given), labelled=True)
        if not given.dtype.is_floating_point and given.dim() == 1:
            yield Way(module, (first, _one_hot(module, given).to(first)), labelled=True)
    if wish != "must":
        yield Way(module, (first,))


def wants_labels(module: nn.Module) -> str:
    """ "must", "may" or "no", from the parameters of `forward` behind the first.

    One without a default must be given; one with a default counts where it is called as labels are.
    """
    try:
        taken = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return "no"
    places = [p for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(places) < 2:
        return "no"
    if places[1].default is places[1].empty:
        return "must"
    return "may" if places[1].name in LABELS else "no"


def _invented(module: nn.Module, count: int) -> Tensor | None:
    """Labels of all classes in turn, where an embedding says how many there are."""
    table = next((m for m in module.modules() if isinstance(m, nn.Embedding)), None)
    return None if table is None else torch.arange(count) % table.num_embeddings


def _one_hot(module: nn.Module, labels: Tensor) -> Tensor:
    named = (getattr(module, name, None) for name in COUNTS)
    classes = next((n for n in named if isinstance(n, int)), int(labels.max()) + 1)
    return nn.functional.one_hot(labels.long(), classes)


def first_tensor(output: Any) -> Tensor | None:
    """The first floating tensor of what a network returned."""
    return next((t for t in tensors(output) if t.dtype.is_floating_point), None)


def tensors(output: Any) -> Iterator[Tensor]:
    """All tensors of what a network returned, in order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from tensors(value)
