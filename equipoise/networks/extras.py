"""What any family of players takes beside its own layers: dropout, noise, batch statistics."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from equipoise.errors import unknown
from equipoise.game import MINIBATCH_LAYERS, Noise, normalized


def after_hidden(kind: Callable[[float], nn.Module], p: float, noise: bool) -> list[nn.Module]:
    """What follows a hidden activation: dropout of `kind` at rate p, noise set from outside.

    Raises:
        ValueError: p out of [0, 1).
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout = {p!r}: the share of features that is dropped lies in [0, 1)")
    return [*([kind(p)] if p else []), *([Noise(0.0)] if noise else [])]


def judged(features: int, minibatch: str, spectral: bool) -> list[nn.Module]:
    """From flat features (N, F) to one logit (N, 1), with statistics of the batch if asked for.

    Raises:
        ValueError: no such statistics.
    """
    if minibatch not in MINIBATCH_LAYERS:
        raise ValueError(unknown("minibatch", minibatch, MINIBATCH_LAYERS))
    layer, features = MINIBATCH_LAYERS[minibatch](features)
    head = nn.Linear(features, 1)
    inserted = [] if minibatch == "none" else [layer]
    return [*inserted, *(normalized("spectral", head, 1) if spectral else [head])]


def hidden_of(layers: nn.Sequential) -> list[nn.Module]:
    """The activations among `layers`, in order."""
    return [layer for layer in layers if isinstance(layer, nn.LeakyReLU | nn.ReLU)]


def refuse_attention(player: str, family: str, attention: bool) -> None:
    """Refuse attention where there are no pixels to attend to."""
    if attention:
        raise ValueError(
            f"{player}.attention with family {family!r}: attention is between the pixels of a"
            " feature map; use family 'dcgan', or set attention to false"
        )
