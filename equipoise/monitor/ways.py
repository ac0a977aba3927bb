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
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    labelled: bool = False

    def __call__(self) -> Any:
        torch.manual_seed(SEED)
        return self.module(*self.inputs)

    def on(self, first: Tensor) -> Way:
        """The same with another first input."""
        return replace(self, inputs=(first, *self.inputs[1:]))

    def labelled_as(self, labels: Tensor) -> Way:
        """The same with other labels."""
        return replace(self, inputs=(*self.inputs[:-1], labels))


def ways_to_generate(
    module: nn.Module, real: Tensor, labels: Tensor | None, z: Tensor | None
) -> Iterator[Way]:
    """Calls to try, the likeliest first."""
    for first in _latents(module, real, z):
        yield from _with_labels(module, first, labels)


def ways_to_judge(module: nn.Module, samples: Tensor, labels: Tensor | None) -> Iterator[Way]:
    """Calls to try, the likeliest first."""
    yield from _with_labels(module, samples, labels)


def _latents(module: nn.Module, real: Tensor, z: Tensor | None) -> Iterator[Tensor]:
    count = len(real)
    if z is not None:
        yield z.detach()[:count].clone()
        return
    like = next((p for p in module.parameters() if p.dtype.is_floating_point), real)
    for shape in _latent_shapes(module, real):
        if shape == tuple(real.shape[1:]):
            yield real.to(like.device)
        else:
            noise = torch.randn(count, *shape, generator=torch.Generator().manual_seed(SEED))
            yield noise.to(like)


def _latent_shapes(module: nn.Module, real: Tensor) -> Iterator[tuple[int, ...]]:
    """By attribute, by the first layer with weights; images where that one takes images."""
    named = (getattr(module, name, None) for name in WIDTHS)
    for width in dict.fromkeys(w for w in named if isinstance(w, int) and w > 0):
        yield (width,)
        yield (width, 1, 1)
    first: Any = next((m for m in module.modules() if isinstance(m, WEIGHTED)), None)
    if isinstance(first, CONVOLUTIONS) and first.in_channels == real.shape[1]:
        yield tuple(real.shape[1:])
    if isinstance(first, (*CONVOLUTIONS, *TRANSPOSED)):
        yield (first.in_channels, *(1,) * len(first.kernel_size))
    if isinstance(first, nn.Linear):
        yield (first.in_features,)
        yield (first.in_features, 1, 1)
        yield tuple(real.shape[1:])


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
