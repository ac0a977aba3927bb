"""The norm of a convolution as an operator, against the singular values of its matrix."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from equipoise.game import exact_spectral_norm, exact_spectral_norms, operator_norm

# kind: (layer, input size)
LAYERS = {
    "plain": (lambda: nn.Conv2d(2, 3, 3), (7, 6)),
    "padded": (lambda: nn.Conv2d(2, 3, 3, padding=1), (5, 5)),
    "same": (lambda: nn.Conv2d(2, 3, 3, padding="same"), (5, 5)),
    "strided": (lambda: nn.Conv2d(3, 2, 4, stride=2, padding=1), (6, 6)),
    "dilated": (lambda: nn.Conv2d(1, 2, 3, dilation=2), (7, 7)),
    "grouped": (lambda: nn.Conv2d(4, 4, 3, groups=2, padding=1), (5, 5)),
    "circular": (lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), (5, 5)),
    "reflected": (lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), (5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1), (4, 4)),
    "sound": (lambda: nn.Conv1d(2, 3, 5, padding=2), (9,)),
    "sound, transposed": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, output_padding=1), (5,)),
    "video": (lambda: nn.Conv3d(1, 2, 2), (3, 3, 3)),
}
every = pytest.mark.parametrize("kind", LAYERS)


def matrix_of(layer, size):
    """Every input pixel's image, as the columns of a matrix."""
    shape = (layer.in_channels, *size)
    basis = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    with torch.no_grad():
        zero = layer(torch.zeros_like(basis[:1]))
        return (layer(basis) - zero).flatten(1)


@every
def test_the_operators_norm_is_its_largest_singular_value(kind):
    make, size = LAYERS[kind]
    layer = make().double()
    expected = torch.linalg.matrix_norm(matrix_of(layer, size), 2).item()
    assert operator_norm(layer, size, steps=3000) == pytest.approx(expected, rel=1e-5)


@every
def test_the_normalized_operator_has_norm_one(kind):
    make, size = LAYERS[kind]
    layer = exact_spectral_norm(make().double(), size, steps=300)
    for _ in range(5):
        layer.weight  # noqa: B018 - each read in training iterates
    layer.eval()
    assert torch.linalg.matrix_norm(matrix_of(layer, size), 2).item() == pytest.approx(1, abs=1e-4)


def ones(layer):
    nn.init.ones_(layer.weight)
    return layer.double()


GOLDEN = {
    "3x3": (nn.Conv2d(1, 1, 3, 1, 1, bias=False), (16, 16), 3.0, 8.7968),
    "4x4 by 2": (nn.Conv2d(1, 1, 4, 2, 1, bias=False), (16, 16), 4.0, 7.7193),
    "circular line": (
        nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular", bias=False),
        (16,),
        math.sqrt(3),
        3.0,
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_all_ones_have_the_norms_worked_out_by_hand(case):
    layer, size, reshaped, exact = GOLDEN[case]
    layer = ones(layer)
    assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(reshaped)
    assert operator_norm(layer, size) == pytest.approx(exact, abs=5e-5)
    normalized = exact_spectral_norm(layer, size, steps=100)
    assert normalized.weight.detach().max().item() == pytest.approx(1 / exact, abs=2e-6)


def test_larger_inputs_have_a_larger_norm_up_to_the_limit():
    layer = ones(nn.Conv2d(1, 1, 3, padding=1, bias=False))
    norms = [operator_norm(layer, (n, n), steps=2000) for n in (2, 4, 8, 16, 32)]
    assert norms == sorted(norms)
    assert norms[-1] < 9


def test_the_gradient_is_that_of_the_quotient():
    """d (W / sigma) with d sigma / dW = u v', by finite differences at converged u, v."""
    layer = exact_spectral_norm(nn.Conv2d(2, 2, 2).double(), (3, 3), steps=2000)
    layer.weight  # noqa: B018
    raw = layer.parametrizations.weight.original
    direction = torch.randn_like(raw)
    layer.eval()
    value = (layer.weight.square() * torch.arange(16).view(2, 2, 2, 2)).sum()
    (gradient,) = torch.autograd.grad(value, raw)

    def at(step):
        plain = nn.Conv2d(2, 2, 2).double()
        with torch.no_grad():
            plain.weight.copy_(raw + step * direction)
        weight = plain.weight.detach() / operator_norm(plain, (3, 3), steps=3000)
        return (weight.square() * torch.arange(16).view(2, 2, 2, 2)).sum().item()

    slope = (at(1e-4) - at(-1e-4)) / 2e-4
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-5)


def test_power_iterations_rest_in_evaluation_mode_and_survive_saving():
    layer = exact_spectral_norm(nn.Conv2d(2, 3, 3), (5, 5))
    v = layer.parametrizations.weight[0].v
    layer.eval()
    before = v.clone()
    layer(torch.randn(1, 2, 5, 5))
    assert torch.equal(v, before)
    layer.train()(torch.randn(1, 2, 5, 5))
    assert not torch.equal(v, before)
    other = exact_spectral_norm(nn.Conv2d(2, 3, 3), (5, 5))
    other.load_state_dict(layer.state_dict())
    x = torch.randn(1, 2, 5, 5)
    assert torch.equal(other(x), layer(x))


def test_two_forwards_before_one_backward():
    layer = exact_spectral_norm(nn.Conv2d(2, 3, 3), (5, 5))
    x = torch.randn(2, 2, 5, 5)
    (layer(x).sum() + layer(-x).sum()).backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_a_model_is_normalized_at_the_sizes_that_its_example_gives():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(4, 8, 4, 2, 1),
        nn.Flatten(),
        nn.Linear(32, 1),
    )
    weights = [model[i].weight for i in (0, 2, 4)]
    assert exact_spectral_norms(model, torch.zeros(2, 1, 8, 8)) == ["0", "2", "4"]
    assert model.training
    assert model[0].parametrizations.weight[0].v.shape == (1, 1, 8, 8)
    assert model[2].parametrizations.weight[0].v.shape == (1, 4, 4, 4)
    assert all(parametrize.is_parametrized(model[i], "weight") for i in (0, 2, 4))
    originals = [model[i].parametrizations.weight.original for i in (0, 2, 4)]
    assert all(a is b for a, b in zip(weights, originals, strict=True))
    with pytest.raises(ValueError, match="nothing to normalize"):
        exact_spectral_norms(model, torch.zeros(2, 1, 8, 8))


def test_what_is_no_convolution_is_refused():
    with pytest.raises(ValueError, match=r"layer = Embedding: .* for convolutions"):
        exact_spectral_norm(nn.Embedding(2, 2), (4, 4))
    with pytest.raises(ValueError, match=r"size = \(4,\): a 2-dimensional"):
        exact_spectral_norm(nn.Conv2d(1, 1, 3), (4,))
