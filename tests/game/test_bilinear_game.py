"""min_x max_y xy and the Dirac-GAN: our updates as linear maps, and their spectral radii."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.game import (
    Extragradient,
    Momentum,
    OptimisticAdam,
    consensus,
    extragradient_round,
    objective,
)

H = 0.1


class Players:
    """x descends xy, y descends -xy, each with its own optimizer."""

    def __init__(self, state, make):
        self.x, self.y = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in state[:2])
        self.optimizers = [make([p]) for p in (self.x, self.y)]
        for optimizer, p, momentum in zip(
            self.optimizers, (self.x, self.y), state[2:], strict=False
        ):
            optimizer.state[p]["momentum"] = torch.tensor(momentum, dtype=torch.float64)

    def gradients(self):
        self.x.grad, self.y.grad = self.y.detach().clone(), -self.x.detach()

    def simultaneous(self):
        self.gradients()
        for optimizer in self.optimizers:
            optimizer.step()

    def alternating(self):
        for optimizer in self.optimizers:
            self.gradients()
            optimizer.step()

    def extragradient(self):
        extragradient_round([Extragradient(o) for o in self.optimizers], self.gradients)

    def state(self, size):
        momenta = [
            o.state[p].get("momentum", torch.zeros(()))
            for o, p in zip(self.optimizers, (self.x, self.y), strict=True)
        ]
        return [v.item() for v in (self.x, self.y, *momenta)][:size]


def radius(update, beta=0.0):
    """Spectral radius of one round on (x, y), and both momenta if there are any."""
    size = 4 if beta else 2
    columns = []
    for basis in np.eye(size).tolist():
        players = Players(basis, lambda p: Momentum(p, lr=H, beta=beta))
        getattr(players, update)()
        columns.append(players.state(size))
    return np.abs(np.linalg.eigvals(np.array(columns).T)).max()


# beta: simultaneous, alternating
HEAVY_BALL = {
    -0.5: (1.00074, 0.99852),
    -0.25: (1.00193, 0.99872),
    0.0: (1.00499, 1.0),
    0.5: (1.04569, 1.03230),
    0.9: (1.19829, 1.19214),
}


@pytest.mark.parametrize("beta", HEAVY_BALL)
def test_spectral_radius_by_momentum(beta):
    found = radius("simultaneous", beta), radius("alternating", beta)
    assert found == pytest.approx(HEAVY_BALL[beta], abs=6e-6)


def test_simultaneous_descent_grows_alternating_stays_extragradient_shrinks():
    assert radius("simultaneous") == pytest.approx(math.sqrt(1 + H**2), abs=1e-12)
    assert radius("alternating") == pytest.approx(1, abs=1e-12)
    found = radius("extragradient")
    assert found == pytest.approx(math.sqrt(1 - H**2 + H**4), abs=1e-12)
    assert found == pytest.approx(0.995038, abs=5e-7)


MATRIX = torch.tensor([[1.0, 2.0, 0.0], [0.5, -1.0, 0.3], [0.0, 0.2, 0.8]], dtype=torch.float64)


def played(state, update):
    """One round of min_x max_y x'Ay from (x, y), 6 numbers."""
    x, y = (nn.Parameter(half.clone()) for half in torch.from_numpy(state).chunk(2))
    optimizers = [Momentum([p], lr=H) for p in (x, y)]

    def gradients():
        x.grad, y.grad = MATRIX @ y.detach(), -MATRIX.T @ x.detach()

    if update == "extragradient":
        extragradient_round([Extragradient(o) for o in optimizers], gradients)
    else:
        for optimizer in optimizers:
            if update == "alternating" or optimizer is optimizers[0]:
                gradients()
            optimizer.step()
    return torch.cat([x, y]).detach().numpy()


# squared moduli per step, of a singular value s
SQUARED = {
    "simultaneous": lambda s: 1 + (H * s) ** 2,
    "alternating": lambda s: 1.0,
    "extragradient": lambda s: 1 - (H * s) ** 2 + (H * s) ** 4,
}


@pytest.mark.parametrize("update", SQUARED)
def test_a_matrix_game_steps_by_each_of_its_singular_values(update):
    round_as_matrix = np.stack([played(basis, update) for basis in np.eye(6)], axis=1)
    found = sorted(np.abs(np.linalg.eigvals(round_as_matrix)))
    sigmas = torch.linalg.svdvals(MATRIX).tolist()
    expected = sorted(math.sqrt(SQUARED[update](s)) for s in sigmas for _ in range(2))
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_time_average_of_an_orbit_tends_to_the_centre():
    """Alternating play circles: n states sum to at most 2 r / (h sigma_min), so their mean to 0."""
    state, total, radius = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), np.zeros(6), 0.0
    sigma = torch.linalg.svdvals(MATRIX).min().item()
    for _ in range(800):
        state = played(state, "alternating")
        total, radius = total + state, max(radius, np.linalg.norm(state))
        assert np.linalg.norm(total) <= 2 * radius / (H * sigma)
    assert np.linalg.norm(state) > 0.5
    assert np.linalg.norm(total / 800) < 0.05


def distance(make, update, rounds=400):
    players = Players([1.0, 1.0], make)
    for _ in range(rounds):
        getattr(players, update)()
    return math.hypot(*players.state(2)) / math.sqrt(2)


@pytest.mark.parametrize(("beta1", "most"), [(0.5, 0.65), (0.0, 0.35)])
def test_optimism_leaves_adam_a_smaller_cycle(beta1, most):
    betas = (beta1, 0.9)
    plain = distance(lambda p: torch.optim.Adam(p, lr=0.05, betas=betas), "simultaneous")
    optimistic = distance(lambda p: OptimisticAdam(p, lr=0.05, betas=betas), "simultaneous")
    assert optimistic < most * plain


def test_optimism_without_normalization_spirals_inward():
    """w <- w - 2 h g + h g': lambda = (1 - 2hi + sqrt(1 - 4h^2)) / 2; a large eps is no Adam."""
    eps = 1e9

    def make(p):
        return OptimisticAdam(p, lr=H * eps, betas=(0.0, 0.0), eps=eps)

    rate = (distance(make, "simultaneous", 300) / distance(make, "simultaneous", 100)) ** (1 / 200)
    expected = abs((1 - 2j * H + math.sqrt(1 - 4 * H**2)) / 2)
    assert expected == pytest.approx(0.99494, abs=5e-6)
    assert rate == pytest.approx(expected, abs=1e-6)


def field(theta, psi, gamma):
    """Minus the gradient of each player's loss plus gamma consensus, real at 0, D = psi x."""
    theta, psi = (nn.Parameter(torch.tensor([v], dtype=torch.float64)) for v in (theta, psi))
    game = objective("non_saturating")
    real, fake = psi * 0, psi * theta
    d_loss, g_loss = game.discriminator(real, fake).sum(), game.generator(fake, None).sum()
    term = gamma * consensus([(g_loss, [theta]), (d_loss, [psi])])
    return [
        -torch.autograd.grad(loss + term, weight, retain_graph=True)[0].item()
        for loss, weight in ((g_loss, theta), (d_loss, psi))
    ]


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 4.0])
def test_consensus_on_the_dirac_gan(gamma):
    """Eigenvalues -gamma / 4 +- i / 2 at the equilibrium."""
    step = 1e-5
    columns = [
        (np.array(field(*(step * e), gamma)) - np.array(field(*(-step * e), gamma))) / (2 * step)
        for e in np.eye(2)
    ]
    values = np.linalg.eigvals(np.array(columns).T)
    assert values.real.tolist() == pytest.approx([-gamma / 4] * 2, abs=1e-7)
    assert sorted(values.imag) == pytest.approx([-0.5, 0.5], abs=1e-7)


def test_consensus_is_half_the_squared_norm_of_all_gradients():
    x, y = nn.Parameter(torch.tensor([3.0, 1.0])), nn.Parameter(torch.tensor([2.0, -4.0]))
    value = consensus([((x * y).sum(), [x]), (-(x * y).sum(), [y])])
    assert value.item() == pytest.approx((4 + 16 + 9 + 1) / 2)
    assert torch.autograd.grad(value, x, retain_graph=True)[0].tolist() == [3.0, 1.0]
    with pytest.raises(ValueError, match="losses is empty"):
        consensus([])


@pytest.mark.parametrize(("beta", "alternating"), list(product([-0.5, 0.5], [False, True])))
def test_only_negative_momentum_with_alternation_converges(beta, alternating):
    update = "alternating" if alternating else "simultaneous"
    left = distance(lambda p: Momentum(p, lr=H, beta=beta), update)
    assert (left < 1) == (beta < 0 and alternating)
