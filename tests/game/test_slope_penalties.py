"""WGAN-GP and its kin, and R1 by differences, against closed forms and against known slips."""

import math

import pytest
import torch
from torch import nn

from equipoise.game import (
    Setting,
    around,
    between,
    blend,
    discriminator_loss,
    finite_difference_r1,
    objective,
    slope_penalty,
    zero_centred,
)
from equipoise.game.penalties import directional


def linear(w):
    discriminator = nn.Linear(len(w), 1, bias=False).double()
    discriminator.weight = nn.Parameter(torch.tensor([w], dtype=torch.float64))
    return discriminator


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


GAPS = [(1.0, 10.0, 1.05, -1.025), (4.0, 10.0, 1.2, -4.4), (1.0, 0.1, 6.0, -3.5)]


@pytest.mark.parametrize(("gap", "strength", "slope", "expected"), GAPS)
def test_the_best_linear_critic_is_steeper_than_its_target(gap, strength, slope, expected):
    """w* = -(1 + a / 2 lambda), loss -a - a^2 / 4 lambda: the penalty bounds nothing."""
    assert slope == pytest.approx(1 + gap / (2 * strength))
    assert expected == pytest.approx(-gap - gap**2 / (4 * strength))
    critic = linear([-slope])
    real, fake = torch.zeros(8, 1, dtype=torch.float64), torch.full((8, 1), gap).double()
    move = discriminator_loss(critic, objective("wasserstein"), real, fake, {"wgan_gp": strength})
    assert move.loss.item() == pytest.approx(expected)
    move.loss.backward()
    assert critic.weight.grad.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("gap", "strength", "slope", "expected"), GAPS)
def test_in_more_dimensions_the_best_linear_critic_lies_along_the_gap(
    gap, strength, slope, expected
):
    along = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
    critic = linear((-slope * along).tolist())
    real = torch.randn(1, 3, dtype=torch.float64).expand(4, 3)
    move = discriminator_loss(
        critic, objective("wasserstein"), real, real + gap * along, {"wgan_gp": strength}
    )
    assert move.loss.item() == pytest.approx(expected)
    move.loss.backward()
    assert critic.weight.grad.abs().max().item() == pytest.approx(0, abs=1e-9)


def test_the_norm_is_each_samples_own():
    """64 unit slopes: 0 by sample; the norm over the whole batch makes (8 - 1)^2 = 49 of them."""
    unit = torch.randn(1, 784, dtype=torch.float64)
    critic = linear((unit / unit.norm())[0].tolist())
    x = torch.randn(64, 784, dtype=torch.float64, requires_grad=True)
    assert slope_penalty(critic, x).tolist() == pytest.approx([0.0] * 64, abs=1e-12)
    (slopes,) = torch.autograd.grad(critic(x).sum(), x)
    assert (slopes.norm(2) - 1).square().item() == pytest.approx(49)


@pytest.mark.parametrize("shape", [(5,), (5, 784), (5, 3, 4), (5, 3, 4, 4), (5, 1, 2, 3, 4)])
def test_a_blend_has_one_alpha_for_each_sample_whatever_the_shape(shape):
    real, fake = torch.randn(2, *shape, dtype=torch.float64)
    alpha = torch.rand(5, dtype=torch.float64)
    found = blend(real, fake, alpha)
    assert found.shape == shape
    for i in range(5):
        torch.testing.assert_close(found[i], alpha[i] * real[i] + (1 - alpha[i]) * fake[i])


def test_an_alpha_shaped_by_hand_mixes_samples_and_is_refused():
    real, fake = torch.randn(2, 5, 784)
    alpha = torch.rand(5, 1, 1, 1)
    assert (alpha * real + (1 - alpha) * fake).shape == (5, 1, 5, 784)
    with pytest.raises(ValueError, match=r"alpha has shape \(5, 1, 1, 1\): .*torch\.rand\(5\)"):
        blend(real, fake, alpha)
    with pytest.raises(ValueError, match=r"fake has shape \(4, 784\).*needs pairs"):
        blend(real, fake[:4], torch.rand(5))


class Watched(nn.Module):
    """A critic that keeps what it was shown."""

    def __init__(self, critic):
        super().__init__()
        self.critic, self.seen = critic, []

    def forward(self, x):
        self.seen.append(x.detach())
        return self.critic(x.flatten(1))


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 2, 2), (5, 2, 5, 5), (5, 5, 5, 5), (1, 3, 2, 2)])
def test_the_critic_sees_each_pair_on_its_own_line_in_the_images_shape(shape):
    """N, C, H and W may be equal, so that a wrong broadcast would go unseen."""
    critic = Watched(nn.Linear(math.prod(shape[1:]), 1).double())
    real, fake = torch.randn(2, *shape, dtype=torch.float64)
    wasserstein, gammas = objective("wasserstein"), {"wgan_gp": 10.0}
    discriminator_loss(
        critic, wasserstein, real, fake, gammas, setting=Setting(noise=seeded(shape[0]))
    )
    batch, blended = critic.seen
    assert batch.shape == (2 * shape[0], *shape[1:])
    assert blended.shape == shape
    places = ((blended - fake) / (real - fake)).flatten(1)  # alpha, told from every pixel
    torch.testing.assert_close(places, places[:, :1].expand_as(places), rtol=1e-6, atol=1e-6)
    assert len(places[:, 0].round(decimals=6).unique()) == shape[0]
    drawn = torch.rand(shape[0], generator=seeded(shape[0]), dtype=torch.float64)
    torch.testing.assert_close(places[:, 0], drawn, rtol=1e-6, atol=1e-6)


def test_two_common_slips_on_images_and_ours():
    """On pictures norm(2, dim=1) is one norm a pixel, and norm() one for the whole batch.

    A critic of slope 1 at every picture: ours is 0, a pixel's norm is 1/8 of 64 equal ones,
    (1/8 - 1)^2, and the batch's is sqrt(16), (4 - 1)^2.
    """
    weights = torch.zeros(3, 8, 8, dtype=torch.float64)
    weights[0] = 1 / 8
    critic = lambda x: (x * weights).sum((1, 2, 3))  # noqa: E731
    x = torch.randn(16, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert slope_penalty(critic, x).tolist() == pytest.approx([0.0] * 16, abs=1e-12)
    (slopes,) = torch.autograd.grad(critic(x).sum(), x)
    by_pixel = (slopes.norm(2, dim=1) - 1).square()
    assert by_pixel.shape == (16, 8, 8)
    assert by_pixel.mean().item() == pytest.approx(0.765625)
    assert (slopes.norm() - 1).square().item() == pytest.approx(9.0)


@pytest.mark.parametrize("n", [1, 4, 64])
def test_the_penalty_of_a_linear_critic_does_not_grow_with_the_batch(n):
    critic, x = linear([0.6, 0.0, 1.8]), torch.randn(n, 3, dtype=torch.float64)
    expected = (math.hypot(0.6, 1.8) - 1) ** 2
    assert slope_penalty(critic, x).tolist() == pytest.approx([expected] * n)


def test_images_between_lie_on_the_lines_and_come_from_the_generator():
    real, fake = torch.zeros(200, 3), torch.ones(200, 3).requires_grad_()
    found = between(real, fake, seeded())
    assert torch.equal(found, between(real, fake, seeded()))
    assert not found.requires_grad
    assert torch.equal(found[:, 0], found[:, 1])
    assert 0 <= found.min() < 0.05 < 0.95 < found.max() < 1


def test_images_around_the_reals_move_by_at_most_half_a_spread():
    real = torch.randn(500, 2, dtype=torch.float64) * 3 + 10
    found = around(real, seeded())
    move = (found - real) / real.std(correction=0)
    assert torch.equal(found, around(real, seeded()))
    assert 0 <= move.min().item() < 0.01
    assert 0.4 < move.max().item() <= 0.5
    assert move.mean().item() == pytest.approx(0.125, abs=0.02)  # alpha u / 2: 1/2 1/2 1/2
    assert around(real, seeded(), scale=2.0).sub(real).max() > 2 * 0.5 * real.std()
    assert torch.equal(around(real[:1, :1], seeded()), real[:1, :1])  # one number has no spread


@pytest.mark.parametrize(("slope", "two", "one"), [(0.25, 0.5625, 0.0), (3.0, 4.0, 4.0)])
def test_one_sided_only_slopes_above_the_target_count(slope, two, one):
    critic, x = linear([0.0, slope]), torch.zeros(3, 2).double()
    assert slope_penalty(critic, x).tolist() == pytest.approx([two] * 3)
    assert slope_penalty(critic, x, one_sided=True).tolist() == pytest.approx([one] * 3)
    zero = slope_penalty(critic, x, target=0.0).tolist()
    assert zero == pytest.approx([slope**2] * 3)
    assert zero == pytest.approx(slope_penalty(critic, x, 0.0, one_sided=True).tolist())
    assert zero == pytest.approx(zero_centred(critic, x).tolist())


def test_a_target_below_zero_is_refused():
    with pytest.raises(ValueError, match=r"target = -1: .*at least 0"):
        slope_penalty(linear([1.0]), torch.zeros(2, 1).double(), target=-1)


def test_a_flat_critic_has_a_finite_gradient():
    """||g|| has no derivative at 0; a critic that starts at 0 must not turn to NaN."""
    critic = linear([0.0, 0.0])
    slope_penalty(critic, torch.randn(4, 2).double()).mean().backward()
    assert critic.weight.grad.tolist() == [[0.0, 0.0]]


class Quadratic(nn.Module):
    """D(x) = x'Ax / 2 + b'x with A = diag(2, 1), b = (1, -1)."""

    def forward(self, x):
        a = torch.tensor([2.0, 1.0], dtype=torch.float64)
        return (x.square() @ a) / 2 + x[:, 0] - x[:, 1]


MU = torch.tensor([1.0, 0.0], dtype=torch.float64)
SIGNS = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
# every point with every sign vector: E u u' = I exactly
POINTS, DIRECTIONS = (MU + SIGNS).repeat_interleave(4, 0), SIGNS.repeat(4, 1)


@pytest.mark.parametrize("step", [1e-3, 0.5, 10.0])
def test_central_differences_are_exact_on_a_quadratic_at_any_step(step):
    """E (g'u)^2 = tr(A S A) + |A mu + b|^2 = 15."""
    found = directional(Quadratic(), POINTS, DIRECTIONS, step).mean().item()
    assert found == pytest.approx(15.0, rel=1e-6)


@pytest.mark.parametrize("step", [0.5, 2.0])
def test_one_sided_differences_are_too_large_by_the_curvature(step):
    """With signs u'Au = tr(A) = 3 always: s^2 / 4 tr(A)^2 more; with normal u also 2 ||A||_F^2."""
    found = directional(Quadratic(), POINTS, DIRECTIONS, step, central=False).mean().item()
    assert found == pytest.approx(15.0 + step**2 / 4 * 9)
    n = 200_000
    x = MU + torch.randn(n, 2, dtype=torch.float64, generator=seeded(1))
    value = finite_difference_r1(Quadratic(), x, Setting(seeded(2)), step, central=False)
    error = value.std().item() / math.sqrt(n)
    assert value.mean().item() == pytest.approx(15 + step**2 / 4 * (9 + 2 * 5), abs=4 * error)
    assert 4 * error < step**2 / 4 * 10


def test_random_directions_average_to_the_exact_penalty():
    n = 200_000
    x = MU + torch.randn(n, 2, dtype=torch.float64, generator=seeded(1))
    value = finite_difference_r1(Quadratic(), x, Setting(seeded(2)))
    exact = zero_centred(Quadratic(), x)
    error = (value - exact).std().item() / math.sqrt(n)
    assert (value - exact).mean().item() == pytest.approx(0, abs=4 * error)
    # one direction has variance 2 |g|^4
    spread = ((value - exact).square() / exact.square()).mean().item()
    assert spread == pytest.approx(2.0, abs=0.1)


def test_on_a_linear_critic_every_step_gives_the_slope_along_the_direction():
    critic, x = linear([3.0, -4.0]), torch.randn(16, 2).double()
    u = torch.randn(16, 2, dtype=torch.float64)
    expected = (u @ torch.tensor([3.0, -4.0]).double()).square()
    for central in (True, False):
        torch.testing.assert_close(directional(critic, x, u, 0.7, central), expected)


def test_differences_train_the_discriminator_as_the_exact_penalty_does():
    critic, x = linear([3.0, -4.0]), POINTS
    directional(critic, x, DIRECTIONS).mean().backward()
    assert critic.weight.grad.tolist() == [pytest.approx([6.0, -8.0])]


def test_differences_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match=r"step = 0: .*above 0"):
        directional(Quadratic(), POINTS, DIRECTIONS, 0)
    with pytest.raises(ValueError, match=r"\(4, 2\), images \(16, 2\)"):
        directional(Quadratic(), POINTS, SIGNS)


def test_the_usual_step_survives_single_precision():
    critic = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1)).double()
    x = torch.randn(256, 4, dtype=torch.float64)
    exact = finite_difference_r1(critic, x, Setting(seeded())).mean().item()
    u = torch.randn(256, 4, generator=seeded(), dtype=torch.float64)
    single = directional(critic.float(), x.float(), u.float()).mean().item()
    assert single == pytest.approx(exact, rel=1e-3)
