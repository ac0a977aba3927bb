"""Spectral normalization against a matrix worked out by hand, and what couples a batch."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from equipoise.game import NORMALIZATIONS, couples_batch, normalized, spectral_norm
from equipoise.game.normalization.table import groups_of

W = torch.tensor([[3.0, 0.0], [4.0, 5.0]], dtype=torch.float64)  # sigma = 3 sqrt 5 and sqrt 5
SIGMA = 3 * math.sqrt(5)
TOP = torch.tensor([1.0, 1.0], dtype=torch.float64) / math.sqrt(
    2
)  # right singular vector of 3 sqrt 5
NEXT = torch.tensor([1.0, -1.0], dtype=torch.float64) / math.sqrt(2)


def linear(steps=1, angle=None):
    """A dense layer with weight W, spectrally normalized; v starts at `angle` from the answer."""
    layer = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(W)
    (layer,) = spectral_norm(layer, steps=steps)
    if angle is not None:
        layer.parametrizations.weight[0]._v.copy_(math.cos(angle) * TOP + math.sin(angle) * NEXT)
    return layer


def sigma_of(layer):
    """What the layer divided its weight by."""
    weight = layer.weight.detach()
    return (layer.parametrizations.weight.original.detach() / weight)[1, 1].item()


def tangent(layer):
    v = layer.parametrizations.weight[0]._v
    return ((v @ NEXT) / (v @ TOP)).item()


def test_sigma_is_three_root_five_after_power_iterations():
    layer = linear(angle=1.2)
    for _ in range(15):
        layer(torch.zeros(1, 2).double())
    assert sigma_of(layer) == pytest.approx(6.7082, abs=5e-5)
    assert sigma_of(layer) == pytest.approx(SIGMA, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2])
def test_error_shrinks_ninefold_a_step(steps):
    """(sigma_2 / sigma_1)^2 = 1 / 9."""
    layer = linear(steps, angle=1.5)
    tangents = [tangent(layer)]
    for _ in range(4):
        layer(torch.zeros(1, 2).double())
        tangents.append(tangent(layer))
    ratios = [later / earlier for earlier, later in pairwise(tangents)]
    assert ratios == pytest.approx([9.0**-steps] * 4)


def test_power_iterations_rest_in_evaluation_mode():
    layer = linear(angle=1.0).eval()
    before = tangent(layer)
    layer(torch.zeros(1, 2).double())
    assert tangent(layer) == before


LAYERS = {
    "dense": lambda: nn.Linear(7, 4),
    "convolution": lambda: nn.Conv2d(3, 5, 3),
    "strided": lambda: nn.Conv2d(2, 4, 4, stride=2),
    "transposed": lambda: nn.ConvTranspose2d(4, 2, 4),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_effective_weight_has_norm_one(kind):
    (layer,) = spectral_norm(LAYERS[kind]().double(), steps=500)
    weight = layer.weight.detach()
    if kind == "transposed":
        weight = weight.transpose(0, 1)  # (in, out, ...) -> (out, in, ...)
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("kernel", "stride", "reshaped", "operator"), [(3, 1, 3.0, 8.7968), (4, 2, 4.0, 7.7193)]
)
def test_a_convolutions_own_norm_is_larger_than_that_of_its_reshaped_weight(
    kernel, stride, reshaped, operator
):
    """All ones on 16 x 16: the reshaped weight is normalized to 1, the operator is not."""
    conv = nn.Conv2d(1, 1, kernel, stride, padding=1, bias=False).double()
    nn.init.ones_(conv.weight)
    (conv,) = spectral_norm(conv)
    basis = torch.eye(256, dtype=torch.float64).view(256, 1, 16, 16)
    with torch.no_grad():
        images = conv(basis).flatten(1)
        assert conv.weight.flatten().tolist() == pytest.approx([1 / reshaped] * kernel**2)
    norm = torch.linalg.matrix_norm(images, 2).item()
    assert norm == pytest.approx(operator / reshaped, abs=2e-5)


DENSE = [kind for kind in NORMALIZATIONS if kind != "instance"]  # refused after dense layers


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_normalizations_keep_the_layer_first(kind):
    found = [(nn.Conv2d(3, 4, 3), torch.randn(6, 3, 5, 5))]
    if kind in DENSE:
        found.append((nn.Linear(3, 4), torch.randn(6, 3)))
    for layer, inputs in found:
        modules = normalized(kind, layer, 4)
        assert modules[0] is layer
        assert nn.Sequential(*modules)(inputs).shape[:2] == (6, 4)


def test_instance_normalization_of_vectors_is_refused():
    with pytest.raises(ValueError, match="'layer', 'group' or 'spectral'"):
        normalized("instance", nn.Linear(3, 4), 4)


AXES = {"layer": (1, 2, 3), "instance": (2, 3)}


@pytest.mark.parametrize("kind", AXES)
def test_statistics_are_those_of_the_kind(kind):
    layer = nn.Conv2d(3, 4, 1).double()
    x = torch.randn(5, 3, 6, 6, dtype=torch.float64)
    _, norm = normalized(kind, layer, 4)
    out = norm.double()(layer(x))
    mean, variance = out.mean(AXES[kind]), out.var(AXES[kind], correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-12, rtol=0)
    torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-3, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 8, 12, 16, 48, 96, 100, 128, 512, 1000])
def test_groups_divide_the_channels_and_are_not_small(channels):
    groups = groups_of(channels)
    assert channels % groups == 0
    assert 1 <= groups <= 32
    assert groups == 1 or channels // groups >= 4


def test_weight_normalization_gives_each_output_its_own_length():
    """Of a transposed convolution the outputs are the second axis."""
    for layer, axis in ((nn.Linear(3, 4), 0), (nn.ConvTranspose2d(3, 4, 2), 1)):
        (found,) = normalized("weight", layer, 4)
        assert found.parametrizations.weight.original0.numel() == 4
        assert found.weight.shape[axis] == 4


def test_an_unknown_normalization_lists_the_choices():
    with pytest.raises(ValueError, match="'spectrum'; did you mean 'spectral'") as caught:
        normalized("spectrum", nn.Linear(1, 1), 1)
    assert all(kind in str(caught.value) for kind in NORMALIZATIONS)


@pytest.mark.parametrize("kind", DENSE)
def test_couples_batch_says_whether_a_sample_feels_its_neighbours(kind):
    module = nn.Sequential(*normalized(kind, nn.Linear(3, 4), 4))
    for _ in range(40):
        module(torch.zeros(2, 3))  # let power iterations settle
    x = torch.randn(4, 3)
    moved = torch.cat([x[:1], x[1:] + 5])
    feels = not torch.allclose(module(x)[0], module(moved)[0], atol=1e-5)
    assert couples_batch(module) == feels == (kind == "batch")
