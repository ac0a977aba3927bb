"""Unrolled discriminator steps against hand mathematics on one-parameter games."""

import copy
import math

import pytest
import torch
from torch import nn

from equipoise.game import objective, unrolled
from equipoise.networks import MlpDiscriminator


class Slope(nn.Module):
    """D(x) = psi x."""

    def __init__(self, psi):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi, dtype=torch.float64))

    def forward(self, x):
        return self.psi * x


def leaf(value):
    return torch.tensor([value], dtype=torch.float64, requires_grad=True)


def wasserstein(fake):
    return lambda score: (score(fake) - score(fake.detach() * 0)).sum()


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_bilinear_game(steps):
    """psi_K = psi - K h theta; L_G = -psi_K theta; dL_G/dtheta = -psi + 2 K h theta."""
    h, psi, value = 0.1, 0.7, 1.5
    theta = leaf(value)
    ahead = unrolled(Slope(psi), wasserstein(theta), steps, h)
    loss = -ahead(theta).sum()
    assert loss.item() == pytest.approx(-(psi - steps * h * value) * value)
    loss.backward()
    assert theta.grad.item() == pytest.approx(-psi + 2 * steps * h * value)


def test_without_the_second_term_the_weights_ahead_are_constant():
    """dL_G/dtheta = -psi_K."""
    theta = leaf(1.5)
    ahead = unrolled(Slope(0.7), wasserstein(theta), 5, 0.1, through=False)
    (-ahead(theta)).sum().backward()
    assert theta.grad.item() == pytest.approx(-(0.7 - 5 * 0.1 * 1.5))


def dirac(theta, psi, steps, h):
    """Generator's loss of the non-saturating Dirac-GAN, psi unrolled by hand."""
    sigmoid = lambda t: 1 / (1 + math.exp(-t))  # noqa: E731
    for _ in range(steps):
        psi -= h * theta * sigmoid(psi * theta)  # the real sits at 0 and pulls nothing
    return math.log1p(math.exp(-psi * theta))


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_dirac_gan(steps):
    theta, psi, h = 0.8, -0.4, 0.3
    point = leaf(theta)
    game = objective("non_saturating")
    ahead = unrolled(
        Slope(psi),
        lambda score: game.discriminator(score(point.detach() * 0), score(point)).sum(),
        steps,
        h,
    )
    loss = game.generator(ahead(point), None).sum()
    assert loss.item() == pytest.approx(dirac(theta, psi, steps, h), abs=1e-12)
    loss.backward()
    slope = (dirac(theta + 1e-6, psi, steps, h) - dirac(theta - 1e-6, psi, steps, h)) / 2e-6
    assert point.grad.item() == pytest.approx(slope, abs=1e-8)


def test_unrolling_is_descending_a_copy():
    discriminator = MlpDiscriminator((2,), 8, 2).double()
    real, fake = torch.randn(2, 6, 2, dtype=torch.float64)
    game = objective("hinge")
    ahead = unrolled(discriminator, lambda s: game.discriminator(s(real), s(fake)).mean(), 4, 0.2)
    other = copy.deepcopy(discriminator)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.2)
    for _ in range(4):
        optimizer.zero_grad()
        game.discriminator(other(real), other(fake)).mean().backward()
        optimizer.step()
    torch.testing.assert_close(ahead(fake), other(fake))


def test_the_discriminator_stays_as_it_was():
    discriminator = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    before = copy.deepcopy(discriminator.state_dict())
    fake = torch.randn(5, 2, requires_grad=True)
    with torch.no_grad():  # a caller's mode does not stop the unrolling
        ahead = unrolled(discriminator, lambda score: score(fake).mean(), 2, 0.1)
    ahead(fake).mean().backward()
    assert all(torch.equal(v, before[k]) for k, v in discriminator.state_dict().items())
    assert all(p.grad is None for p in discriminator.parameters())
    assert fake.grad.abs().max() > 0


@pytest.mark.parametrize(("steps", "lr"), [(-1, 0.1), (1, 0.0)])
def test_refusals(steps, lr):
    with pytest.raises(ValueError, match="steps is at least 0, lr above 0"):
        unrolled(Slope(1.0), wasserstein(leaf(1.0)), steps, lr)
