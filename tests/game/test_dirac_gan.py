"""Convergence of two-number games, played with the package's own losses and penalties.

Real is a point at 0, fake a point at theta, D(x) = psi'x (Mescheder, Geiger and Nowozin 2018).
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.game import (
    OBJECTIVES,
    clip_weights,
    discriminator_loss,
    generator_loss,
    objective,
)


class Linear(nn.Module):
    """D(x) = psi'x + b."""

    def __init__(self, psi, b=0.0):
        super().__init__()
        self.psi, self.b = nn.Parameter(psi), nn.Parameter(torch.tensor(b, dtype=torch.float64))

    def forward(self, x):
        return x @ self.psi + self.b


class Dirac:
    """The game's field (v_theta, v_psi): each player descends its own loss. Fakes are A'theta."""

    def __init__(self, name, gammas=None, matrix=((1.0,),)):
        self.objective = objective(name)
        self.gammas = gammas or {}
        self.matrix = torch.tensor(matrix, dtype=torch.float64)

    def _players(self, state):
        theta, psi = torch.from_numpy(state).chunk(2)
        theta = theta.clone().requires_grad_()
        fake = (theta @ self.matrix)[None]
        return theta, Linear(psi.clone()), fake, torch.zeros_like(fake)

    def generator(self, state):
        """- dL_G / d theta."""
        theta, discriminator, fake, real = self._players(state)
        loss = generator_loss(discriminator, self.objective, fake, real).loss
        return -torch.autograd.grad(loss, (theta,))[0].numpy()

    def discriminator(self, state):
        """- dL_D / d psi."""
        _, discriminator, fake, real = self._players(state)
        loss = discriminator_loss(discriminator, self.objective, real, fake, self.gammas).loss
        return -torch.autograd.grad(loss, (discriminator.psi,))[0].numpy()

    def field(self, state):
        return np.concatenate([self.generator(state), self.discriminator(state)])

    def simultaneous(self, state, h):
        return state + h * self.field(state)

    def alternating(self, state, h, steps=1):
        """`steps` updates of the discriminator, then one of the generator."""
        n = len(state) // 2
        for _ in range(steps):
            state = state + h * np.concatenate([np.zeros(n), self.discriminator(state)])
        return state + h * np.concatenate([self.generator(state), np.zeros(n)])

    def orbit(self, move, state, steps, **settings):
        states = [np.array(state)]
        for _ in range(steps):
            states.append(move(states[-1], **settings))
        return np.stack(states)


def jacobian(f, size=2, h=1e-5, at=0.0):
    """Central differences: fakes are detached in the discriminator's loss, as they must be, so
    autograd cannot see how its gradient depends on theta."""
    rows = np.eye(size) * h
    return np.stack([(f(at + e) - f(at - e)) / (2 * h) for e in rows], axis=1)


def eigenvalues(f, size=2, at=0.0):
    found = np.linalg.eigvals(jacobian(f, size, at=at))
    return sorted(found, key=lambda v: (v.real.round(6), v.imag))


def expected_with_penalty(gamma):
    """-gamma / 2 +- sqrt(gamma^2 / 4 - 1 / 4)."""
    root = np.sqrt(complex(gamma**2 / 4 - 1 / 4))
    return sorted([-gamma / 2 - root, -gamma / 2 + root], key=lambda v: (v.real, v.imag))


TABLE = {
    "non-saturating": ("non_saturating", {}, (-0.5j, 0.5j)),
    "minimax": ("minimax", {}, (-0.5j, 0.5j)),
    "relativistic": ("relativistic", {}, (-0.5j, 0.5j)),
    "hinge": ("hinge", {}, (-1j, 1j)),
    "wasserstein": ("wasserstein", {}, (-1j, 1j)),
    "relativistic hinge": ("relativistic_hinge", {}, (-1j, 1j)),
    "relativistic least squares": ("relativistic_least_squares", {}, (-2j, 2j)),
    # with one point on each side the mean is the point, and each loss has both of its terms
    "relativistic average": ("relativistic_average", {}, (-1j, 1j)),
    "relativistic average hinge": ("relativistic_average_hinge", {}, (-2j, 2j)),
    "relativistic average least squares": ("relativistic_average_least_squares", {}, (-4j, 4j)),
    "zero_gp 0.3": ("wasserstein", {"zero_gp": 0.3}, (-0.3 - 0.954j, -0.3 + 0.954j)),
    "minimax r1 0.3": ("minimax", {"r1": 0.3}, (-0.15 - 0.477j, -0.15 + 0.477j)),
    "wasserstein r1 2": ("wasserstein", {"r1": 2.0}, (-1, -1)),
    "r1 0.3": ("non_saturating", {"r1": 0.3}, (-0.15 - 0.477j, -0.15 + 0.477j)),
    "r1 1": ("non_saturating", {"r1": 1.0}, (-0.5, -0.5)),
    "r1 10": ("non_saturating", {"r1": 10.0}, (-9.975, -0.0251)),
    "r2 0.3": ("non_saturating", {"r2": 0.3}, (-0.15 - 0.477j, -0.15 + 0.477j)),
    "r1 + r2 0.3": ("non_saturating", {"r1": 0.3, "r2": 0.3}, (-0.3 - 0.4j, -0.3 + 0.4j)),
    "r1 + r2 1": ("non_saturating", {"r1": 1.0, "r2": 1.0}, (-1.866, -0.134)),
    "relativistic r1 + r2 0.3": (
        "relativistic",
        {"r1": 0.3, "r2": 0.3},
        (-0.3 - 0.4j, -0.3 + 0.4j),
    ),
}


def test_every_objective_has_a_row():
    assert {row[0] for row in TABLE.values()} | {"least_squares"} == set(OBJECTIVES)


@pytest.mark.parametrize("row", TABLE)
def test_eigenvalues_of_the_field_at_the_solution(row):
    name, gammas, expected = TABLE[row]
    game = Dirac(name, gammas)
    assert game.field(np.zeros(2)) == pytest.approx(np.zeros(2), abs=1e-15)
    assert eigenvalues(game.field) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("gamma", [0.1, 0.3, 0.9, 2.0, 10.0])
def test_eigenvalues_with_r1_follow_the_closed_form(gamma):
    found = eigenvalues(Dirac("non_saturating", {"r1": gamma}).field)
    assert found == pytest.approx(expected_with_penalty(gamma), abs=1e-6)


@pytest.mark.parametrize("state", [(0.3, -0.8), (1.5, 0.4), (-2.0, 1.0)])
def test_field_is_the_published_one_off_the_solution(state):
    """(psi f'(psi theta), -theta f'(-psi theta) - gamma psi) with f'(t) = 1 / (1 + e^t)."""
    theta, psi = state
    field = Dirac("non_saturating", {"r1": 0.6}).field(np.array(state))
    slope = lambda t: 1 / (1 + math.exp(t))  # noqa: E731 - one formula
    expected = [psi * slope(psi * theta), -theta * slope(-psi * theta) - 0.6 * psi]
    assert field == pytest.approx(expected, abs=1e-12)


def affine_field(state):
    """Least squares needs a bias to meet its labels: state (theta, psi, b)."""
    theta, psi, b = state
    loss, real = objective("least_squares"), torch.zeros(1, 1, dtype=torch.float64)
    discriminator = Linear(torch.tensor([psi], dtype=torch.float64), b)
    fake = torch.tensor([[theta]], dtype=torch.float64, requires_grad=True)
    (v_theta,) = torch.autograd.grad(generator_loss(discriminator, loss, fake).loss, (fake,))
    move = discriminator_loss(discriminator, loss, real, fake)
    v = torch.autograd.grad(move.loss, (discriminator.psi, discriminator.b))
    return -np.array([v_theta.item(), *(g.item() for g in v)])


def test_least_squares_rotates_and_its_bias_settles():
    solution = np.array([0.0, 0.0, 0.5])
    assert affine_field(solution) == pytest.approx(np.zeros(3), abs=1e-15)
    found = eigenvalues(affine_field, size=3, at=solution)
    assert found == pytest.approx([-2, -0.5j, 0.5j], abs=1e-9)


STATES = [(0.3, -0.8), (1.5, 0.4), (-2.0, 1.7), (0.5, 2.5), (0.4, -3.0)]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("wgan_gp", lambda psi: 2 * (abs(psi) - 1) * math.copysign(1, psi)),
        ("dragan", lambda psi: 2 * (abs(psi) - 1) * math.copysign(1, psi)),
        ("wgan_gp_one_sided", lambda psi: 2 * max(abs(psi) - 1, 0) * math.copysign(1, psi)),
        ("zero_gp", lambda psi: 2 * psi),
    ],
)
def test_penalties_on_the_slope_pull_psi_to_their_target(name, slope, state):
    """A linear critic has slope psi everywhere: v_psi = -theta - lambda d/dpsi (|psi| - g0)^2."""
    theta, psi = state
    found = Dirac("wasserstein", {name: 0.7}).field(np.array(state))
    assert found == pytest.approx([psi, -theta - 0.7 * slope(psi)], abs=1e-12)


@pytest.mark.parametrize("start", [(0.02, 0.05), (2.0, 0.0)])
def test_a_target_of_one_keeps_the_critic_turning(start):
    """WGAN-GP: the slope is wanted at 1 where the solution has 0, so play ends in a cycle."""
    game = Dirac("wasserstein", {"wgan_gp": 0.2})
    r = radii(game.orbit(game.alternating, start, 500, h=0.1))
    assert 0.5 < r[-150:].min() <= r[-150:].max() < 3


def test_clipping_keeps_the_critic_turning():
    """Wasserstein play inside |psi| <= 1 ends on the circle that the bound touches."""
    game, state, seen = Dirac("wasserstein"), np.array([2.0, 0.0]), []
    for _ in range(400):
        state = game.simultaneous(state, 0.05)
        critic = Linear(torch.from_numpy(state[1:]))
        clip_weights(critic, 1.0)
        state[1:] = critic.psi.detach().numpy()
        seen.append(np.linalg.norm(state))
    assert 0.95 < min(seen[-150:]) <= max(seen[-150:]) < 1.2


@pytest.mark.parametrize("state", STATES)
def test_minimax_is_an_orbit_where_the_other_logistic_losses_pull_inwards(state):
    """Zero-sum: v = f'(theta psi) (psi, -theta) is square to the state, in every state."""
    found = Dirac("minimax").field(np.array(state))
    theta, psi = state
    slope = 1 / (1 + math.exp(-theta * psi))
    assert found == pytest.approx([slope * psi, -slope * theta], abs=1e-12)
    assert found @ np.array(state) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("state", STATES)
def test_relativistic_play_has_the_non_saturating_field_not_minimax_s(state):
    found = Dirac("relativistic").field(np.array(state))
    assert found == pytest.approx(Dirac("non_saturating").field(np.array(state)), abs=1e-12)
    assert np.abs(found - Dirac("minimax").field(np.array(state))).max() > 0.03


def radii(orbit):
    return np.linalg.norm(orbit, axis=1)


def test_simultaneous_steps_spiral_out_ten_times_in_463():
    """Hinge is linear near 0 (+-i): the radius grows by sqrt(1 + h^2) a step, h = 0.1."""
    game = Dirac("hinge")
    r = radii(game.orbit(game.simultaneous, (0.05, 0.0), 463, h=0.1))
    assert r[1:] / r[:-1] == pytest.approx(np.full(463, math.sqrt(1.01)), rel=1e-9)
    assert r[-1] / r[0] == pytest.approx(10.0, rel=2e-3)


def test_alternating_steps_without_a_penalty_circle_for_ever():
    game = Dirac("hinge")
    r = radii(game.orbit(game.alternating, (1.0, 0.0), 2000, h=0.1))
    assert 0.9 < r.min() <= r.max() < 1.1
    assert r[-500:].min() == pytest.approx(r[:500].min(), rel=2e-3)
    assert r[-500:].max() == pytest.approx(r[:500].max(), rel=2e-3)


@pytest.mark.parametrize("name", ["non_saturating", "relativistic"])
@pytest.mark.parametrize("state", [(0.3, -0.8), (1.5, 0.4), (-2.0, 1.0), (0.0, 1.0)])
def test_logistic_losses_pull_inwards_beyond_the_linear_part(name, state):
    """d (r^2 / 2) / dt = -theta psi tanh(theta psi / 2) <= 0: these games are not zero-sum."""
    product = state[0] * state[1]
    found = Dirac(name).field(np.array(state)) @ np.array(state)
    assert found == pytest.approx(-product * math.tanh(product / 2), abs=1e-12)


@pytest.mark.parametrize("name", ["non_saturating", "relativistic"])
def test_without_a_penalty_logistic_losses_near_the_solution_with_the_root_of_time_alone(name):
    """Averaged over a turn d r^2 / dt = -r^4 / 8, so r^2 = 1 / (1 / r_0^2 + t / 8).

    The linear part only rotates; ten times nearer takes a hundred times longer.
    """
    game = Dirac(name)
    r = radii(game.orbit(game.alternating, (1.0, 0.0), 4000, h=0.1))
    times = 0.1 * np.arange(len(r))
    assert r[500:] == pytest.approx((1 + times[500:] / 8) ** -0.5, rel=0.05)
    assert r[-1] > 0.1


def test_alternating_steps_with_r1_converge():
    game = Dirac("non_saturating", {"r1": 1.0})
    r = radii(game.orbit(game.alternating, (1.0, 0.0), 600, h=0.1))
    assert r[-1] < 1e-8
    assert (r[200::100] < r[100:-100:100] / 20).all()


def test_gamma_one_converges_fastest():
    rate = {
        gamma: max(v.real for v in eigenvalues(Dirac("non_saturating", {"r1": gamma}).field))
        for gamma in (0.3, 0.9, 1.0, 1.2, 10.0)
    }
    assert min(rate, key=rate.get) == 1.0


@pytest.mark.parametrize("steps", [1, 5])
def test_alternating_map_stays_on_the_unit_circle_until_alpha_two(steps):
    """alpha = sqrt(n_d) h f'(0) <= 2, f'(0) = 1/2, for one and for five steps of psi alike."""
    game = Dirac("non_saturating")
    critical = 4 / math.sqrt(steps)
    inside = eigenvalues(lambda s: game.alternating(s, 0.9 * critical, steps))
    assert np.abs(inside) == pytest.approx(np.ones(2), abs=1e-8)
    outside = eigenvalues(lambda s: game.alternating(s, 1.1 * critical, steps))
    assert np.abs(outside).max() > 1.5


MATRIX = ((1.0, 2.0, 0.0), (0.5, -1.0, 0.3), (0.0, 0.2, 0.8))


def test_a_bilinear_game_rotates_by_its_singular_values():
    """Hinge at 0 is theta'A psi: eigenvalues +-i sigma_k(A)."""
    found = eigenvalues(Dirac("hinge", matrix=MATRIX).field, size=6)
    sigmas = np.linalg.svd(np.array(MATRIX), compute_uv=False)
    assert np.real(found) == pytest.approx(np.zeros(6), abs=1e-9)
    assert sorted(np.imag(found)) == pytest.approx(sorted([*sigmas, *-sigmas]), abs=1e-9)


def test_step_factors_of_a_bilinear_game():
    """Largest |lambda| per step at h = 0.1: simultaneous sqrt(1 + h^2 sigma_1^2), alternating 1."""
    game = Dirac("hinge", matrix=MATRIX)
    sigma = np.linalg.norm(np.array(MATRIX), 2)
    together = eigenvalues(lambda s: game.simultaneous(s, 0.1), size=6)
    assert np.abs(together).max() == pytest.approx(math.sqrt(1 + 0.01 * sigma**2), abs=1e-9)
    in_turn = eigenvalues(lambda s: game.alternating(s, 0.1), size=6)
    assert np.abs(in_turn) == pytest.approx(np.ones(6), abs=1e-8)
