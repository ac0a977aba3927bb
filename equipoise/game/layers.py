"""Layers that players are built from: equalized rates, attention, batch statistics, noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | Transposed


class Equalized(nn.Module):
    """weight -> scale * weight."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.scale

    def right_inverse(self, value: Tensor) -> Tensor:
        return value / self.scale


def fan_in(layer: nn.Module) -> float:
    """Inputs summed into one output: in / groups * prod(kernel), over prod(stride) if transposed.

    A strided transposed convolution has prod(kernel) / prod(stride) inputs an output on average.
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features
    size = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
    return size / math.prod(layer.stride) if isinstance(layer, Transposed) else size


def equalized(layer: nn.Module, gain: float = 1.0, rate: float = 1.0) -> nn.Module:
    """The layer with weight c w, w ~ N(0, 1 / rate^2), c = rate gain / sqrt(fan_in), in place.

    Under Adam every weight then learns at the same relative speed, `rate` times the optimizer's.
    The bias is set to 0; `gain` is sqrt(2) before a ReLU; `fan_in` as the function of this name.
    w is drawn from torch's global generator. Karras et al. 2018, section 4.1; `rate` from Karras
    et al. 2019, appendix C.

    Raises:
        ValueError: the layer is neither dense nor a convolution.
    """
    if not isinstance(layer, Weighted):
        raise ValueError(
            f"layer = {type(layer).__name__}: equalized rates are for Linear and Conv layers"
        )
    std = gain / math.sqrt(fan_in(layer))
    with torch.no_grad():
        layer.weight.normal_(0, std)  # what the layer multiplies by; w is this over the scale
        if layer.bias is not None:
            layer.bias.zero_()
    parametrize.register_parametrization(layer, "weight", Equalized(rate * std))
    return layer


def equalize(module: nn.Module, gain: float = math.sqrt(2)) -> list[str]:
    """`equalized` on every dense and convolution layer of `module`, in place; returns their names.

    Each is drawn anew, N(0, gain^2 / fan_in), and its bias set to 0. A layer whose weight has a
    parametrization is left: spectral and weight normalization divide by the scale, so that nothing
    would be equalized, and one that is equalized already would be scaled twice.

    Raises:
        ValueError: no layer is left to equalize.
    """
    names = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, Weighted) and not parametrize.is_parametrized(layer, "weight")
    ]
    if not names:
        raise ValueError(
            f"module = {type(module).__name__} has no dense or convolution layer whose weight is"
            " without a parametrization (spectral, weight, equalized): nothing to equalize; build"
            " it with normalization 'none', or leave equalized rates out"
        )
    for name in names:
        equalized(module.get_submodule(name), gain)
    return names


class SelfAttention(nn.Module):
    """x + gamma Wv (h(x) softmax(f(x)'g(x))): every pixel attends to every other. (N, C, H, W).

    f and g have C / 8 channels, h has C / 2; no biases. gamma starts at 0, so the layer starts as
    the identity and f, g, h have no gradient at the first step. `pool` halves the keys' and values'
    grid by max pooling, as BigGAN does (even sizes). Attention is written out: torch's fused
    kernels have no second derivative, which gradient penalties need. Zhang et al. 2019, eq. 1-3.
    """

    def __init__(self, channels: int, pool: bool = False) -> None:
        super().__init__()
        inner, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.output = nn.Conv2d(half, channels, 1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)  # (N, C/8, HW)
        key, value = (self.pool(part(x)).flatten(2) for part in (self.key, self.value))
        attention = (query.transpose(1, 2) @ key).softmax(2)  # (N, HW, HW'), no 1/sqrt(d)
        mixed = (value @ attention.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return x + self.gamma * self.output(mixed)


def minibatch_deviation(x: Tensor, group: int = 4, features: int = 1, eps: float = 1e-8) -> Tensor:
    """x with `features` channels appended: the mean standard deviation within groups of samples.

    (N, C, ...) -> (N, C + F, ...). Samples i, i + N/group, ... form a group; channels are split
    into F parts; sigma over the group, averaged over the part and the pixels, fills the channel.
    A batch that mixes reals and fakes mixes its groups too. Karras et al. 2018, section 3; groups
    and features as in StyleGAN2.

    Raises:
        ValueError: N is over `group` and no multiple of it, or C no multiple of `features`.
    """
    n, channels = x.shape[:2]
    size = min(group, n)
    if n % size or channels % features:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: the batch must be a multiple of group = {group}, and"
            f" the channels of features = {features}; change the batch size or the group"
        )
    parts = x.reshape(size, n // size, features, -1)
    variance = (parts - parts.mean(0)).square().mean(0)  # (N / G, F, C / F * pixels)
    deviation = (variance + eps).sqrt().mean(2).repeat(size, 1)  # (N, F)
    filled = deviation.view(n, features, *(1,) * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat([x, filled], 1)


class MinibatchDeviation(nn.Module):
    """`minibatch_deviation` as a layer; nothing to learn, C + F channels leave it."""

    couples_batch = True

    def __init__(self, group: int = 4, features: int = 1) -> None:
        super().__init__()
        self.group, self.features = group, features

    def forward(self, x: Tensor) -> Tensor:
        return minibatch_deviation(x, self.group, self.features)


class MinibatchDiscrimination(nn.Module):
    """x with B features of closeness to the batch appended: (N, A) -> (N, A + B).

    M_i = x_i T in R^(B x C), o(x_i)_b = sum_(j != i) exp(-|M_ib - M_jb|_1). The paper's sum counts
    j = i too, a constant 1. Memory N^2 B C. Salimans et al. 2016, section 3.2 (B 100, C 5).
    """

    couples_batch = True

    def __init__(self, inputs: int, features: int = 100, dim: int = 5) -> None:
        super().__init__()
        self.features, self.dim = features, dim
        self.projection = nn.Linear(inputs, features * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.projection(x).view(len(x), self.features, self.dim)
        distance = (rows[:, None] - rows[None]).abs().sum(3)  # (N, N, B)
        return torch.cat([x, torch.exp(-distance).sum(1) - 1], 1)


def no_minibatch(channels: int, pixels: int = 1) -> tuple[nn.Module, int]:
    """Nothing: each sample is judged alone."""
    return nn.Identity(), channels * pixels


def deviation_appended(channels: int, pixels: int = 1) -> tuple[nn.Module, int]:
    """One channel more: the deviation within groups of 4 samples. Karras et al. 2018, section 3.

    It stands on the last feature map, so every pixel has it.
    """
    return MinibatchDeviation(), (channels + 1) * pixels


def discrimination_appended(channels: int, pixels: int = 1) -> tuple[nn.Module, int]:
    """16 learned features more: closeness to the rest of the batch. Salimans et al. 2016.

    It stands on flat features. The paper has 100 for one network of fixed size; here their weights
    would outnumber all others.
    """
    layer = MinibatchDiscrimination(channels * pixels, 16)
    return nn.Sequential(nn.Flatten(), layer), channels * pixels + layer.features


# (channels, pixels) of a discriminator's last features -> the layer to put behind them, and the
# number of flat features for the last dense layer
MINIBATCH_LAYERS: dict[str, Callable[..., tuple[nn.Module, int]]] = {
    "none": no_minibatch,
    "deviation": deviation_appended,
    "discrimination": discrimination_appended,
}


def pack(x: Tensor, size: int) -> Tensor:
    """`size` consecutive samples joined along the channels: (N, C, ...) -> (N / m, m C, ...).

    PacGAN, section 2. Reals and fakes must lie in separate, whole packs.

    Raises:
        ValueError: N is no multiple of `size`.
    """
    if size < 1 or len(x) % size:
        raise ValueError(
            f"size = {size} with a batch of {len(x)}: packs must be whole; make the batch a"
            " multiple of the pack size"
        )
    return x.reshape(len(x) // size, size * x.shape[1], *x.shape[2:])


class Packed(nn.Module):
    """A discriminator that judges packs: (N, C, ...) -> its logits of (N / m, m C, ...).

    Build it for m times the channels. There are N / m logits, one a pack. Lin et al. 2018 (PacGAN).
    """

    couples_batch = True

    def __init__(self, discriminator: nn.Module, size: int) -> None:
        super().__init__()
        self.discriminator, self.size = discriminator, size

    def forward(self, x: Tensor) -> Tensor:
        return self.discriminator(pack(x, self.size))


def gaussian_noise(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """x + strength e, e ~ N(0, I), drawn on the generator's device; x itself at strength 0."""
    if strength == 0:
        return x
    device = generator.device if generator else x.device
    noise = torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype)
    return x + strength * noise.to(x.device)


class Noise(nn.Module):
    """Gaussian noise of a fixed strength, at an input, between layers, or on logits.

    x + strength e in training; x in evaluation, unless `always`. `strength` may be set between
    steps (a schedule), `generator` too; without one torch's global generator draws.

    Raises:
        ValueError: a negative strength.
    """

    def __init__(self, strength: float, always: bool = False) -> None:
        super().__init__()
        if not strength >= 0:
            raise ValueError(f"strength = {strength!r}: a standard deviation is at least 0")
        self.strength, self.always = strength, always
        self.generator: torch.Generator | None = None

    def extra_repr(self) -> str:
        return f"strength={self.strength:g}, always={self.always}"

    def forward(self, x: Tensor) -> Tensor:
        active = self.training or self.always
        return gaussian_noise(x, self.strength, self.generator) if active else x


class PixelNoise(nn.Module):
    """x + s_c e_p: one noise image a sample, with a learned strength per channel, first 0.

    (N, C, H, W). A generator's source of detail, so it draws in evaluation too; `generator` may be
    set, without one torch's global generator draws. Karras et al. 2019, section 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels))
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        noise = gaussian_noise(torch.zeros_like(x[:, :1]), 1.0, self.generator)
        return x + self.strength[:, None, None] * noise


def noisy(discriminator: nn.Module, inputs: float = 0.0, logits: float = 0.0) -> nn.Module:
    """The discriminator with noise on its input and output while it trains, as a Sequential.

    Instance noise on the input makes the distributions overlap (Sonderby et al. 2017; Arjovsky and
    Bottou 2017); on logits it is a crude label smoothing.
    """
    return nn.Sequential(Noise(inputs), discriminator, Noise(logits))
