"""First weights: variances, orthogonality, determinism, residual branches."""

import math

import pytest
import torch
from torch import nn

from equipoise.game import INITIALIZERS, equalized, fixup, initialize, spectral_norm
from equipoise.game.initialization import fan_in

LAYERS = {
    "dense": lambda: nn.Linear(300, 200),
    "convolution": lambda: nn.Conv2d(32, 48, 3),
    "grouped": lambda: nn.Conv2d(64, 64, 3, groups=4),
    "transposed": lambda: nn.ConvTranspose2d(64, 32, 4, stride=2),
}
FAN_IN = {"dense": 300, "convolution": 288, "grouped": 144, "transposed": 64 * 4}
KINDS = [*INITIALIZERS, "fixup"]
layers = pytest.mark.parametrize("name", LAYERS)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Block(nn.Module):
    def __init__(self, width, layers=2):
        super().__init__()
        parts = [p for _ in range(layers) for p in (nn.ReLU(), nn.Linear(width, width))]
        self.branch = nn.Sequential(*parts)

    def forward(self, x):
        return x + self.branch(x)


def residual(depth, width=64, layers=2):
    return nn.Sequential(nn.Linear(width, width), *(Block(width, layers) for _ in range(depth)))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_generators_give_equal_weights(kind):
    found = [list(initialize(residual(2), kind, rng(s)).parameters()) for s in (1, 1, 2)]
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(found[0], found[2], strict=True))
    assert all(p.requires_grad for p in found[0])


def test_the_global_generator_is_left_alone():
    layer, state = nn.Linear(3, 3), torch.get_rng_state()
    for kind in INITIALIZERS:
        initialize(layer, kind, rng())
    assert torch.equal(torch.get_rng_state(), state)


@layers
def test_he_has_variance_two_over_the_fan_in(name):
    layer = initialize(LAYERS[name](), "he", rng())
    assert fan_in(layer) == FAN_IN[name]
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / FAN_IN[name]), rel=0.02)
    assert layer.bias.abs().max() == 0


def test_he_keeps_the_second_moment_through_layers_of_relu():
    model = nn.Sequential(*(p for _ in range(8) for p in (nn.Linear(512, 512), nn.ReLU())))
    initialize(model, "he", rng())
    x = torch.randn(64, 512)
    assert 0.5 < (model(x).square().mean() / (x.square().mean() / 2)).item() < 4


def test_he_keeps_the_variance_through_a_transposed_convolution():
    layer = initialize(nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1), "he", rng())
    out = layer(torch.randn(4, 128, 16, 16))[:, :, 2:-2, 2:-2]
    assert out.var().item() == pytest.approx(2, rel=0.05)


def test_normal_is_that_of_dcgan():
    layer = initialize(nn.Conv2d(64, 64, 4), "normal", rng())
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(layer.weight.mean().item()) < 5e-4


@layers
def test_orthogonal_rows_or_columns(name):
    weight = initialize(LAYERS[name](), "orthogonal", rng()).weight.detach()
    if name == "transposed":
        weight = weight.transpose(0, 1)
    matrix = weight.flatten(1)
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-5, rtol=0)


def test_fixup_scales_the_first_layers_and_empties_the_last():
    he = initialize(residual(3, layers=3), "he", rng())
    scaled = initialize(residual(3, layers=3), "fixup", rng())
    assert torch.equal(scaled[0].weight, he[0].weight)
    for a, b in zip(he[1:], scaled[1:], strict=True):
        for index in (1, 3):
            expected = a.branch[index].weight * 3 ** (-1 / 4)
            torch.testing.assert_close(b.branch[index].weight, expected)
        assert b.branch[5].weight.abs().max() == 0


@pytest.mark.parametrize("depth", [1, 4, 64])
def test_a_fixed_up_network_starts_as_its_trunk_whatever_its_depth(depth):
    model = initialize(residual(depth), "fixup", rng())
    x = torch.randn(3, 64)
    assert torch.equal(model(x), model[0](x))


def test_depth_does_not_change_a_fixed_up_networks_first_step():
    """Over L branches the squared gradients of the last layers sum to L (L^(-1/2))^2."""
    norms = []
    for depth in (4, 64):
        model = initialize(residual(depth, 128), "fixup", rng())
        x = torch.randn(32, 128, generator=rng(5))
        model(x).sum().backward()
        last = [block.branch[3].weight.grad for block in model[1:]]
        norms.append(torch.stack([g.square().sum() for g in last]).sum().sqrt().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.15)


def test_branches_may_be_given():
    branch = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    initialize(branch, "fixup", rng(), branches=[branch])
    assert branch[1].weight.abs().max() == 0
    assert branch[0].weight.abs().min() > 0


def test_the_value_beneath_a_parametrization_is_set():
    plain = initialize(nn.Linear(4, 3), "he", rng())
    (spectral,) = spectral_norm(nn.Linear(4, 3))
    initialize(spectral, "he", rng())
    assert torch.equal(spectral.parametrizations.weight.original, plain.weight)
    scaled = initialize(equalized(nn.Linear(4, 3)), "he", rng())
    torch.testing.assert_close(scaled.weight, plain.weight)


def test_refusals():
    with pytest.raises(ValueError, match=r"'orthogonall'; did you mean 'orthogonal'"):
        initialize(nn.Linear(1, 1), "orthogonall")
    with pytest.raises(ValueError, match=r"pass branches=\[\.\.\.\], or use 'he'"):
        initialize(nn.Linear(1, 1), "fixup")
    with pytest.raises(ValueError, match="branch ReLU has no dense"):
        fixup([nn.ReLU()])
    with pytest.raises(ValueError, match="undoes a scale"):
        fixup(spectral_norm(nn.Linear(2, 2)))
