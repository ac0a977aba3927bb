"""Feature matching: the discriminator's hidden activations as a measure of likeness.

Features are nested lists of tensors (N, ...), as discriminators return them: layers, or
discriminators of layers. Real features take no gradient.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from equipoise.game.logits import mean_of, per_sample

Features = Tensor | Sequence["Features"]


def feature_matching(real: Features, fake: Features, relative: bool = False) -> Tensor:
    """mean over discriminators and layers of mean |f(x) - f(y)|: (N,), in units of the features.

    EnCodec (Defossez et al. 2022) divides each layer by mean |f(x)| over the batch:
    `relative=True`, no unit. HiFi-GAN (Kong et al. 2020) sums over discriminators and
    layers (their code doubles the sum): multiply by their number.

    Raises:
        ValueError: the lists differ in length or a layer's shapes differ.
    """
    if isinstance(real, Tensor) and isinstance(fake, Tensor):
        return _layer(real.detach(), fake, relative)
    if isinstance(real, Tensor) or isinstance(fake, Tensor) or len(real) != len(fake) or not real:
        raise ValueError(
            f"real features: {_form(real)}, fake features: {_form(fake)}: both sides must hold the"
            " same layers of the same discriminators, at least one; pass them as one pass gave them"
        )
    return mean_of([feature_matching(a, b, relative) for a, b in zip(real, fake, strict=True)])


def _form(features: Features) -> str:
    return "a tensor" if isinstance(features, Tensor) else f"a list of {len(features)}"


def _layer(real: Tensor, fake: Tensor, relative: bool) -> Tensor:
    if real.shape != fake.shape:
        raise ValueError(
            f"features of shapes {tuple(real.shape)} and {tuple(fake.shape)}: a layer must see"
            " real and fake of one size; crop them alike"
        )
    distance = per_sample((real - fake).abs())
    return distance / real.abs().mean().clamp(min=1e-12) if relative else distance


def mean_feature_matching(real: Tensor, fake: Tensor) -> Tensor:
    """||E f(x) - E f(G(z))||_2^2 of one layer: a single number, since the means couple the batch.

    Salimans et al. 2016, section 3.1. Features are (N, ...), in any unit u; the value is in u^2.
    The sides may differ in number of samples.

    Raises:
        ValueError: the layer's shape differs between the sides.
    """
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"features of shapes {tuple(real.shape)} and {tuple(fake.shape)}: their means can only"
            " be compared where all but the batch agrees"
        )
    return (real.detach().mean(0) - fake.mean(0)).square().sum()


@contextlib.contextmanager
def captured(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """What each of `layers` gives while the block runs, in the order of the calls, with graph.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> with captured([net[1]]) as features:
    ...     logits = net(Tensor([[0.0, 1.0]] * 5))
    >>> [tuple(f.shape) for f in features]
    [(5, 3)]
    """
    found: list[Tensor] = []

    def note(_: nn.Module, __: Any, output: Tensor) -> None:
        found.append(output)

    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
