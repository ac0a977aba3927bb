"""Label smoothing and flipping: where they are defined, what they equal, what is refused."""

import math

import pytest
import torch
from torch import Tensor

from equipoise.game import OBJECTIVES, least_squares, objective, relabelled
from equipoise.recipe.contradictions.losses import SMOOTHING_UNDEFINED

REAL = torch.tensor([-3.0, -1.2, -0.4, 0.0, 0.7, 1.5, 4.0], dtype=torch.float64)
FAKE = torch.tensor([2.5, -1.6, 0.3, 0.0, -0.8, 1.1, -5.0], dtype=torch.float64)
labelled = pytest.mark.parametrize("name", ["non_saturating", "minimax", "least_squares"])
HOWS = ("label_smoothing", "fake_smoothing", "label_flip")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", sorted(SMOOTHING_UNDEFINED))
def test_labels_are_refused_with_the_reason_where_there_are_none(name, how):
    reason = OBJECTIVES[name].unlabelled
    assert reason
    with pytest.raises(ValueError, match=rf"{how} = 0\.1 is undefined for .*'{name}'") as caught:
        objective(name, noise=seeded(), **{how: 0.1})
    assert f"no label targets ({reason})" in str(caught.value)


def test_recipes_refuse_smoothing_where_the_game_does():
    smoothable = {name for name, found in OBJECTIVES.items() if found.labelled}
    assert set(SMOOTHING_UNDEFINED) == set(OBJECTIVES) - smoothable
    assert not any(OBJECTIVES[name].unlabelled for name in smoothable)


def test_no_smoothing_is_the_plain_objective():
    assert objective("hinge", 0.0) is OBJECTIVES["hinge"]
    assert objective("least_squares", 0.0, 0.0, 0.0) is OBJECTIVES["least_squares"]


@labelled
def test_targets_of_one_and_zero_are_the_plain_loss(name):
    found = OBJECTIVES[name]
    plain = found.discriminator(REAL, FAKE)
    torch.testing.assert_close(found.labelled(REAL, FAKE, 1.0, 0.0), plain)


def test_smoothing_changes_the_discriminators_real_part_alone():
    plain, smooth = OBJECTIVES["non_saturating"], objective("non_saturating", 0.1)
    assert (smooth.name, smooth.generator, smooth.pairs) == (plain.name, plain.generator, False)
    # (1 - s) f(r) + s f(-r) = f(r) + s r
    expected = plain.discriminator(REAL, FAKE) + 0.1 * REAL
    torch.testing.assert_close(smooth.discriminator(REAL, FAKE), expected)


def test_two_sided_smoothing_by_hand():
    f = torch.nn.functional.softplus
    by_hand = 0.9 * f(-REAL) + 0.1 * f(REAL) + 0.2 * f(-FAKE) + 0.8 * f(FAKE)
    smooth = objective("non_saturating", 0.1, 0.2)
    torch.testing.assert_close(smooth.discriminator(REAL, FAKE), by_hand)
    moved = relabelled(least_squares(-1.0, 3.0, 1.0), 0.1, 0.2)
    by_hand = (REAL - 2.6).square() / 2 + (FAKE + 0.2).square() / 2
    torch.testing.assert_close(moved.discriminator(REAL, FAKE), by_hand)


def test_smoothing_keeps_cross_entropy_at_zero_logits():
    smooth, zero = objective("non_saturating", 0.1), torch.zeros(1, dtype=torch.float64)
    assert smooth.chance == pytest.approx(OBJECTIVES["non_saturating"].chance)
    assert smooth.discriminator(zero, zero).item() == pytest.approx(smooth.chance[0])


def test_smoothing_moves_the_chance_of_least_squares():
    """At D = 1/2, targets 0.9 and 0: (0.4^2 + 0.5^2) / 2."""
    assert objective("least_squares", 0.1).chance == pytest.approx((0.205, 0.125))


def test_smoothing_pulls_back_a_real_logit_beyond_its_target():
    """Where there are no fakes, target 0.9 is met at log(0.9 / 0.1) = 2.197."""
    real = torch.tensor([2.0, math.log(9), 2.4], dtype=torch.float64, requires_grad=True)
    loss = objective("non_saturating", 0.1).discriminator(real, torch.zeros_like(real))
    (slope,) = torch.autograd.grad(loss.sum(), (real,))
    assert slope[0] < 0 < slope[2]
    assert slope[1].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("share", [-0.1, 0.5, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(how, share):
    with pytest.raises(ValueError, match=rf"{how} = .* \[0, 0.5\)"):
        objective("non_saturating", noise=seeded(), **{how: share})


@labelled
def test_flips_without_a_generator_are_refused(name):
    with pytest.raises(ValueError, match=r"noise = None.*noise=torch\.Generator\(\)"):
        objective(name, label_flip=0.1)


def slopes(loss: Tensor, *logits: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss.sum(), logits))


@labelled
def test_flips_have_the_gradient_of_two_sided_smoothing_in_expectation(name):
    """Each sample is one of two: E over 2^2 outcomes, weighed by e and 1 - e, is exact."""
    found, e = OBJECTIVES[name], 0.3
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    weights = ((1.0, 1 - e), (0.0, e))
    expected_loss, expected = 0.0, [torch.zeros_like(REAL), torch.zeros_like(FAKE)]
    for real_target, share in weights:
        for fake_target, other in ((0.0, 1 - e), (1.0, e)):
            loss = found.labelled(real, fake, real_target, fake_target)
            expected_loss = expected_loss + share * other * loss.detach()
            for total, slope in zip(expected, slopes(loss, real, fake), strict=True):
                total += share * other * slope
    smooth = objective(name, e, e).discriminator(real, fake)
    torch.testing.assert_close(slopes(smooth, real, fake), expected)
    constant = e * (1 - e) if name == "least_squares" else 0.0
    torch.testing.assert_close(expected_loss, smooth.detach() + constant)


@labelled
def test_drawn_flips_average_to_two_sided_smoothing(name):
    n, e = 40_000, 0.1
    real, fake = torch.full((2, n), 0.7, dtype=torch.float64) * torch.tensor([[1.0], [-2.0]])
    drawn = objective(name, label_flip=e, noise=seeded()).discriminator(real, fake)
    smooth = objective(name, e, e).discriminator(real, fake)[0].item()
    smooth += e * (1 - e) if name == "least_squares" else 0.0
    error = drawn.std().item() / math.sqrt(n)
    assert drawn.mean().item() == pytest.approx(smooth, abs=4 * error)
    assert error < 0.01
    assert 3 <= drawn.unique().numel() <= 4  # neither, one or both labels turned


def test_flips_are_those_of_the_generator():
    real, fake = torch.randn(2, 64, 3, dtype=torch.float64)
    noise = seeded(5)
    flipping = objective("non_saturating", label_flip=0.3, noise=noise)
    first, second = (flipping.discriminator(real, fake) for _ in range(2))
    assert not torch.equal(first, second)
    noise.manual_seed(5)
    assert torch.equal(flipping.discriminator(real, fake), first)
    before = torch.random.get_rng_state()
    flipping.discriminator(real, fake)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_flip_turns_all_patches_of_a_sample_in_all_discriminators():
    real, fake = torch.zeros(2, 32, 3, 3, dtype=torch.float64) + 2.0
    flipping = objective("non_saturating", label_flip=0.4, noise=seeded(1))
    f = torch.nn.functional.softplus(torch.tensor([-2.0, 2.0], dtype=torch.float64))
    values = flipping.discriminator([real, real], [fake, fake])
    possible = torch.stack([a + b for a in f for b in f])
    assert (values[:, None] - possible).abs().min(1).values.max() < 1e-12


def test_smoothing_and_flips_go_together():
    """A turned real takes the fakes' target, smoothed as it is."""
    both = objective("non_saturating", 0.1, 0.2, 0.45, noise=seeded(2))
    f = torch.nn.functional.softplus(torch.tensor(-1.0, dtype=torch.float64))
    one = torch.ones(64, dtype=torch.float64)
    # f(1) + (1 - t) for a logit of 1 and target t
    possible = {
        round((2 * f + (1 - a) + (1 - b)).item(), 9) for a in (0.9, 0.2) for b in (0.2, 0.9)
    }
    found = {round(v, 9) for v in both.discriminator(one, one).tolist()}
    assert found == possible
    assert both.chance[0] == pytest.approx(2 * math.log(2))
