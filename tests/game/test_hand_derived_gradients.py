"""Objectives against gradients derived by hand and against torch's own losses.

`hand_slopes` holds the slopes by the logits; here they are carried through labels, patches, several
discriminators, and down to both players' weights.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hand_slopes import SLOPES, sigmoid
from torch import Tensor, nn
from torch.nn import functional

from equipoise.game import (
    OBJECTIVES,
    discriminator_loss,
    generator_loss,
    least_squares,
    objective,
    relabelled,
)

# off the hinge's kinks at -1 and 1
REAL = torch.tensor([-3.0, -1.2, -0.4, 0.0, 0.7, 1.5, 4.0], dtype=torch.float64)
FAKE = torch.tensor([2.5, -1.6, 0.3, 0.0, -0.8, 1.1, -5.0], dtype=torch.float64)
LABELLED = sorted(name for name, found in OBJECTIVES.items() if found.labelled)
TRIPLES = [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0), (2.0, -0.5, 0.3)]
every = pytest.mark.parametrize("name", SLOPES)


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.clone().requires_grad_() for t in tensors]


def slopes_of(loss: Tensor, *by: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss.sum(), by))


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


# --- labels ---------------------------------------------------------------------------------------


def at_targets(name: str, t_r: float | Tensor, t_f: float | Tensor) -> list[Tensor]:
    """dL_D by hand: sigma(x) - t for cross-entropy, x - t for least squares with labels 0 and 1."""
    judged = (lambda x: x) if name == "least_squares" else sigmoid
    return [judged(REAL) - t_r, judged(FAKE) - t_f]


def test_every_labelled_objective_is_under_test():
    assert LABELLED == ["least_squares", "minimax", "non_saturating"]


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize(("smoothing", "on_fakes"), [(0.1, 0.0), (0.0, 0.2), (0.3, 0.05)])
def test_smoothed_discriminators_have_the_slopes_derived_by_hand(name, smoothing, on_fakes):
    real, fake = leaves(REAL, FAKE)
    moved = objective(name, smoothing, on_fakes)
    close(
        slopes_of(moved.discriminator(real, fake), real, fake),
        at_targets(name, 1 - smoothing, on_fakes),
    )
    close(
        slopes_of(moved.generator(fake, None), fake),
        slopes_of(OBJECTIVES[name].generator(fake, None), fake),
    )


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize(("smoothing", "on_fakes"), [(0.0, 0.0), (0.1, 0.2)])
def test_flipped_discriminators_have_the_slopes_derived_by_hand(name, smoothing, on_fakes):
    """Where a label is turned a sample has the other side's target, smoothed or not."""
    noise, rate = torch.Generator().manual_seed(3), 0.4
    turned = torch.rand(2, len(REAL), generator=noise) < rate
    assert 0 < turned.sum() < turned.numel()
    noise.manual_seed(3)
    real, fake = leaves(REAL, FAKE)
    flipping = objective(name, smoothing, on_fakes, rate, noise)
    high, low = torch.tensor([1 - smoothing, on_fakes], dtype=torch.float64)
    by_hand = at_targets(name, torch.where(turned[0], low, high), torch.where(turned[1], high, low))
    close(slopes_of(flipping.discriminator(real, fake), real, fake), by_hand)


@pytest.mark.parametrize(("a", "b", "c"), TRIPLES)
def test_least_squares_has_the_slopes_of_its_labels(a, b, c):
    """r - b, g - a and, for the generator, g - c; smoothed, r - (b - s (b - a))."""
    found = least_squares(a, b, c)
    real, fake = leaves(REAL, FAKE)
    close(slopes_of(found.discriminator(real, fake), real, fake), [REAL - b, FAKE - a])
    close(slopes_of(found.generator(fake, None), fake), [FAKE - c])
    smooth = relabelled(found, 0.1, 0.3)
    expected = [REAL - b + 0.1 * (b - a), FAKE - a - 0.3 * (b - a)]
    close(slopes_of(smooth.discriminator(real, fake), real, fake), expected)
    close(slopes_of(smooth.generator(fake, None), fake), [FAKE - c])


# --- torch's own losses ---------------------------------------------------------------------------


def cross_entropy(logits: Tensor, target: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(
        logits, torch.full_like(logits, target), reduction="none"
    )


def square(logits: Tensor, target: float) -> Tensor:
    return functional.mse_loss(logits, torch.full_like(logits, target), reduction="none")


def margin(t: Tensor) -> Tensor:
    """max(0, 1 - t)."""
    return functional.hinge_embedding_loss(t, -torch.ones_like(t), 1.0, reduction="none")


def both(loss: Callable[[Tensor, float], Tensor], low: float) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss with targets 1 and `low` on r - mean g and g - mean r."""
    return lambda r, g: loss(r - g.mean(), 1.0) + loss(g - r.mean(), low)


PAIRED = {
    "relativistic": lambda t: functional.soft_margin_loss(t, torch.ones_like(t), reduction="none"),
    "relativistic_hinge": lambda t: functional.margin_ranking_loss(
        t, torch.zeros_like(t), torch.ones_like(t), margin=1.0, reduction="none"
    ),
    "relativistic_least_squares": lambda t: square(t, 1.0),
}
AVERAGE = {
    "relativistic_average": both(cross_entropy, 0.0),
    "relativistic_average_hinge": both(lambda t, target: margin(t if target > 0 else -t), -1.0),
    "relativistic_average_least_squares": both(square, -1.0),
}
# (discriminator, generator) of real and fake logits
TORCHS = {
    "non_saturating": (
        lambda r, g: cross_entropy(r, 1.0) + cross_entropy(g, 0.0),
        lambda r, g: cross_entropy(g, 1.0),
    ),
    "minimax": (
        lambda r, g: cross_entropy(r, 1.0) + cross_entropy(g, 0.0),
        lambda r, g: -cross_entropy(g, 0.0),
    ),
    "least_squares": (
        lambda r, g: (square(r, 1.0) + square(g, 0.0)) / 2,
        lambda r, g: square(g, 1.0) / 2,
    ),
    "wasserstein": (lambda r, g: g - r, lambda r, g: -g),
    "hinge": (lambda r, g: margin(r) + margin(-g), lambda r, g: -g),
    **{
        name: (lambda r, g, f=f: f(r - g), lambda r, g, f=f: f(g - r)) for name, f in PAIRED.items()
    },
    **{name: (f, lambda r, g, f=f: f(g, r)) for name, f in AVERAGE.items()},
}


def test_every_objective_has_a_twin_made_of_torchs_losses():
    assert set(TORCHS) == set(OBJECTIVES)


@pytest.mark.parametrize("name", TORCHS)
def test_values_and_slopes_are_those_of_torchs_losses(name):
    found, (d, g) = OBJECTIVES[name], TORCHS[name]
    real, fake = leaves(REAL, FAKE)
    for ours, theirs in (
        (found.discriminator(real, fake), d(real, fake)),
        (found.generator(fake, real), g(real, fake)),
    ):
        torch.testing.assert_close(ours, theirs)
        slopes = [
            torch.autograd.grad(x.sum(), (real, fake), materialize_grads=True)
            for x in (ours, theirs)
        ]
        torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("name", ["non_saturating", "minimax"])
def test_smoothed_cross_entropy_is_torchs_with_soft_targets(name):
    ours = objective(name, 0.1, 0.2).discriminator(REAL, FAKE)
    torch.testing.assert_close(ours, cross_entropy(REAL, 0.9) + cross_entropy(FAKE, 0.2))


# --- patches, discriminators, weights -------------------------------------------------------------


@every
def test_each_patch_has_its_part_of_the_samples_slope(name):
    """A sample's loss is the mean over P patches, so each logit has 1/P of its slope."""
    real, fake = leaves(*torch.randn(2, 4, 2, 3, dtype=torch.float64))
    flat = [x.detach().flatten() for x in (real, fake)]
    case, found = SLOPES[name], OBJECTIVES[name]
    by_hand = [(f(*flat) / 6).view(4, 2, 3) for f in (case.d_real, case.d_fake, case.g_fake)]
    close(slopes_of(found.discriminator(real, fake), real, fake), by_hand[:2])
    close(slopes_of(found.generator(fake, real), fake), by_hand[2:])


@every
def test_each_discriminator_has_its_part_of_the_slope(name):
    reals, fakes = (leaves(*torch.randn(3, 5, dtype=torch.float64)) for _ in range(2))
    case, found = SLOPES[name], OBJECTIVES[name]
    for side, own in ((reals, case.d_real), (fakes, case.d_fake)):
        by_hand = [own(r.detach(), g.detach()) / 3 for r, g in zip(reals, fakes, strict=True)]
        close(slopes_of(found.discriminator(reals, fakes), *side), by_hand)
    by_hand = [case.g_fake(r.detach(), g.detach()) / 3 for r, g in zip(reals, fakes, strict=True)]
    close(slopes_of(found.generator(fakes, reals), *fakes), by_hand)


@every
@pytest.mark.parametrize("joint", [True, False])
def test_both_players_weights_have_the_gradient_of_the_chain_rule(name, joint):
    """D(x) = w'x and G(z) = V z: dL_D/dw = mean(d_r x + d_g y), dL_G/dV = mean(g w z')."""
    critic, maker = nn.Linear(3, 1, bias=False).double(), nn.Linear(2, 3, bias=False).double()
    real, z = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    fake, w = maker(z), critic.weight.detach()
    logits = [(x.detach() @ w.T)[:, 0] for x in (real, fake)]
    case = SLOPES[name]
    d_real, d_fake, g_fake = (f(*logits) for f in (case.d_real, case.d_fake, case.g_fake))
    move = discriminator_loss(critic, OBJECTIVES[name], real, fake, joint=joint)
    by_hand = (d_real[:, None] * real + d_fake[:, None] * fake.detach()).mean(0, keepdim=True)
    close(slopes_of(move.loss, critic.weight), [by_hand])
    move = generator_loss(critic, OBJECTIVES[name], fake, real)
    by_hand = (g_fake[:, None, None] * w.T[None] * z[:, None, :]).mean(0)
    close(slopes_of(move.loss, maker.weight), [by_hand])


# second derivatives of the terms of each loss by its own logit; none of the couplings
CURVATURES = {
    "non_saturating": (lambda t: sigmoid(t) * sigmoid(-t), lambda t: sigmoid(t) * sigmoid(-t)),
    "minimax": (lambda t: sigmoid(t) * sigmoid(-t), lambda t: -sigmoid(t) * sigmoid(-t)),
    "least_squares": (torch.ones_like, torch.ones_like),
    "wasserstein": (torch.zeros_like, torch.zeros_like),
    "hinge": (torch.zeros_like, torch.zeros_like),
}


def test_every_objective_of_single_samples_has_its_curvature():
    assert set(CURVATURES) == {name for name, found in OBJECTIVES.items() if not found.pairs}


@pytest.mark.parametrize("name", CURVATURES)
def test_curvatures_are_those_derived_by_hand(name):
    """Consensus and unrolling differentiate twice."""
    found, (d, g) = OBJECTIVES[name], CURVATURES[name]
    for loss, expected in (
        (lambda r, f: found.discriminator(r, f).sum(), [d(REAL), d(FAKE)]),
        (lambda r, f: found.generator(f, r).sum(), [torch.zeros_like(REAL), g(FAKE)]),
    ):
        hessian = torch.autograd.functional.hessian(loss, (REAL, FAKE))
        for i, by_hand in enumerate(expected):
            torch.testing.assert_close(hessian[i][i], by_hand.diag())
            assert hessian[i][1 - i].abs().max() == 0
