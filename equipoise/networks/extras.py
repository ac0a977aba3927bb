"""What any family takes beside its own layers: attention, dropout, noise, batch statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from equipoise.errors import unknown
from equipoise.game import MINIBATCH_LAYERS, Noise, SelfAttention, spectral_norm
from equipoise.game.initialization import weighted_layers

LARGEST_ATTENDED = 32  # pixels; the memory of attention grows as the fourth power of the side


def attends(size: int, full: int, attention: bool) -> bool:
    """Whether the map of `size` pixels has the attention: the largest below `full`, at most 32.

    SAGAN finds 32 of 128 pixels better than 8 or 16 (Zhang et al. 2019, table 1).
    """
    return attention and size == min(full // 2, LARGEST_ATTENDED)


def attention_layer(channels: int, spectral: bool) -> SelfAttention:
    """Self-attention whose convolutions are normalized like the layers around it, as SAGAN's."""
    layer = SelfAttention(channels)
    if spectral:
        _spectrally([layer])
    return layer


def _spectrally(layers: Iterable[nn.Module]) -> None:
    for module in layers:
        for part in weighted_layers(module):
            spectral_norm(part)


def after_hidden(kind: Callable[[float], nn.Module], p: float, noise: bool) -> list[nn.Module]:
    """What follows a hidden activation: dropout of `kind` at rate p, noise set from outside.

    Raises:
        ValueError: p out of [0, 1).
    """
    if not 0 <= p < 1:
        raise ValueError(
            f"dropout = {p!r}: the share of features that is dropped lies in [0, 1); 0 is off"
        )
    return [*([kind(p)] if p else []), *([Noise(0.0)] if noise else [])]


def judged(
    minibatch: str, channels: int, pixels: int = 1, spectral: bool = False
) -> list[nn.Module]:
    """From the last features, (N, C) or (N, C, h, w), to one logit (N, 1).

    Statistics of the minibatch come between if asked for; `spectral` normalizes all that is dense.

    Raises:
        ValueError: no such statistics.
    """
    if minibatch not in MINIBATCH_LAYERS:
        raise ValueError(unknown("minibatch", minibatch, MINIBATCH_LAYERS))
    layer, features = MINIBATCH_LAYERS[minibatch](channels, pixels)
    inserted = [] if minibatch == "none" else [layer]
    flat = [nn.Flatten()] if pixels > 1 else []
    layers = [*inserted, *flat, nn.Linear(features, 1)]
    if spectral:
        _spectrally(layers)
    return layers


def hidden_of(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """The activations among `layers`, in order: a discriminator's features leave them."""
    return [layer for layer in layers if isinstance(layer, nn.LeakyReLU)]


def refuse_attention(player: str, family: str, attention: bool) -> None:
    """Refuse attention where there are no pixels to attend to."""
    if attention:
        raise ValueError(
            f"{player}.attention = true with family {family!r}: attention needs maps of pixels; use"
            " family 'dcgan', or set attention to false"
        )
