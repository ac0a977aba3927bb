"""The adversarial weight: closed forms, reductions, clamps, shares, states, ramps."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from equipoise.game import (
    WEIGHTINGS,
    Adaptive,
    Balancer,
    BalancerState,
    Plateau,
    PlateauState,
    adaptive_weight,
    adversarial_share,
    balanced_gradient,
    fixed_weight,
    gradient_norm,
    plateau_ramp,
    plateau_update,
    ramp,
    weight_of_norms,
)


def terms(reconstruction=3.0, adversarial=0.5, shape=(4, 3)):
    """An output and two losses whose gradients there have these norms."""
    y = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    directions = torch.randn(2, *shape, dtype=torch.float64)
    along = [
        d / d.norm() * n for d, n in zip(directions, (reconstruction, adversarial), strict=True)
    ]
    return y, (along[0] * y).sum(), (along[1] * y).sum()


def norms(reconstruction, adversarial):
    return torch.tensor(reconstruction).double(), torch.tensor(adversarial).double()


def test_gradient_norms_are_those_of_the_terms():
    y, rec, adv = terms()
    assert gradient_norm(rec, y).item() == pytest.approx(3.0)
    assert gradient_norm(adv, y, scale=1024.0).item() == pytest.approx(0.5)
    assert gradient_norm(adv.detach() + rec * 0, y).item() == 0
    assert y.grad is None
    (rec + adv).backward()  # the graph is still there


def test_a_tensor_without_gradients_is_refused():
    y, rec, _ = terms()
    with pytest.raises(ValueError, match=r"at\.requires_grad = False.*weight of a layer"):
        gradient_norm(rec, y.detach())


def test_the_adaptive_weight_is_the_ratio_of_norms():
    """||g_rec|| / (||g_adv|| + eps), times the discriminator's weight."""
    y, rec, adv = terms(3.0, 0.5)
    found = adaptive_weight(rec, adv, y, Adaptive(disc_weight=0.8))
    assert found.weight.item() == pytest.approx(0.8 * 3 / 0.5001)
    assert found.share.item() == pytest.approx(0.8 * 0.5 / 0.5001)
    assert found.eps_share.item() == pytest.approx(1e-4 / 0.5001)
    assert not found.clamped
    assert not any(getattr(found, f.name).requires_grad for f in dataclasses.fields(found))


def test_unclamped_the_adversarial_pull_is_the_discriminators_weight_whatever_the_scales():
    for scale in (1e-3, 1.0, 1e3):
        y, rec, adv = terms(3.0 * scale, 0.5)
        found = adaptive_weight(rec, adv, y, Adaptive(disc_weight=0.75, eps=0.0, largest=1e9))
        assert found.share.item() == pytest.approx(0.75)
        assert adversarial_share(found.weight, *norms(3.0 * scale, 0.5)).item() == pytest.approx(
            0.75
        )


def test_a_sum_over_pixels_multiplies_the_weight_by_their_number_exactly():
    """L1 summed over C H W and divided by N, against its mean: 12288 for 64 x 64 RGB."""
    shape = (2, 3, 64, 64)
    x, y, way = torch.randn(3, *shape, dtype=torch.float64)
    y.requires_grad_()
    adv = (y * way).mean()
    mean, summed = (y - x).abs().mean(), (y - x).abs().sum() / 2
    plain = Adaptive(eps=0.0, largest=math.inf)
    ratio = (
        adaptive_weight(summed, adv, y, plain).weight / adaptive_weight(mean, adv, y, plain).weight
    )
    assert ratio.item() == pytest.approx(3 * 64 * 64, rel=1e-12)
    relative = Adaptive(eps=1e-8, relative=True, largest=math.inf)
    assert adaptive_weight(summed, adv, y, relative).share.item() == pytest.approx(1.0)
    clamped = Adaptive(eps=0.0, largest=10.0)
    assert adaptive_weight(mean, adv, y, clamped).share.item() == pytest.approx(1.0)
    assert adaptive_weight(summed, adv, y, clamped).share.item() < 0.01


@pytest.mark.parametrize(("clamp", "share"), [(10.0, 2e-5), (1e4, 0.02), (1e6, 1.0)])
def test_a_clamp_leaves_the_share_of_clamp_over_ratio(clamp, share):
    """Raw ratio 5e5: share = min(1, c / raw)."""
    found = weight_of_norms(*norms(5e5, 1.0), Adaptive(eps=0.0, largest=clamp))
    assert found.share.item() == pytest.approx(share)
    assert bool(found.clamped) == (clamp < 5e5)
    assert found.weight.item() == min(clamp, 5e5)


def test_the_usual_eps_bounds_the_weight_by_the_reconstructions_gradient():
    """w <= ||g_rec|| / eps: 5e5 needs a norm of 50, which no mean over pixels has."""
    found = weight_of_norms(*norms(0.3, 0.0), Adaptive(largest=math.inf))
    assert found.weight.item() == pytest.approx(0.3 / 1e-4)
    assert found.share.item() == 0
    assert found.eps_share.item() == 1


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_relative_eps_does_not_feel_a_common_scale(unit):
    relative = Adaptive(eps=1e-2, relative=True)
    weak = weight_of_norms(*norms(2.0 * unit, 1e-3 * unit), relative)
    assert weak.weight.item() == pytest.approx(100)  # 1 / eps
    assert weak.share.item() == pytest.approx(0.05)
    assert weak.eps_share.item() == 1
    strong = weight_of_norms(*norms(2.0 * unit, 0.5 * unit), relative)
    assert (strong.weight.item(), strong.eps_share.item()) == (pytest.approx(4.0), 0)


def test_a_clamp_on_the_share_needs_no_unit():
    for unit in (1e-5, 1.0, 1e5):
        bounded = Adaptive(disc_weight=2.0, eps=0.0, largest=math.inf, largest_share=0.5)
        found = weight_of_norms(*norms(3.0 * unit, 0.1 * unit), bounded)
        assert found.share.item() == pytest.approx(0.5)
        assert found.clamped
    loose = Adaptive(disc_weight=0.3, eps=0.0, largest=math.inf, largest_share=0.5)
    found = weight_of_norms(*norms(3.0, 0.1), loose)
    assert (found.share.item(), bool(found.clamped)) == (pytest.approx(0.3), False)


def test_no_gradient_at_all_gives_a_finite_weight():
    for settings in (Adaptive(), Adaptive(eps=0.0), Adaptive(relative=True, largest_share=1.0)):
        for pair in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
            assert weight_of_norms(*norms(*pair), settings).weight.isfinite()


def test_the_probe_can_be_a_layers_weight():
    torch.manual_seed(1)
    decoder = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    last = decoder[2].weight
    y = decoder(torch.randn(16, 4, dtype=torch.float64))
    rec, adv = y.abs().mean(), y.sin().mean()
    found = adaptive_weight(rec, adv, last)
    by_hand = [torch.autograd.grad(t, last, retain_graph=True)[0].norm() for t in (rec, adv)]
    assert found.weight.item() == pytest.approx((by_hand[0] / (by_hand[1] + 1e-4)).item())
    assert found.weight != adaptive_weight(rec, adv, y).weight


def test_norms_can_be_reduced_over_processes():
    y, rec, adv = terms(3.0, 0.5)
    other = torch.tensor([4.0, 1.5], dtype=torch.float64).square()
    found = adaptive_weight(rec, adv, y, Adaptive(eps=0.0), lambda mine: (mine + other) / 2)
    assert found.reconstruction_norm.item() == pytest.approx(math.sqrt(12.5))
    assert found.weight.item() == pytest.approx(math.sqrt(12.5) / math.sqrt(1.25))


def test_without_the_scalers_factor_half_precision_loses_the_adversarial_gradient():
    y = torch.ones(2, 3, dtype=torch.float16, requires_grad=True)
    rec, adv = y.sum() * 1e-2, (y * 2e-5).sum() * 1e-3  # 2e-8 is below float16's smallest
    assert gradient_norm(adv, y).item() == 0
    found = adaptive_weight(rec, adv, y, Adaptive(eps=0.0, largest=math.inf, scale=2.0**15))
    assert found.weight.item() == pytest.approx(1e-2 / 2e-8, rel=0.02)


@pytest.mark.parametrize("name", ["disc_weight", "largest", "eps", "largest_share"])
def test_negative_bounds_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} = -1"):
        Adaptive(**{name: -1})


def test_a_scale_of_zero_is_refused():
    with pytest.raises(ValueError, match="scale = 0"):
        Adaptive(scale=0)


def samples(count=6):
    """A batch and losses of very different scales on it."""
    y = torch.randn(count, 2, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randn(count, 2, 3, dtype=torch.float64)
    losses = {
        "l1": 1e-4 * (y - target).abs().sum(),
        "adv": 50 * y.sin().sum(),
        "feat": (y**2).sum(),
    }
    return y, losses


def sample_norm(gradient):
    return gradient.flatten(1).norm(dim=1).mean().item()


def test_the_balancer_gives_each_loss_its_share_whatever_its_scale():
    y, losses = samples()
    for name in losses:
        alone = Balancer({"l1": 1.0, "adv": 3.0, "feat": 4.0}, total=2.0, floor=0.0)
        silent = {other: losses[other] * (other == name) for other in losses}
        gradient, _ = balanced_gradient(silent, y, alone)
        share = alone.weights[name] / 8
        assert sample_norm(gradient) == pytest.approx(2.0 * share, rel=1e-6)


def test_the_balancers_gradient_by_hand():
    y, losses = samples()
    weights = {"l1": 1.0, "adv": 3.0, "feat": 4.0}
    found, _ = balanced_gradient(losses, y, Balancer(weights, total=5.0, floor=0.0))
    expected = torch.zeros_like(y)
    for name, loss in losses.items():
        (g,) = torch.autograd.grad(loss, y, retain_graph=True)
        expected += 5.0 * weights[name] / 8 * g / sample_norm(g)
    torch.testing.assert_close(found, expected)
    y.backward(found)
    torch.testing.assert_close(y.grad, expected)


def test_a_subset_of_losses_shares_the_whole():
    y, losses = samples()
    settings = Balancer({"l1": 1.0, "adv": 3.0, "feat": 4.0}, floor=0.0)
    gradient, state = balanced_gradient({"adv": losses["adv"]}, y, settings)
    assert sample_norm(gradient) == pytest.approx(1.0)
    assert set(state.norms) == {"adv"}


def test_the_balancers_norms_are_averages_without_the_bias_of_their_start():
    y = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    settings, state = Balancer({"a": 1.0}, decay=0.9), None
    direction = torch.randn(4, 3, dtype=torch.float64)
    direction = direction / direction.norm(dim=1, keepdim=True)
    for size in (1.0, 4.0, 7.0):
        gradient, state = balanced_gradient({"a": (size * direction * y).sum()}, y, settings, state)
    average = (0.81 * 1 + 0.9 * 4 + 7) / (0.81 + 0.9 + 1)
    assert sample_norm(gradient) == pytest.approx(7.0 / average)
    again = BalancerState.from_dict(json.loads(json.dumps(state.to_dict())), like=y)
    loss = {"a": (direction * y).sum()}
    expected, _ = balanced_gradient(loss, y, settings, state)
    assert torch.equal(balanced_gradient(loss, y, settings, again)[0], expected)


@pytest.mark.parametrize(("floor", "strength"), [(0.0, 0.5), (0.01, 0.5 * 1e-6 / 0.01)])
def test_a_floor_keeps_a_vanishing_loss_from_being_blown_up(floor, strength):
    """A loss of 1e-6 of the other's gradient has half of the pull without a floor."""
    y = torch.zeros(4, 2, dtype=torch.float64, requires_grad=True)
    losses = {"strong": y[:, 0].sum(), "weak": 1e-6 * y[:, 1].sum()}
    gradient, _ = balanced_gradient(losses, y, Balancer({"strong": 1.0, "weak": 1.0}, floor=floor))
    assert gradient[:, 0].tolist() == pytest.approx([0.5] * 4)
    assert gradient[:, 1].tolist() == pytest.approx([strength] * 4, rel=1e-5)


def test_the_balancers_norms_can_be_reduced():
    y, losses = samples()
    settings = Balancer({"l1": 1.0, "adv": 1.0, "feat": 1.0}, floor=0.0)
    plain, _ = balanced_gradient(losses, y, settings)
    halved, _ = balanced_gradient(losses, y, settings, reduce=lambda mine: mine * 2)
    torch.testing.assert_close(halved, plain / 2)


def test_the_balancer_refuses_what_it_cannot_share():
    y, losses = samples()
    with pytest.raises(ValueError, match=r"losses = \['adv', 'feat', 'l1'\].*name them alike"):
        balanced_gradient(losses, y, Balancer({"l1": 1.0}))
    with pytest.raises(ValueError, match="all have weight 0"):
        balanced_gradient({"l1": losses["l1"]}, y, Balancer({"l1": 0.0, "adv": 1.0}))
    for weights in ({}, {"a": -1.0, "b": 2.0}, {"a": 0.0}):
        with pytest.raises(ValueError, match="shares are at least 0"):
            Balancer(weights)
    for wrong in ({"decay": 1.0}, {"floor": 2.0}):
        with pytest.raises(ValueError, match=r"decay is in \[0, 1\)"):
            Balancer({"a": 1.0}, **wrong)


def test_a_ramp_rises_from_its_start():
    assert [ramp(s, 100, 50) for s in (0, 99, 100, 110, 150, 900)] == [0, 0, 0, 0.2, 1, 1]
    assert [ramp(s, 100) for s in (99, 100)] == [0, 1]
    cosine = [ramp(s, 0, 4, "cosine") for s in range(5)]
    assert cosine == pytest.approx([(1 - math.cos(math.pi * s / 4)) / 2 for s in range(5)])
    assert fixed_weight(0.1, step=125, start=100, length=50) == pytest.approx(0.05)
    assert fixed_weight(0.1) == 0.1
    with pytest.raises(ValueError, match="length = -1"):
        ramp(0, 0, -1)
    with pytest.raises(ValueError, match="unknown schedule"):
        ramp(1, 0, 4, "square")


def play(settings, losses, every=10, state=None, start=0):
    state = state or PlateauState()
    for step, loss in enumerate(losses):
        state = plateau_update(state, settings, start + every * step, loss)
    return state


def test_a_ramp_starts_where_the_reconstruction_has_settled():
    settings = Plateau(patience=100, length=50, decay=0.0)
    falling = [1.0 * 0.9**i for i in range(20)]
    state = play(settings, falling)
    assert (state.started, state.best_step) == (None, 190)
    assert plateau_ramp(state, settings, 190) == 0
    state = play(settings, [falling[-1]] * 15, state=state, start=200)
    assert state.started == 290
    assert [plateau_ramp(state, settings, s) for s in (280, 290, 315, 400)] == [0, 0, 0.5, 1]
    assert play(settings, [0.0], state=state, start=400) == state  # once started it stays


def test_small_gains_are_no_progress_and_losses_below_zero_count_too():
    slow = Plateau(patience=100, improvement=0.01, decay=0.0)
    assert play(slow, [1 - 1e-4 * i for i in range(20)]).started == 100
    below = Plateau(patience=100, improvement=0.01, decay=0.0)
    assert play(below, [-1.0 - 0.05 * i for i in range(20)]).started is None
    assert play(below, [-1.0] * 20).started == 100


def test_noise_is_averaged_and_what_is_not_finite_passed_over():
    settings = Plateau(patience=200, decay=0.9)
    noisy = [1 + 0.3 * (-1) ** i for i in range(40)]
    steady = play(settings, noisy)
    assert steady.started is not None
    state = play(settings, noisy[:5])
    assert play(settings, [math.nan, math.inf], state=state, start=10_000) == state


def test_a_plateau_waits_for_its_earliest_step_and_is_saved_as_plain_numbers():
    settings = Plateau(patience=50, earliest=180, decay=0.5)
    losses = [1.0] * 40
    assert play(settings, losses).started == 180
    half = play(settings, losses[:9])
    again = PlateauState(**json.loads(json.dumps(dataclasses.asdict(half))))
    assert play(settings, losses[9:], state=again, start=90) == play(settings, losses)


@pytest.mark.parametrize("wrong", [{"patience": 0}, {"length": -1}, {"decay": 1.0}])
def test_a_plateau_that_cannot_be_told_is_refused(wrong):
    with pytest.raises(ValueError, match="patience is at least 1 step"):
        Plateau(**wrong)


def test_every_weighting_has_its_meaning_beside_it():
    assert set(WEIGHTINGS) == {"fixed", "adaptive", "balancer"}
    assert all(len(function.__doc__.split()) > 10 for function in WEIGHTINGS.values())
