"""The Dirac-GAN step by step: every objective and penalty, simultaneous and alternating.

Real at 0, fake at theta, D(x) = psi x (+ b), t = psi theta the fake's logit. The fields below are
written by hand in plain numbers (Mescheder, Geiger and Nowozin 2018, table 1 and lemma 3.1).
"""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.game import (
    OBJECTIVES,
    PENALTIES,
    Setting,
    discriminator_loss,
    generator_loss,
    instance_noise,
    lecam_state,
    lecam_update,
)

SHIFT, HIGH = 0.3, 0.4  # of the transform of consistency; LeCam's anchor of the reals


def s(t):
    return 1 / (1 + math.exp(-t))


# (v_theta, v_psi): each player descends its own loss
FIELDS = {
    "non_saturating": lambda x, p: (p * s(-p * x), -x * s(p * x)),
    "minimax": lambda x, p: (p * s(p * x), -x * s(p * x)),
    "least_squares": lambda x, p: (p * (1 - p * x), -x * p * x),
    "wasserstein": lambda x, p: (p, -x),
    "hinge": lambda x, p: (p, -x * (p * x > -1)),
    "relativistic": lambda x, p: (p * s(-p * x), -x * s(p * x)),
    "relativistic_hinge": lambda x, p: (p * (p * x < 1), -x * (p * x > -1)),
    "relativistic_least_squares": lambda x, p: (2 * p * (1 - p * x), -2 * x * (1 + p * x)),
    # one point a side is its own mean, so both terms of the loss are the same
    "relativistic_average": lambda x, p: (2 * p * s(-p * x), -2 * x * s(p * x)),
    "relativistic_average_hinge": lambda x, p: (2 * p * (p * x < 1), -2 * x * (p * x > -1)),
    "relativistic_average_least_squares": lambda x, p: (
        4 * p * (1 - p * x),
        -4 * x * (1 + p * x),
    ),
}


def drawn():
    """The one direction that finite differences draw from the seed below."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(1, 1, generator=generator, dtype=torch.float64).item()


# d penalty / d psi, times the factor that the weight is multiplied by
PULLS = {
    "r1": lambda x, p: p,
    "r2": lambda x, p: p,
    "r1_finite_difference": lambda x, p: p * drawn() ** 2,
    "wgan_gp": lambda x, p: 2 * (abs(p) - 1) * math.copysign(1, p),
    "wgan_gp_one_sided": lambda x, p: 2 * max(abs(p) - 1, 0) * math.copysign(1, p),
    "zero_gp": lambda x, p: 2 * p,
    "dragan": lambda x, p: 2 * (abs(p) - 1) * math.copysign(1, p),
    "drift": lambda x, p: 0,  # D(0) = 0 whatever psi
    "lecam": lambda x, p: -2 * max(HIGH - p * x, 0) * x,  # the reals' half has no psi in it
    "cr": lambda x, p: 2 * p * SHIFT**2,
    "bcr": lambda x, p: 4 * p * SHIFT**2,
    "zcr": lambda x, p: 2 * p * SHIFT**2,
}


class Line(nn.Module):
    """D(x) = psi x + b."""

    def __init__(self, psi, b=0.0):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor([psi], dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(b, dtype=torch.float64))

    def forward(self, x):
        return x @ self.psi + self.b


def setting(fake):
    anchors = lecam_update(lecam_state(), torch.tensor([HIGH]), torch.tensor([-0.2]))
    return Setting(
        torch.Generator().manual_seed(4), False, False, lambda x: x + SHIFT, fake + SHIFT, anchors
    )


def played(name, state, gammas=None):
    """The package's (v_theta, v_psi) and, of three numbers, v_b."""
    theta, psi, *b = state
    critic, game = Line(psi, *b), OBJECTIVES[name]
    fake = torch.tensor([[theta]], dtype=torch.float64, requires_grad=True)
    real = torch.zeros(1, 1, dtype=torch.float64)
    loss = generator_loss(critic, game, fake, real).loss
    (v_theta,) = torch.autograd.grad(loss, (fake,))
    with_penalty = setting(fake.detach()) if gammas else Setting()
    loss = discriminator_loss(critic, game, real, fake, gammas, setting=with_penalty).loss
    weights = [critic.psi, critic.b][: 1 + len(b)]
    slopes = torch.autograd.grad(loss, weights, materialize_grads=True)
    return -np.array([v_theta.item(), *(slope.item() for slope in slopes)])


def by_hand(name, state, gammas=None):
    v_theta, v_psi = FIELDS[name](*state)
    pull = sum(gamma * PULLS[penalty](*state) for penalty, gamma in (gammas or {}).items())
    return np.array([v_theta, v_psi - pull])


def stepped(field, state, h, alternating):
    """One round; alternating, the discriminator moves first."""
    if not alternating:
        return state + h * field(state)
    state = state + h * field(state) * np.array([0.0, 1.0])
    return state + h * field(state) * np.array([1.0, 0.0])


def orbit(field, start, steps, h, alternating):
    states = [np.array(start)]
    for _ in range(steps):
        states.append(stepped(field, states[-1], h, alternating))
    return np.stack(states)


orders = pytest.mark.parametrize("alternating", [False, True])


def test_every_objective_and_penalty_has_its_field():
    assert set(FIELDS) == set(OBJECTIVES)
    assert set(PULLS) == set(PENALTIES)


@orders
@pytest.mark.parametrize("name", FIELDS)
def test_play_follows_the_field_written_by_hand(name, alternating):
    found, expected = (
        orbit(lambda x, f=f: f(name, x), (1.3, 0.9), 40, 0.08, alternating)
        for f in (played, by_hand)
    )
    assert np.ptp(expected, axis=0).min() > 0.15
    np.testing.assert_allclose(found, expected, atol=1e-11)


@orders
@pytest.mark.parametrize("penalty", PULLS)
def test_play_under_a_penalty_follows_the_field_written_by_hand(penalty, alternating):
    gammas = {penalty: 0.8}
    found, expected, free = (
        orbit(field, (0.9, -1.2), 25, 0.08, alternating)
        for field in (
            lambda x: played("non_saturating", x, gammas),
            lambda x: by_hand("non_saturating", x, gammas),
            lambda x: by_hand("non_saturating", x),
        )
    )
    np.testing.assert_allclose(found, expected, atol=2e-7 if penalty == "lecam" else 1e-11)
    assert (np.abs(expected - free).max() > 1e-3) == (penalty != "drift")


def values(field, at, h=1e-5):
    """Eigenvalues of the linear part at `at`, by central differences, in order."""
    at = np.array(at)
    rows = np.eye(len(at)) * h
    matrix = np.stack([(field(at + e) - field(at - e)) / (2 * h) for e in rows], axis=1)
    return sorted(np.linalg.eigvals(matrix), key=lambda v: (v.real.round(6), v.imag))


def pulled(turn, gamma):
    """-gamma / 2 +- sqrt(gamma^2 / 4 - turn^2): a rotation under a pull of gamma on psi."""
    root = np.sqrt(complex(gamma**2 / 4 - turn**2))
    return sorted([-gamma / 2 - root, -gamma / 2 + root], key=lambda v: (v.real.round(6), v.imag))


# |t'(0)| of every objective's rotation about (0, 0)
TURNS = {
    "non_saturating": 0.5,
    "minimax": 0.5,
    "wasserstein": 1.0,
    "hinge": 1.0,
    "relativistic": 0.5,
    "relativistic_hinge": 1.0,
    "relativistic_least_squares": 2.0,
    "relativistic_average": 1.0,
    "relativistic_average_hinge": 2.0,
    "relativistic_average_least_squares": 4.0,
}
# what a weight of 1 pulls psi by, per unit of psi; a target of 1 has no slope at 0
STRENGTHS = {
    "r1": 1.0,
    "r2": 1.0,
    "zero_gp": 2.0,
    "drift": 0.0,
    "cr": 2 * SHIFT**2,
    "bcr": 4 * SHIFT**2,
    "zcr": 2 * SHIFT**2,
}
games = pytest.mark.parametrize(("name", "penalty"), list(product(TURNS, STRENGTHS)))


@games
def test_eigenvalues_of_every_objective_under_every_smooth_penalty(name, penalty):
    found = values(lambda x: played(name, x, {penalty: 0.6}), (0.0, 0.0))
    expected = pulled(TURNS[name], 0.6 * STRENGTHS[penalty])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@games
def test_steps_in_turn_shrink_by_the_pull_and_joint_ones_grow_by_the_turn_too(name, penalty):
    """|lambda|^2: alternating 1 - h gamma, simultaneous 1 - h gamma + h^2 turn^2."""
    h, gamma = 0.1, 0.4 * STRENGTHS[penalty]
    for alternating in (True, False):
        found = values(
            lambda x, a=alternating: stepped(lambda y: played(name, y, {penalty: 0.4}), x, h, a),
            (0.0, 0.0),
        )
        squared = 1 - h * gamma + (0 if alternating else h**2 * TURNS[name] ** 2)
        assert np.abs(found) == pytest.approx([math.sqrt(squared)] * 2, abs=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 10.0])
def test_least_squares_under_r1_converges_with_its_bias(gamma):
    """At theta = psi = 0, b = 1/2: -gamma/2 +- sqrt(gamma^2/4 - 1/4) beside the bias's own -2."""
    found = values(
        lambda x: played("least_squares", x, {"r1": gamma} if gamma else None), (0, 0, 0.5)
    )
    expected = sorted([*pulled(0.5, gamma), -2.0], key=lambda v: (v.real, v.imag))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0, 2.0])
def test_instance_noise_pulls_like_a_penalty_of_half_its_variance(sigma):
    """-sigma^2/4 +- sqrt(sigma^4/16 - 1/4); -0.25 +- 0.433i at sigma = 1."""
    n, game = 100_000, OBJECTIVES["non_saturating"]
    at_zero = torch.zeros(n, 1, dtype=torch.float64)

    def field(state):
        theta, psi = state
        place = torch.tensor([[theta]], dtype=torch.float64, requires_grad=True)
        noise, critic = torch.Generator().manual_seed(1), Line(psi)
        real = instance_noise(at_zero, sigma, noise)
        fake = instance_noise(place.expand(n, 1), sigma, noise)
        (v_theta,) = torch.autograd.grad(
            generator_loss(critic, game, fake).loss, (place,), retain_graph=True
        )
        (v_psi,) = torch.autograd.grad(
            discriminator_loss(critic, game, real, fake).loss, (critic.psi,)
        )
        return -np.array([v_theta.item(), v_psi.item()])

    found = values(field, (0.0, 0.0))
    expected = pulled(0.5, sigma**2 / 2)
    np.testing.assert_allclose(found, expected, atol=0.01 * sigma**2 + 1e-6)
    if sigma == 1:
        assert expected == pytest.approx([-0.25 - 0.433j, -0.25 + 0.433j], abs=5e-5)


# gamma: ratio of the discriminator's rate to the generator's where two real eigenvalues meet
CRITICAL = {0.1: 100.0, 0.3: 11.1, 0.5: 4.0, 1.0: 1.0, 2.0: 0.25}


@pytest.mark.parametrize("gamma", CRITICAL)
def test_two_time_scales_under_r1_stop_turning_at_their_critical_ratio(gamma):
    """Rates a, b: -b gamma/2 +- sqrt(b^2 gamma^2/4 - a b/4), so b/a = 1/gamma^2 is critical."""
    assert CRITICAL[gamma] == pytest.approx(gamma**-2, rel=2e-3)
    for share in (0.5, 0.99, 1.01, 4.0):
        a, b = 1.0, share / gamma**2
        rates = np.array([a, b])
        found = values(lambda x, r=rates: r * played("non_saturating", x, {"r1": gamma}), (0, 0))
        root = np.sqrt(complex(b**2 * gamma**2 / 4 - a * b / 4))
        np.testing.assert_allclose(
            sorted(found, key=lambda v: (v.real.round(4), v.imag)),
            sorted(
                [-b * gamma / 2 - root, -b * gamma / 2 + root],
                key=lambda v: (v.real.round(4), v.imag),
            ),
            atol=1e-5 * b,
        )
        assert (np.abs(np.imag(found)).max() > 1e-3 * b) == (share < 1)


@pytest.mark.parametrize("ratio", [0.1, 1.0, 25.0])
def test_without_a_penalty_no_ratio_of_rates_converges(ratio):
    found = values(lambda x: np.array([1.0, ratio]) * played("non_saturating", x), (0.0, 0.0))
    assert found == pytest.approx([-0.5j * math.sqrt(ratio), 0.5j * math.sqrt(ratio)], abs=1e-7)


def test_hinge_is_an_exact_circle_inside_the_radius_root_two_and_pulls_inwards_outside():
    """The discriminator falls silent where psi theta < -1, which radius sqrt 2 just touches."""
    angles = np.linspace(0, 2 * math.pi, 97)
    for radius, exact in ((0.1, True), (1.41, True), (1.42, False), (3.0, False)):
        states = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        inward = np.array([played("hinge", state) @ state for state in states])
        assert inward.max() < 1e-12
        assert (np.abs(inward).max() < 1e-12) == exact


def test_hinge_from_afar_settles_on_the_circle_of_radius_root_two():
    found = orbit(lambda x: played("hinge", x), (3.0, 0.0), 600, 0.05, True)
    radii = np.linalg.norm(found, axis=1)
    assert 1.3 < radii[-130:].min() <= radii[-130:].max() < 1.5
