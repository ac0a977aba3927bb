"""Losses at the optimal discriminator of N(0, 1) against N(d, 1), by quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from equipoise.game import OBJECTIVES, objective

LOG2 = math.log(2)
# e ~ N(0, 1) on a grid whose step is a power of two: the jump of sign(p - q) falls on a node
E = torch.arange(-12 * 1024, 12 * 1024 + 1, dtype=torch.float64) / 1024
WEIGHT = torch.exp(-E.square() / 2) / math.sqrt(2 * math.pi) / 1024
# d: (JS, D loss 2 log 2 - 2 JS, hinge D loss, |dL_G/dd| saturating, non-saturating)
TABLE = {
    0.0: (0.0, 1.386294, 2.0, 0.0, 0.0),
    0.5: (0.030311, 1.325672, 1.605175, 0.2353, 0.2647),
    1.0: (0.111421, 1.163451, 1.234150, 0.3980, 0.6020),
    2.0: (0.336831, 0.712633, 0.634621, 0.4496, 1.5504),
    4.0: (0.632720, 0.120854, 0.091001, 0.1372, 3.8628),
    6.0: (0.689298, 0.007699, 0.005400, 0.0125, 5.9875),
    8.0: (0.693054, 0.000187, 0.000127, 3.93e-4, 7.9996),
}
distances = pytest.mark.parametrize("d", TABLE)


def log_ratio(x, d):
    """log p(x) / q(x) of p = N(0, 1), q = N(d, 1)."""
    return d * d / 2 - d * x


def mean(values):
    return (WEIGHT * values).sum()


def discriminator_value(name, critic, d):
    """E_p, E_q of the discriminator's loss: fakes are the same noise, moved by d."""
    return mean(OBJECTIVES[name].discriminator(critic(E), critic(E + d)))


@distances
def test_non_saturating_loss_is_two_log_two_minus_two_js(d):
    js, expected, *_ = TABLE[d]
    loss = discriminator_value("non_saturating", lambda x: log_ratio(x, d), d).item()
    assert loss == pytest.approx(expected, abs=6e-7)
    assert (2 * LOG2 - loss) / 2 == pytest.approx(js, abs=6e-7)


@distances
def test_hinge_loss_is_two_minus_two_total_variations(d):
    loss = discriminator_value("hinge", lambda x: torch.sign(log_ratio(x, d)), d).item()
    assert loss == pytest.approx(TABLE[d][2], abs=6e-7)
    total_variation = 2 * norm.cdf(d / 2) - 1
    assert loss == pytest.approx(2 * (1 - total_variation), abs=6e-7)


@distances
def test_non_saturating_gradient_does_not_vanish(d):
    """|dL_G/dd| with D* held fixed; with the saturating loss it sums to d, since KL = d^2 / 2."""
    *_, saturating, expected = TABLE[d]
    place = torch.tensor(d, dtype=torch.float64, requires_grad=True)
    loss = mean(OBJECTIVES["non_saturating"].generator(log_ratio(E + place, d), None))
    (slope,) = torch.autograd.grad(loss, (place,))
    assert abs(slope.item()) == pytest.approx(expected, abs=6e-5)
    assert abs(slope.item()) == pytest.approx(d - saturating, abs=6e-5)


def slopes_of_a_family(value):
    """d value / d(a, b, c) of D = a log p/q + b x^2 + c x^3 at the optimum (1, 0, 0)."""
    a, b, c = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.0, 0, 0))
    loss = value(lambda x: a * log_ratio(x, 1.0) + b * x.square() + c * x.pow(3))
    return [g.item() for g in torch.autograd.grad(loss, (a, b, c))]


def test_log_ratio_is_where_the_non_saturating_loss_is_stationary():
    slopes = slopes_of_a_family(lambda critic: discriminator_value("non_saturating", critic, 1.0))
    assert slopes == pytest.approx([0, 0, 0], abs=1e-9)


def independent_pairs(critic, d):
    """The relativistic discriminator's loss over all pairs of a 64-node Gauss-Hermite rule."""
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(64))
    weights = weights / weights.sum()
    real, fake = torch.meshgrid(critic(nodes), critic(nodes + d), indexing="ij")
    loss = OBJECTIVES["relativistic"].discriminator(real.flatten(), fake.flatten())
    return (torch.outer(weights, weights).flatten() * loss).sum()


def test_log_ratio_is_where_the_relativistic_loss_is_stationary():
    slopes = slopes_of_a_family(lambda critic: independent_pairs(critic, 1.0))
    assert slopes == pytest.approx([0, 0, 0], abs=1e-7)


def test_relativistic_loss_is_log_two_at_equal_laws_for_any_constant_and_more_for_others():
    for constant in (-3.0, 0.0, 5.0):
        flat = independent_pairs(lambda x, c=constant: torch.full_like(x, c), 0.0)
        assert flat.item() == pytest.approx(LOG2, abs=1e-12)
    for critic in (torch.sin, lambda x: 0.1 * x, lambda x: x.square()):
        assert independent_pairs(critic, 0.0).item() > LOG2 + 1e-4


def test_one_sided_smoothing_at_equal_laws():
    """D* = (1 - s) / 2 = 0.45 at s = 0.1: logit -0.2007, loss 1.37628."""
    loss = objective("non_saturating", 0.1).discriminator

    def at(t):
        logits = torch.tensor([t], dtype=torch.float64)
        return loss(logits, logits).item()

    best = minimize_scalar(at, bracket=(-1.0, 1.0), tol=1e-10)
    assert best.x == pytest.approx(math.log(0.45 / 0.55), abs=1e-6)
    assert best.x == pytest.approx(-0.2007, abs=5e-5)
    assert best.fun == pytest.approx(1.37628, abs=5e-6)


def test_one_sided_smoothing_optimum_apart():
    """D* = (1 - s) p / (p + q) is the stationary point at d = 1 too."""
    loss = objective("non_saturating", 0.1).discriminator
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.0, 0.0))

    def critic(x):
        share = 0.9 * torch.sigmoid(log_ratio(x, 1.0))
        return a * torch.logit(share) + b * x

    slopes = torch.autograd.grad(mean(loss(critic(E), critic(E + 1.0))), (a, b))
    assert [g.item() for g in slopes] == pytest.approx([0, 0], abs=1e-9)
