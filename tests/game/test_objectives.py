"""One contract for every objective, against gradients derived by hand."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from equipoise.clinic.rules.generator_dominance import CHANCE
from equipoise.game import OBJECTIVES, objective
from equipoise.recipe.contradictions import SMOOTHABLE, SMOOTHING_UNDEFINED

LOG2 = math.log(2)
# off the hinge's kinks at -1 and 1, on both sides of each
REAL = torch.tensor([-3.0, -1.2, -0.4, 0.0, 0.7, 1.5, 4.0], dtype=torch.float64)
FAKE = torch.tensor([2.5, -1.6, 0.3, 0.0, -0.8, 1.1, -5.0], dtype=torch.float64)


def sigmoid(t: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-t))


@dataclass(frozen=True)
class Case:
    """What is known of an objective: values at chance, derivatives by hand, shift invariance."""

    chance: tuple[float, float]
    d_real: Callable[[Tensor, Tensor], Tensor]
    d_fake: Callable[[Tensor, Tensor], Tensor]
    g_fake: Callable[[Tensor, Tensor], Tensor]
    shift_invariant: bool = False


CASES = {
    "non_saturating": Case(
        (2 * LOG2, LOG2),
        d_real=lambda r, g: -sigmoid(-r),
        d_fake=lambda r, g: sigmoid(g),
        g_fake=lambda r, g: -sigmoid(-g),
    ),
    "hinge": Case(
        (2.0, 0.0),
        d_real=lambda r, g: -(r < 1).double(),
        d_fake=lambda r, g: (g > -1).double(),
        g_fake=lambda r, g: -torch.ones_like(g),
    ),
    "relativistic": Case(
        (LOG2, LOG2),
        d_real=lambda r, g: -sigmoid(g - r),
        d_fake=lambda r, g: sigmoid(g - r),
        g_fake=lambda r, g: -sigmoid(r - g),
        shift_invariant=True,
    ),
}
every = pytest.mark.parametrize("name", CASES)


def leaves() -> tuple[Tensor, Tensor]:
    return REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()


def gradients(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """(dL_D/d real, dL_D/d fake, dL_G/d fake) by autograd."""
    found = OBJECTIVES[name]
    real, fake = leaves()
    d_real, d_fake = torch.autograd.grad(found.discriminator(real, fake).sum(), (real, fake))
    real, fake = leaves()
    (g_fake,) = torch.autograd.grad(found.generator(fake, real).sum(), (fake,))
    return d_real, d_fake, g_fake


def test_every_objective_is_under_contract():
    assert set(CASES) == set(OBJECTIVES)
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
    found, zero = OBJECTIVES[name], torch.zeros(3, dtype=torch.float64)
    assert found.chance == pytest.approx(CASES[name].chance, abs=1e-15)
    assert found.discriminator(zero, zero).tolist() == pytest.approx([found.chance[0]] * 3)
    assert found.generator(zero, zero).tolist() == pytest.approx([found.chance[1]] * 3)


@every
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
    case = CASES[name]
    by_hand = [f(REAL, FAKE) for f in (case.d_real, case.d_fake, case.g_fake)]
    for found, expected in zip(gradients(name), by_hand, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@every
def test_gradients_agree_with_finite_differences(name):
    found = OBJECTIVES[name]
    assert torch.autograd.gradcheck(found.discriminator, leaves())
    assert torch.autograd.gradcheck(lambda r, g: found.generator(g, r), leaves())


@every
def test_each_player_pulls_its_own_way(name):
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
        for change in (d, g):
            assert (change.abs().max() < 1e-12) == case.shift_invariant


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


@pytest.mark.parametrize("name", ["hinge", "relativistic"])
def test_label_smoothing_is_refused_where_there_are_no_labels(name):
    with pytest.raises(ValueError, match=rf"0\.1 is undefined for .*'{name}'.*no label targets"):
        objective(name, label_smoothing=0.1)


def test_recipes_refuse_smoothing_where_the_game_does():
    smoothable = {name for name, found in OBJECTIVES.items() if found.smoothed}
    assert smoothable == SMOOTHABLE & set(OBJECTIVES)
    assert not smoothable & set(SMOOTHING_UNDEFINED)


def test_no_smoothing_is_the_plain_objective():
    assert objective("hinge", 0.0) is OBJECTIVES["hinge"]


def test_smoothing_changes_the_discriminators_real_part_alone():
    plain, smooth = OBJECTIVES["non_saturating"], objective("non_saturating", 0.1)
    assert (smooth.name, smooth.generator, smooth.pairs) == (plain.name, plain.generator, False)
    # (1 - s) f(r) + s f(-r) = f(r) + s r
    expected = plain.discriminator(REAL, FAKE) + 0.1 * REAL
    torch.testing.assert_close(smooth.discriminator(REAL, FAKE), expected)


def test_smoothing_keeps_the_value_at_zero_logits():
    smooth, zero = objective("non_saturating", 0.1), torch.zeros(1, dtype=torch.float64)
    assert smooth.chance == OBJECTIVES["non_saturating"].chance
    assert smooth.discriminator(zero, zero).item() == pytest.approx(smooth.chance[0])


def test_smoothing_pulls_back_a_real_logit_beyond_its_target():
    """Where there are no fakes, target 0.9 is met at log(0.9 / 0.1) = 2.197."""
    real = torch.tensor([2.0, math.log(9), 2.4], dtype=torch.float64, requires_grad=True)
    loss = objective("non_saturating", 0.1).discriminator(real, torch.zeros_like(real))
    (slope,) = torch.autograd.grad(loss.sum(), (real,))
    assert slope[0] < 0 < slope[2]
    assert slope[1].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("smoothing", [-0.1, 0.5, 1.0, float("nan")])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"label_smoothing = .* \[0, 0.5\)"):
        objective("non_saturating", smoothing)
