"""Conditional and virtual batch normalization, worked by hand."""

import copy
import math

import pytest
import torch
from torch import nn

from equipoise.game import (
    ConditionalBatchNorm,
    VirtualBatch,
    VirtualBatchNorm,
    couples_batch,
    discriminator_loss,
    normalized,
    objective,
)


def test_conditional_batch_norm_starts_as_batch_norm_and_then_differs_by_class():
    x = torch.randn(6, 3, 2, 2)
    layer = ConditionalBatchNorm(3, classes=2)
    y = torch.tensor([0, 1, 0, 1, 0, 1])
    torch.testing.assert_close(layer(x, y), nn.BatchNorm2d(3, affine=False)(x))
    with torch.no_grad():
        layer.affine.weight[1] = torch.tensor([1.0, 1, 1, 5, 5, 5])  # gain 2, bias 5
    plain = nn.BatchNorm2d(3, affine=False)(x)
    torch.testing.assert_close(layer(x, y)[1::2], 2 * plain[1::2] + 5)
    torch.testing.assert_close(layer(x, y)[::2], plain[::2])


@pytest.mark.parametrize("given", [{}, {"classes": 2, "dim": 3}])
def test_conditional_batch_norm_wants_one_condition(given):
    with pytest.raises(ValueError, match="give exactly one"):
        ConditionalBatchNorm(3, **given)


def test_virtual_batch_norm_mixes_the_sample_in_as_one_more():
    """Reference (0, 2): mean 1, square 2. With x = 4: mean 2, square 20/3, variance 8/3."""
    layer = VirtualBatchNorm(1, eps=0.0).double()
    reference = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    layer(reference)
    out = layer(torch.tensor([[4.0], [4.0]], dtype=torch.float64))
    torch.testing.assert_close(out, torch.full((2, 1), 2 / math.sqrt(8 / 3)).double())


def test_a_virtual_batch_follows_the_weights_and_a_lone_layer_does_not():
    linear, norm = nn.Linear(3, 4).double(), VirtualBatchNorm(4).double()
    reference = torch.randn(50, 3, dtype=torch.float64)
    alone = nn.Sequential(linear, norm)
    alone(reference)
    assert not couples_batch(alone)
    x = torch.randn(20, 3, dtype=torch.float64)
    before = alone(x)
    whole = VirtualBatch(nn.Sequential(linear, copy.deepcopy(norm)), reference)
    torch.testing.assert_close(whole(x), before)
    with torch.no_grad():
        linear.weight.mul_(3)
        linear.bias.mul_(3)
    torch.testing.assert_close(whole(x), before, atol=1e-4, rtol=1e-4)  # up to eps
    assert (alone(x) - before).abs().max() > 1


def test_gradient_passes_through_the_reference():
    linear, norm = nn.Linear(2, 2).double(), VirtualBatchNorm(2).double()
    whole = VirtualBatch(nn.Sequential(linear, norm), torch.randn(4, 2, dtype=torch.float64))
    x = torch.randn(3, 2, dtype=torch.float64)

    def out(weight):
        return torch.func.functional_call(whole, {"model.0.weight": weight}, (x,))

    assert torch.autograd.gradcheck(out, (linear.weight.detach().clone().requires_grad_(),))


def test_the_first_batch_becomes_the_reference_where_none_is_given():
    first = torch.randn(6, 3)
    model = nn.Sequential(nn.Linear(3, 4), VirtualBatchNorm(4))
    whole = VirtualBatch(model)
    whole(first)
    assert torch.equal(whole.state_dict()["reference"], first)
    fresh = VirtualBatch(nn.Sequential(nn.Linear(3, 4), VirtualBatchNorm(4)))
    fresh.load_state_dict(whole.state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(fresh(x), whole(x))
    with pytest.raises(ValueError, match="build it with normalization 'virtual_batch'"):
        VirtualBatch(nn.Linear(1, 1))


@pytest.mark.parametrize("n", [2, 5, 16])
def test_batch_norm_couples_samples_by_its_jacobian(n):
    """d xhat_i / d x_j = (delta_ij - 1/N - xhat_i xhat_j / N) / sigma; its columns sum to 0."""
    norm = normalized("batch", nn.Linear(1, 1), 1)[1].double()
    x = torch.randn(n, 1, dtype=torch.float64) * 3 + 2
    jacobian = torch.autograd.functional.jacobian(norm, x)[:, 0, :, 0]
    sigma = (x.var(correction=0) + norm.eps).sqrt()
    xhat = (x - x.mean()) / sigma
    expected = (torch.eye(n).double() - 1 / n - xhat @ xhat.T / n) / sigma
    torch.testing.assert_close(jacobian, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(jacobian.sum(0), torch.zeros(n).double(), rtol=0, atol=1e-9)
    if n > 2:
        assert jacobian[0, 1:].abs().min() > 1e-3  # every other sample is felt


@pytest.mark.parametrize("joint", [True, False])
def test_r1_under_a_linear_head_on_batch_norm_is_zero_where_a_sample_has_a_slope(joint):
    """The loss's own penalty reads 0 and trains nothing, and a virtual one does not."""
    real, fake = torch.randn(2, 8, 3, dtype=torch.float64)
    found = {}
    for kind in ("batch", "virtual_batch"):
        torch.manual_seed(2)
        layers = normalized(kind, nn.Linear(3, 5), 5)
        critic = nn.Sequential(*layers, nn.Linear(5, 1)).double()
        critic(real)  # the virtual one's reference
        move = discriminator_loss(
            critic, objective("wasserstein"), real, fake, {"r1": 1.0, "r2": 1.0}, joint
        )
        found[kind] = [v.item() for v in move.penalties.values()]
    assert max(found["batch"]) < 1e-24
    assert min(found["virtual_batch"]) > 1e-3
