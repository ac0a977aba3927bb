"""One contract for every objective, against gradients derived by hand."""

import math
from dataclasses import dataclass

import pytest
import torch
from hand_slopes import SLOPES
from torch import Tensor

from equipoise.clinic.lead import CHANCE
from equipoise.game import OBJECTIVES, least_squares, objective

LOG2 = math.log(2)
# off the hinge's kinks at -1 and 1, on both sides of each
REAL = torch.tensor([-3.0, -1.2, -0.4, 0.0, 0.7, 1.5, 4.0], dtype=torch.float64)
FAKE = torch.tensor([2.5, -1.6, 0.3, 0.0, -0.8, 1.1, -5.0], dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """What is known of an objective: values at chance, invariances; its slopes are in SLOPES.

    `shift_invariant`: (discriminator, generator) are blind to a common shift of the logits.
    `relents`: beyond its label a logit is pulled back, so a slope's sign changes.
    """

    chance: tuple[float, float]
    shift_invariant: tuple[bool, bool] = (False, False)
    relents: bool = False
    couples: bool = False


BLIND = (True, True)
CASES = {
    "non_saturating": Case((2 * LOG2, LOG2)),
    "minimax": Case((2 * LOG2, -LOG2)),
    "least_squares": Case((0.25, 0.125), relents=True),
    "wasserstein": Case((0.0, 0.0), shift_invariant=(True, False)),
    "hinge": Case((2.0, 0.0)),
    "relativistic": Case((LOG2, LOG2), BLIND),
    "relativistic_hinge": Case((1.0, 1.0), BLIND),
    "relativistic_least_squares": Case((1.0, 1.0), BLIND, relents=True),
    "relativistic_average": Case((2 * LOG2, 2 * LOG2), BLIND, couples=True),
    "relativistic_average_hinge": Case((2.0, 2.0), BLIND, couples=True),
    "relativistic_average_least_squares": Case((2.0, 2.0), BLIND, relents=True, couples=True),
}
every = pytest.mark.parametrize("name", CASES)


def leaves(real: Tensor = REAL, fake: Tensor = FAKE) -> tuple[Tensor, Tensor]:
    return real.clone().requires_grad_(), fake.clone().requires_grad_()


def gradients(name: str, real: Tensor = REAL, fake: Tensor = FAKE) -> tuple[Tensor, Tensor, Tensor]:
    """(dL_D/d real, dL_D/d fake, dL_G/d fake) by autograd."""
    found = OBJECTIVES[name]
    real, fake = leaves(real, fake)
    d_real, d_fake = torch.autograd.grad(found.discriminator(real, fake).sum(), (real, fake))
    (g_fake,) = torch.autograd.grad(found.generator(fake, real).sum(), (fake,))
    return d_real, d_fake, g_fake


def test_every_objective_is_under_contract():
    assert set(CASES) == set(SLOPES) == set(OBJECTIVES)
    assert all(found.name == name for name, found in OBJECTIVES.items())


@every
def test_logits_give_one_loss_per_sample(name):
    found = OBJECTIVES[name]
    assert found.discriminator(REAL, FAKE).shape == REAL.shape
    assert found.generator(FAKE, REAL).shape == REAL.shape


@every
def test_patches_are_averaged(name):
    real, fake = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    for loss, arguments in (
        (OBJECTIVES[name].discriminator, (real, fake)),
        (OBJECTIVES[name].generator, (fake, real)),
    ):
        flat = loss(*(a.flatten() for a in arguments))
        torch.testing.assert_close(loss(*arguments), flat.view(5, 12).mean(1))


@every
def test_value_at_chance(name):
    found = OBJECTIVES[name]
    neutral = torch.full((3,), found.neutral, dtype=torch.float64)
    assert found.chance == pytest.approx(CASES[name].chance, abs=1e-15)
    assert found.discriminator(neutral, neutral).tolist() == pytest.approx([found.chance[0]] * 3)
    assert found.generator(neutral, neutral).tolist() == pytest.approx([found.chance[1]] * 3)


@pytest.mark.parametrize("name", CHANCE)
def test_the_clinic_holds_the_same_chance_level(name):
    assert CHANCE[name] == pytest.approx(OBJECTIVES[name].chance[0], abs=1e-6)


@every
@pytest.mark.parametrize("real", [-100.0, 100.0])
@pytest.mark.parametrize("fake", [-100.0, 100.0])
def test_values_and_gradients_are_finite_at_extreme_logits(name, real, fake):
    found = OBJECTIVES[name]
    r, g = (torch.tensor([v], requires_grad=True) for v in (real, fake))
    total = found.discriminator(r, g).sum() + found.generator(g, r).sum()
    for value in (total, *torch.autograd.grad(total, (r, g))):
        assert value.isfinite().all()


@every
def test_gradients_are_those_derived_by_hand(name):
    slopes = SLOPES[name]
    by_hand = [f(REAL, FAKE) for f in (slopes.d_real, slopes.d_fake, slopes.g_fake)]
    for found, expected in zip(gradients(name), by_hand, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@every
def test_gradients_agree_with_finite_differences(name):
    found = OBJECTIVES[name]
    assert torch.autograd.gradcheck(found.discriminator, leaves())
    assert torch.autograd.gradcheck(lambda r, g: found.generator(g, r), leaves())


@every
def test_each_player_pulls_its_own_way(name):
    if CASES[name].relents:
        neutral = torch.full_like(REAL, OBJECTIVES[name].neutral)
        d_real, d_fake, g_fake = gradients(name, neutral, neutral)
    else:
        d_real, d_fake, g_fake = gradients(name)
    assert (d_real <= 0).all()
    assert (d_fake >= 0).all()
    assert (g_fake <= 0).all()
    assert all(g.abs().sum() > 0 for g in (d_real, d_fake, g_fake))


@every
def test_a_common_shift_of_the_logits_matters_unless_relativistic(name):
    found, case = OBJECTIVES[name], CASES[name]
    for shift in (-7.0, 3.0):
        d = found.discriminator(REAL + shift, FAKE + shift) - found.discriminator(REAL, FAKE)
        g = found.generator(FAKE + shift, REAL + shift) - found.generator(FAKE, REAL)
        blind = tuple(bool(change.abs().max() < 1e-12) for change in (d, g))
        assert blind == case.shift_invariant


@every
def test_the_generator_needs_reals_only_where_pairs_are_scored(name):
    found = OBJECTIVES[name]
    if found.pairs:
        with pytest.raises(ValueError, match=r"real = None: .*pass real=D\(x\)"):
            found.generator(FAKE, None)
    else:
        assert torch.equal(found.generator(FAKE, None), found.generator(FAKE, REAL))


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match=r"'hinje'; did you mean 'hinge'\?") as caught:
        objective("hinje")
    assert all(name in str(caught.value) for name in OBJECTIVES)


@every
def test_only_an_average_objective_couples_the_batch(name):
    found = OBJECTIVES[name]
    moved = FAKE.clone()
    moved[0] += 0.5
    change = found.discriminator(REAL, moved) - found.discriminator(REAL, FAKE)
    assert found.couples == CASES[name].couples
    assert bool((change[1:] != 0).any()) == found.couples


@every
def test_several_discriminators_are_averaged(name):
    found = OBJECTIVES[name]
    real, fake = torch.randn(2, 5, 4, dtype=torch.float64)
    real_wide, fake_wide = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    reals, fakes = [real, real_wide], (fake, fake_wide)
    both = found.discriminator(real, fake), found.discriminator(real_wide, fake_wide)
    torch.testing.assert_close(found.discriminator(reals, fakes), sum(both) / 2)
    both = found.generator(fake, real), found.generator(fake_wide, real_wide)
    torch.testing.assert_close(found.generator(fakes, reals), sum(both) / 2)
    if not found.pairs:
        torch.testing.assert_close(found.generator(fakes, None), sum(both) / 2)


@every
def test_logits_that_would_broadcast_into_each_other_are_refused(name):
    found = OBJECTIVES[name]
    column = FAKE[:, None]
    with pytest.raises(ValueError, match=r"\(7,\) and \(7, 1\).*must agree"):
        found.discriminator(REAL, column)
    with pytest.raises(ValueError, match=r"\(7,\) and \(7, 1\).*must agree"):
        found.generator(REAL, column)
    with pytest.raises(ValueError, match="1 and 2 lists"):
        found.discriminator([REAL], [FAKE, FAKE])
    with pytest.raises(ValueError, match="at least one discriminator"):
        found.discriminator([], [])


def test_the_two_cross_entropy_generators_sum_to_minus_the_logit():
    total = sum(OBJECTIVES[name].generator(FAKE, None) for name in ("minimax", "non_saturating"))
    torch.testing.assert_close(total, -FAKE)


@pytest.mark.parametrize(("a", "b", "c"), [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0), (2.0, -0.5, 0.3)])
def test_least_squares_takes_any_labels(a, b, c):
    found = least_squares(a, b, c)
    expected = (REAL - b).square() / 2 + (FAKE - a).square() / 2
    torch.testing.assert_close(found.discriminator(REAL, FAKE), expected)
    torch.testing.assert_close(found.generator(FAKE, None), (FAKE - c).square() / 2)
    middle = torch.tensor([(a + b) / 2], dtype=torch.float64)
    assert found.neutral == middle.item()
    assert found.discriminator(middle, middle).item() == pytest.approx(found.chance[0])
    assert found.generator(middle, None).item() == pytest.approx(found.chance[1])


def test_least_squares_with_one_label_is_refused():
    with pytest.raises(ValueError, match=r"a = b = 1: .*different labels"):
        least_squares(1.0, 1.0)
