"""Losses at the optimal discriminator of N(0, 1) against N(d, 1), by quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from equipoise.game import OBJECTIVES, least_squares, objective

LOG2 = math.log(2)
# e ~ N(0, 1) on a grid whose step is a power of two: the jump of sign(p - q) falls on a node
E = torch.arange(-12 * 1024, 12 * 1024 + 1, dtype=torch.float64) / 1024
WEIGHT = torch.exp(-E.square() / 2) / math.sqrt(2 * math.pi) / 1024
# d: (JS, D loss 2 log 2 - 2 JS, hinge D loss, least squares D loss, |dL_G/dd| saturating,
# non-saturating)
TABLE = {
    0.0: (0.0, 1.386294, 2.0, 0.25, 0.0, 0.0),
    0.5: (0.030311, 1.325672, 1.605175, 0.235264, 0.2353, 0.2647),
    1.0: (0.111421, 1.163451, 1.234150, 0.198986, 0.3980, 0.6020),
    2.0: (0.336831, 0.712633, 0.634621, 0.112400, 0.4496, 1.5504),
    4.0: (0.632720, 0.120854, 0.091001, 0.017149, 0.1372, 3.8628),
    6.0: (0.689298, 0.007699, 0.005400, 0.001038, 0.0125, 5.9875),
    8.0: (0.693054, 0.000187, 0.000127, 0.000025, 3.93e-4, 7.9996),
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
def test_least_squares_loss_is_half_the_overlap(d):
    """(1/2) int p q / (p + q) at D* = p / (p + q); the half is in the loss itself."""
    loss = discriminator_value("least_squares", lambda x: torch.sigmoid(log_ratio(x, d)), d).item()
    assert loss == pytest.approx(TABLE[d][3], abs=6e-7)
    overlap = mean(torch.sigmoid(-log_ratio(E, d))).item()  # int p q / (p + q)
    assert loss == pytest.approx(overlap / 2, abs=1e-9)


OPTIMA = {
    "non_saturating": log_ratio,
    "minimax": log_ratio,
    "least_squares": lambda x, d: torch.sigmoid(log_ratio(x, d)),
    "hinge": lambda x, d: torch.sign(log_ratio(x, d)),
}


@pytest.mark.parametrize("d", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("name", OPTIMA)
def test_no_other_critic_does_better_than_the_optimum(name, d):
    best = discriminator_value(name, lambda x: OPTIMA[name](x, d), d).item()
    for bend in (torch.ones_like, torch.sin, torch.square, lambda x: torch.tanh(3 * x - d)):
        for size in (-1.0, -0.1, 0.1, 1.0):
            bent = discriminator_value(
                name, lambda x, b=bend, s=size: OPTIMA[name](x, d) + s * b(x), d
            )
            assert bent.item() >= best - 1e-9


@pytest.mark.parametrize("name", [*OPTIMA, "wasserstein"])
def test_at_equal_laws_the_best_loss_is_that_of_chance(name):
    neutral = OBJECTIVES[name].neutral
    found = discriminator_value(name, lambda x: torch.full_like(x, neutral), 0.0).item()
    assert found == pytest.approx(OBJECTIVES[name].chance[0], abs=1e-9)


@pytest.mark.parametrize(("flip", "d"), [(0.1, 1.0), (0.3, 2.0)])
def test_flipped_labels_have_the_optimum_of_two_sided_smoothing(flip, d):
    """D* = ((1 - e) p + e q) / (p + q), logits within +-log((1 - e) / e)."""
    labelled = OBJECTIVES["non_saturating"].labelled
    tilt = torch.zeros(3, dtype=torch.float64, requires_grad=True)

    def critic(x):
        share = torch.sigmoid(log_ratio(x, d))
        bend = tilt[0] + tilt[1] * x + tilt[2] * x.square()
        return torch.logit((1 - flip) * share + flip * (1 - share)) + bend

    outcomes = ((1.0, 1 - flip), (0.0, flip))
    loss = sum(
        a * b * mean(labelled(critic(E), critic(E + d), t_r, 1 - t_f))
        for t_r, a in outcomes
        for t_f, b in outcomes
    )
    (slopes,) = torch.autograd.grad(loss, (tilt,))
    assert slopes.tolist() == pytest.approx([0, 0, 0], abs=1e-9)
    assert critic(E).abs().max().item() <= math.log((1 - flip) / flip) + 1e-12


def test_the_wasserstein_loss_of_the_best_critic_is_minus_the_distance():
    """Normal laws d apart have W1 = d, shown by f(x) = -x; no other 1-Lipschitz f shows more."""
    for d in TABLE:
        assert discriminator_value("wasserstein", torch.neg, d).item() == pytest.approx(
            -d, abs=1e-9
        )
        for critic in (torch.sin, torch.tanh, torch.abs, lambda x: -torch.relu(x)):
            assert discriminator_value("wasserstein", critic, d).item() >= -d - 1e-9


def generator_slope(name, d):
    """dL_G/dd of fakes at N(d, 1) with D* held fixed."""
    place = torch.tensor(d, dtype=torch.float64, requires_grad=True)
    loss = mean(OBJECTIVES[name].generator(log_ratio(E + place, d), None))
    return torch.autograd.grad(loss, (place,))[0].item()


@distances
def test_the_saturating_gradient_vanishes_and_the_non_saturating_one_does_not(d):
    """They sum to d exactly, since the two losses sum to KL = d^2 / 2."""
    *_, saturating, expected = TABLE[d]
    found = generator_slope("non_saturating", d)
    assert found == pytest.approx(expected, abs=6e-5)
    assert generator_slope("minimax", d) == pytest.approx(saturating, abs=6e-5)
    assert found + generator_slope("minimax", d) == pytest.approx(d, abs=1e-9)


@distances
def test_the_two_generator_losses_sum_to_the_divergence(d):
    """At D*: KL(q || p) = d^2 / 2."""
    both = (
        OBJECTIVES[name].generator(log_ratio(E + d, d)) for name in ("minimax", "non_saturating")
    )
    assert mean(sum(both)).item() == pytest.approx(d * d / 2, abs=1e-9)


def test_the_optimum_of_least_squares_with_other_labels():
    """D* = (b p + a q) / (p + q) is stationary, the loss there (b - a)^2 / 2 int p q / (p + q)."""
    found = least_squares(-1.0, 2.0, 0.0)
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.0, 0.0))

    def critic(x):
        return a * (-1 + 3 * torch.sigmoid(log_ratio(x, 1.0))) + b * x

    loss = mean(found.discriminator(critic(E), critic(E + 1.0)))
    assert loss.item() == pytest.approx(9 * TABLE[1.0][3], abs=6e-6)
    assert [g.item() for g in torch.autograd.grad(loss, (a, b))] == pytest.approx([0, 0], abs=1e-9)


def test_a_prior_weighs_the_optimum():
    """Reals seen with share pi: D* = pi p / (pi p + (1 - pi) q)."""
    share = 0.8
    shift, tilt = (torch.tensor(0.0, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def critic(x):
        return log_ratio(x, 1.0) + math.log(share / (1 - share)) + shift + tilt * x

    far = torch.full_like(E, 1e3)  # a logit that the other half of the loss is content with
    on_real = mean(OBJECTIVES["non_saturating"].discriminator(critic(E), -far))
    on_fake = mean(OBJECTIVES["non_saturating"].discriminator(far, critic(E + 1.0)))
    slopes = torch.autograd.grad(share * on_real + (1 - share) * on_fake, (shift, tilt))
    assert [g.item() for g in slopes] == pytest.approx([0, 0], abs=1e-9)


def test_two_sided_smoothing_bounds_the_logits_and_is_where_the_loss_is_stationary():
    """D* = (0.9 p + 0.1 q) / (p + q): logits within +-log 9 = 2.197, flat where p is nothing."""
    loss = objective("non_saturating", 0.1, 0.1).discriminator
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.0, 0.0))

    def critic(x):
        share = torch.sigmoid(log_ratio(x, 1.0))
        return a * torch.logit(0.9 * share + 0.1 * (1 - share)) + b * x

    slopes = torch.autograd.grad(mean(loss(critic(E), critic(E + 1.0))), (a, b))
    assert [g.item() for g in slopes] == pytest.approx([0, 0], abs=1e-9)
    assert critic(E).abs().max().item() == pytest.approx(math.log(9), abs=1e-4)
    assert critic(torch.tensor([30.0, 40.0])).diff().abs().item() < 1e-9


@pytest.mark.parametrize("a", [-2.0, 0.5, 3.0])
def test_points_apart_are_one_step_for_js_and_a_slope_for_w1(a):
    """delta_0 against delta_a: W1 = |a| with critic slope +-1, JS = log 2 wherever a is not 0."""
    real, fake = torch.zeros(1, dtype=torch.float64), torch.tensor([a], dtype=torch.float64)
    critic = -math.copysign(1, a)
    w1 = -OBJECTIVES["wasserstein"].discriminator(critic * real, critic * fake).item()
    assert w1 == pytest.approx(abs(a))
    sure = torch.full_like(real, 40.0)
    loss = OBJECTIVES["non_saturating"].discriminator(sure, -sure).item()
    assert (2 * LOG2 - loss) / 2 == pytest.approx(LOG2, abs=1e-12)


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
