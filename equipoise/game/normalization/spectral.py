"""Spectral normalization: of the reshaped weight, as usual, and of the convolution itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSE = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
WARM_UP = 15  # power iterations at construction, as torch's own spectral_norm


def spectral_norm(layer: nn.Module, channels: int = 0, steps: int = 1) -> list[nn.Module]:
    """The layer with weight W / sigma(W), sigma by `steps` power iterations per training forward.

    W is reshaped to (out, rest), as usual; a convolution's own norm can be larger, up to
    sqrt(k_h k_w) / stride times: see `exact_spectral_norm`. Miyato et al. 2018, algorithm 1.
    """
    return [parametrizations.spectral_norm(layer, n_power_iterations=steps)]


class Operator:
    """A convolution without bias as a linear map of (1, C, *size), for any weight of its shape.

    Raises:
        ValueError: the layer is no convolution, or `size` has the wrong number of dimensions.
    """

    def __init__(self, layer: nn.Module, size: Sequence[int]) -> None:
        if not isinstance(layer, Convolution | Transposed):
            raise ValueError(
                f"layer = {type(layer).__name__}: exact spectral normalization is for convolutions;"
                " for dense layers spectral_norm is already exact"
            )
        dims = len(layer.kernel_size)
        if len(size) != dims:
            raise ValueError(
                f"size = {tuple(size)}: a {dims}-dimensional convolution needs {dims} sizes of its"
                " input, in pixels"
            )
        self.shape = (1, layer.in_channels, *size)
        self.transposed = isinstance(layer, Transposed)
        self.pad: list[int] = []
        self.mode = layer.padding_mode
        self.options: dict[str, Any] = {
            "stride": layer.stride,
            "padding": layer.padding,
            "dilation": layer.dilation,
            "groups": layer.groups,
        }
        if self.transposed:
            self.options["output_padding"] = layer.output_padding
        elif self.mode != "zeros":
            self.pad = list(layer._reversed_padding_repeated_twice)
            self.options["padding"] = 0

    def __call__(self, weight: Tensor, x: Tensor) -> Tensor:
        """A x: (1, C, *size) -> (1, C', *size')."""
        table = _TRANSPOSE if self.transposed else _CONVOLVE
        if self.pad:
            x = functional.pad(x, self.pad, mode=self.mode)
        return table[len(self.shape) - 2](x, weight, **self.options)

    def iterate(self, weight: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """One power iteration: u = A v / |A v|, v' = A'u / |A'u|; the adjoint A' by autograd."""
        with torch.enable_grad():
            x = v.detach().requires_grad_()
            image = self(weight.detach(), x)
            u = functional.normalize(image.detach().flatten(), dim=0).view_as(image)
            (back,) = torch.autograd.grad(image, x, u)
        return u, functional.normalize(back.flatten(), dim=0).view_as(back)


def operator_norm(layer: nn.Module, size: Sequence[int], steps: int = 200) -> float:
    """sigma = max |A x| / |x| of a convolution A on inputs of `size` pixels, its padding included.

    By power iteration from a fixed start; below the truth by about (sigma_2 / sigma)^(2 steps).
    All ones, 3 x 3, padding 1 on 16 x 16: 8.7968, where the reshaped weight has norm 3.
    """
    operator = Operator(layer, size)
    weight = layer.weight.detach()
    v = _start(operator.shape, weight)
    for _ in range(steps):
        _, v = operator.iterate(weight, v)
    return operator(weight, v).norm().item()


def _start(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A unit vector without symmetry, so that no singular vector is orthogonal to it by design."""
    rng = torch.Generator().manual_seed(0)
    v = torch.randn(math.prod(shape), generator=rng, dtype=torch.float64)
    return (v / v.norm()).view(shape).to(like)


class _ExactSpectralNorm(nn.Module):
    """weight -> weight / sigma(A); v is a buffer, so that a resumed run goes on bitwise."""

    def __init__(self, layer: nn.Module, size: Sequence[int], steps: int) -> None:
        super().__init__()
        self.operator, self.steps = Operator(layer, size), steps
        weight = layer.weight.detach()
        self.register_buffer("v", _start(self.operator.shape, weight))
        self._advance(weight, WARM_UP)

    @torch.no_grad()
    def _advance(self, weight: Tensor, steps: int) -> None:
        v = self.v
        for _ in range(steps):
            _, v = self.operator.iterate(weight, v)
        self.v.copy_(v)

    def forward(self, weight: Tensor) -> Tensor:
        if self.training:
            self._advance(weight, self.steps)
        v = self.v.clone()  # the buffer moves again before a second backward
        return weight / torch.linalg.vector_norm(self.operator(weight, v))  # |A v|, v held fixed

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def exact_spectral_norm(layer: nn.Module, size: Sequence[int], steps: int = 1) -> nn.Module:
    """The convolution with weight W / sigma, sigma the norm of the convolution itself, in place.

    sigma is that of x -> W * x on inputs of `size` pixels with the layer's own padding, stride,
    dilation and groups, by `steps` power iterations per training forward (about one more pass over
    a single sample each). On larger inputs the norm is a little larger. A dense layer gets the
    usual normalization, which is exact. After Sedghi et al. 2019; Gouk et al. 2021, section 3.

    Raises:
        ValueError: not a convolution or dense layer, or `size` does not fit it.
    """
    if isinstance(layer, nn.Linear):
        return spectral_norm(layer, steps=steps)[0]
    exact = _ExactSpectralNorm(layer, size, steps)
    parametrize.register_parametrization(layer, "weight", exact, unsafe=True)
    return layer


def exact_spectral_norms(model: nn.Module, example: Tensor, steps: int = 1) -> list[str]:
    """`exact_spectral_norm` on every dense and convolution layer, at the sizes `example` gives.

    The example, (N, ...), passes once through the model in evaluation mode, without gradients; a
    layer used at several sizes takes the largest. Returns the layers' names; those that are
    parametrized already are left alone.

    Raises:
        ValueError: the example reaches none of the model's layers.
    """
    sizes = input_sizes(model, example)
    if not sizes:
        raise ValueError(
            f"model = {type(model).__name__}: the example reached no dense or convolution layer"
            " without a parametrization; nothing to normalize"
        )
    layers = dict(model.named_modules())
    for name, size in sizes.items():
        exact_spectral_norm(layers[name], size, steps)
    return list(sizes)


def input_sizes(model: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """Name -> spatial size of what enters it, for each layer that the example reaches."""
    sizes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            size = tuple(inputs[0].shape[2:])
            sizes[name] = max(sizes.get(name, size), size, key=math.prod)

        return hook

    weighted = (nn.Linear, *Convolution.__args__, *Transposed.__args__)
    free = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, weighted) and not parametrize.is_parametrized(layer, "weight")
    ]
    handles = [layer.register_forward_pre_hook(note(name)) for name, layer in free]
    modes = [(layer, layer.training) for layer in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
        for layer, mode in modes:
            layer.training = mode
    return sizes
