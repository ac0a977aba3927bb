"""Gradient penalties against closed forms, the joint pass against separate passes, and refusals."""

from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.func import functional_call

from equipoise.game import (
    PENALTIES,
    Pair,
    Setting,
    couples_batch,
    discriminator_loss,
    lecam_state,
    lecam_update,
    normalized,
    objective,
    r1,
    r2,
    squared_norm,
)
from equipoise.game.penalties import scored
from equipoise.networks import DcganDiscriminator, MlpDiscriminator
from equipoise.recipe.contradictions.players import INPUT_GRADIENT_PENALTIES


class Quadratic(nn.Module):
    """D(x) = x'Ax / 2 + b'x with A = diag(2, 1), b = (1, -1): grad = Ax + b."""

    def __init__(self):
        super().__init__()
        self.diagonal = nn.Parameter(torch.tensor([2.0, 1.0], dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor([1.0, -1.0], dtype=torch.float64))

    def forward(self, x):
        return (x.square() @ self.diagonal) / 2 + x @ self.b


MU = torch.tensor([1.0, 0.0], dtype=torch.float64)
# mean MU and covariance I exactly: means of quadratic functions are exact on these four points
SIGNS = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
POINTS = MU + SIGNS
# tr(A S A) + |A mu + b|^2 = (4 + 1) + |(3, -1)|^2
EXPECTED = 15.0
SIDES = {"r1": "real", "r2": "fake"}


def pair_of(discriminator, real, fake, joint=True):
    real, fake = (x.detach().clone().requires_grad_() for x in (real, fake))
    if joint:
        logits = discriminator(torch.cat([real, fake])).chunk(2)
    else:
        logits = discriminator(real), discriminator(fake)
    return Pair(discriminator, real, fake, *logits)


class Contract(NamedTuple):
    """What a table entry promises: the images it differentiates by, factor, needs."""

    differentiates: tuple[str, ...] = ()
    factor: float = 1.0
    needs: tuple[str, ...] = ()


CONTRACT = {
    "r1": Contract(("real",), 0.5),
    "r2": Contract(("fake",), 0.5),
    "r1_finite_difference": Contract((), 0.5),
    "wgan_gp": Contract(("between",)),
    "wgan_gp_one_sided": Contract(("between",)),
    "zero_gp": Contract(("between",)),
    "dragan": Contract(("around",)),
    "drift": Contract(),
    "lecam": Contract(needs=("lecam",)),
    "cr": Contract(needs=("augment",)),
    "bcr": Contract(needs=("augment",)),
    "zcr": Contract(needs=("nearby",)),
}
every = pytest.mark.parametrize("name", CONTRACT)


def full_setting(images, **more):
    """A setting that every penalty can be computed with, its noise always the same."""
    anchors = lecam_update(lecam_state(), torch.full((3,), 0.3), torch.full((3,), -0.2))
    return Setting(
        noise=torch.Generator().manual_seed(0),
        augment=lambda x: x.flip(-1),
        nearby=images + 0.1,
        lecam=anchors,
        **more,
    )


def test_every_penalty_is_under_contract():
    found = {n: Contract(p.differentiates, p.factor, p.needs) for n, p in PENALTIES.items()}
    assert found == CONTRACT


def test_recipes_know_which_penalties_batch_norm_hides():
    hidden = {name for name, penalty in PENALTIES.items() if penalty.differentiates}
    assert hidden == INPUT_GRADIENT_PENALTIES


def wide_mlp():
    """Steep enough for one-sided penalties to have a say."""
    mlp = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    with torch.no_grad():
        mlp[2].weight.mul_(6)
    return mlp


def value_of(name, discriminator, real, fake, joint=True, **more):
    sides = PENALTIES[name].differentiates
    setting = full_setting(fake, **more)
    return PENALTIES[name].value(scored(discriminator, real, fake, sides, joint, setting))


@every
def test_each_sample_has_a_value_that_the_others_do_not_touch(name):
    discriminator = wide_mlp()
    real, fake = torch.randn(2, 5, 4, dtype=torch.float64)
    value = value_of(name, discriminator, real, fake)
    assert value.shape == (5,)
    assert (value >= 0).all()
    assert value.sum() > 0
    if name == "dragan":
        return  # its noise is as wide as the whole batch
    moved = [torch.cat([x[:4], x[4:] + 1]) for x in (real, fake)]
    torch.testing.assert_close(value_of(name, discriminator, *moved)[:4], value[:4])


@every
def test_each_penalty_trains_the_discriminator_with_the_right_gradient(name):
    discriminator = wide_mlp()
    real, fake = torch.randn(2, 3, 4, dtype=torch.float64)
    weights = dict(discriminator.named_parameters())

    def value(*values):
        run = lambda x: functional_call(discriminator, dict(zip(weights, values, strict=True)), x)  # noqa: E731
        return value_of(name, run, real, fake).mean()

    inputs = tuple(w.detach().clone().requires_grad_() for w in weights.values())
    assert torch.autograd.gradcheck(value, inputs)


@every
def test_several_discriminators_are_averaged(name):
    first, second = wide_mlp(), wide_mlp()
    real, fake = torch.randn(2, 5, 4, dtype=torch.float64)
    both = value_of(name, lambda x: [first(x), second(x)], real, fake)
    apart = [value_of(name, d, real, fake) for d in (first, second)]
    torch.testing.assert_close(both, (apart[0] + apart[1]) / 2)


@every
def test_per_patch_makes_a_tiled_discriminator_as_steep_as_its_tile(name):
    single = wide_mlp()
    real, fake = torch.randn(2, 5, 4, dtype=torch.float64)
    tiled = lambda x: single(x)[:, None].expand(-1, 9)  # noqa: E731
    expected = value_of(name, single, real, fake)
    torch.testing.assert_close(value_of(name, tiled, real, fake, per_patch=True), expected)
    if name in ("r1", "r2", "zero_gp", "r1_finite_difference"):
        torch.testing.assert_close(value_of(name, tiled, real, fake), 81 * expected)


@pytest.mark.parametrize("name", ["r1", "r2", "zero_gp", "wgan_gp"])
def test_per_pixel_keeps_gamma_when_pictures_are_enlarged(name):
    """Every pixel k x k times, seen through the enlargement: the raw squared slope is 1 / k^2."""
    small = nn.Sequential(nn.Flatten(), wide_mlp())
    real, fake = torch.randn(2, 3, 1, 2, 2, dtype=torch.float64)
    wide = [x.repeat_interleave(4, -1).repeat_interleave(4, -2) for x in (real, fake)]
    through = lambda x: small(nn.functional.avg_pool2d(x, 4))  # noqa: E731
    expected = value_of(name, small, real, fake, per_pixel=True)
    torch.testing.assert_close(value_of(name, through, *wide, per_pixel=True), expected)
    if name != "wgan_gp":
        raw = value_of(name, through, *wide)
        torch.testing.assert_close(raw, value_of(name, small, real, fake) / 16)
        torch.testing.assert_close(value_of(name, small, real, fake) * 4, expected)


@every
def test_what_a_penalty_needs_is_named(name):
    real, fake = torch.randn(2, 5, 4, dtype=torch.float64)
    pair = scored(wide_mlp(), real, fake, ("real", "fake"))
    for needed in CONTRACT[name].needs:
        with pytest.raises(ValueError, match=rf"setting\.{needed} = None.*Setting\({needed}="):
            PENALTIES[name].value(pair)
    if not CONTRACT[name].needs:
        assert PENALTIES[name].value(pair).isfinite().all()


@every
def test_under_autocast_penalties_are_those_of_float32(name):
    torch.manual_seed(1)
    discriminator = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
    real, fake = torch.randn(2, 6, 4)
    hinge = objective("hinge")

    def penalty():
        gammas, setting = {name: 1.0}, full_setting(fake)
        return discriminator_loss(discriminator, hinge, real, fake, gammas, setting=setting)

    exact = penalty()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = penalty()
        assert mixed.real_logits.dtype == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
    assert mixed.penalties[name].dtype == torch.float32
    if PENALTIES[name].reads_logits_alone:
        assert mixed.penalties[name].item() == pytest.approx(exact.penalties[name].item(), rel=0.05)
    else:
        assert mixed.penalties[name].item() == exact.penalties[name].item()


def test_squared_norm_sums_over_all_but_the_batch_in_single_precision_at_least():
    gradient = torch.full((2, 3, 2, 2), 2.0)
    assert squared_norm(gradient).tolist() == [48.0, 48.0]
    assert squared_norm(gradient.double()).dtype == torch.float64
    tall = torch.full((1, 100), 60.0, dtype=torch.float16)  # 360000 overflows float16
    assert squared_norm(tall).item() == 360000.0


@pytest.mark.parametrize("name", SIDES)
def test_each_sample_has_its_own_squared_gradient(name):
    x = {"real": POINTS, "fake": POINTS}
    x[SIDES[name]] = POINTS * 3 - 1
    value = PENALTIES[name].value(pair_of(Quadratic(), **x))
    by_hand = x[SIDES[name]] * torch.tensor([2.0, 1.0]) + torch.tensor([1.0, -1.0])
    torch.testing.assert_close(value, by_hand.square().sum(1))


@pytest.mark.parametrize("name", SIDES)
def test_expectation_on_the_quadratic_is_exact(name):
    x = {"real": torch.zeros(4, 2).double(), "fake": torch.zeros(4, 2).double()}
    x[SIDES[name]] = POINTS
    value = PENALTIES[name].value(pair_of(Quadratic(), **x)).mean()
    assert value.item() == pytest.approx(EXPECTED, abs=1e-12)


def test_expectation_on_the_quadratic_by_monte_carlo():
    n = 100_000
    noise = torch.randn(2, n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pair = pair_of(Quadratic(), MU + noise[0], MU + noise[1])
    for value in (r1(pair), r2(pair)):
        error = value.std().item() / n**0.5
        assert error < 0.06
        assert value.mean().item() == pytest.approx(EXPECTED, abs=4 * error)


@pytest.mark.parametrize("joint", [True, False])
def test_the_loss_takes_gamma_over_two_times_the_penalty(joint):
    fake = torch.zeros(4, 2, dtype=torch.float64)
    hinge, gammas = objective("hinge"), {"r1": 10.0, "r2": 4.0}
    move = discriminator_loss(Quadratic(), hinge, POINTS, fake, gammas, joint)
    assert move.penalties["r1"].item() == pytest.approx(15.0)
    assert move.penalties["r2"].item() == pytest.approx(2.0)  # |b|^2
    only_r1 = discriminator_loss(Quadratic(), hinge, POINTS, fake, {"r1": 10.0, "r2": 0.0}, joint)
    assert set(only_r1.penalties) == {"r1"}
    assert (only_r1.loss - only_r1.adversarial).item() == pytest.approx(75.0)
    assert (move.loss - move.adversarial).item() == pytest.approx(79.0)


def test_the_penalty_trains_the_discriminator():
    """d/db of gamma/2 E|Ax + b|^2 = gamma (A mu + b); d/da_j = gamma (a_j E x_j^2 + b_j mu_j)."""
    discriminator = Quadratic()
    (10 / 2 * r1(pair_of(discriminator, POINTS, POINTS)).mean()).backward()
    assert discriminator.b.grad.tolist() == pytest.approx([30.0, -10.0])
    assert discriminator.diagonal.grad.tolist() == pytest.approx([50.0, 10.0])


DISCRIMINATORS = {
    "mlp": (lambda: MlpDiscriminator((2,), 16, 2), (2,)),
    "mlp on images": (lambda: MlpDiscriminator((1, 4, 4), 8, 3), (1, 4, 4)),
    "dcgan": (lambda: DcganDiscriminator((3, 8, 8), 4), (3, 8, 8)),
    "dcgan 16": (lambda: DcganDiscriminator((1, 16, 16), 2), (1, 16, 16)),
}


@pytest.mark.parametrize("name", DISCRIMINATORS)
@pytest.mark.parametrize("gammas", [{}, {"r1": 3.0}, {"r2": 0.7}, {"r1": 1.0, "r2": 2.0}])
def test_joint_pass_equals_separate_passes(name, gammas):
    build, shape = DISCRIMINATORS[name]
    discriminator = build().double()
    real, fake = torch.randn(2, 6, *shape, dtype=torch.float64)
    results = []
    for joint in (True, False):
        move = discriminator_loss(
            discriminator, objective("relativistic"), real, fake, gammas, joint
        )
        slopes = torch.autograd.grad(move.loss, list(discriminator.parameters()), allow_unused=True)
        results.append((move, [s for s in slopes if s is not None]))
    (together, slopes), (apart, slopes_apart) = results
    for field in ("loss", "adversarial", "real_logits", "fake_logits", "penalties"):
        torch.testing.assert_close(getattr(together, field), getattr(apart, field))
    assert len(slopes) == len(slopes_apart) > 0
    torch.testing.assert_close(slopes, slopes_apart)


def test_one_backward_pass_serves_both_penalties():
    pair = pair_of(Quadratic(), POINTS, POINTS)
    first = pair.gradient("real")
    assert pair.gradient("real") is first
    calls = []
    pair.real_logits.register_hook(calls.append)
    torch.testing.assert_close(pair.gradient("fake"), first)
    assert calls == []


@pytest.mark.parametrize("name", SIDES)
def test_images_that_take_no_gradient_are_refused(name):
    side = SIDES[name]
    pair = pair_of(Quadratic(), POINTS, POINTS)
    setattr(pair, side, getattr(pair, side).detach())
    with pytest.raises(ValueError, match=rf"{side}\.requires_grad = False.*requires_grad_\(\)"):
        PENALTIES[name].value(pair)


def linear_on_batch_norm():
    return nn.Sequential(
        *normalized("batch", nn.Linear(3, 5), 5), nn.Linear(5, 1), nn.Flatten(0)
    ).double()


@pytest.mark.parametrize("joint", [True, False])
def test_batch_norm_under_a_linear_head_hides_the_gradient(joint):
    """sum_i xhat_i = 0, so d sum_i D(x_i) / dx is identically 0: why recipes refuse the pair."""
    discriminator = linear_on_batch_norm()
    assert couples_batch(discriminator)
    real, fake = torch.randn(2, 8, 3, dtype=torch.float64)
    pair = pair_of(discriminator, real, fake, joint)
    for side in SIDES.values():
        assert pair.gradient(side).abs().max().item() < 1e-12
    move = discriminator_loss(
        discriminator, objective("hinge"), real, fake, {"r1": 10.0, "r2": 10.0}, joint
    )
    assert move.loss.item() == pytest.approx(move.adversarial.item(), abs=1e-12)
    own = torch.autograd.grad(discriminator(pair.real)[0], (pair.real,))[0]
    assert own[0].norm().item() > 1e-2  # a sample's own gradient is not 0


def test_separate_batches_have_equal_mean_logits_under_batch_norm():
    """Each batch's mean of xhat is 0, so E D is the same for any two laws."""
    real = torch.randn(16, 3, dtype=torch.float64)
    fake = torch.rand(16, 3, dtype=torch.float64) * 5 + 40
    move = discriminator_loss(linear_on_batch_norm(), objective("hinge"), real, fake, joint=False)
    assert move.real_logits.mean().item() == pytest.approx(move.fake_logits.mean().item())


@pytest.mark.parametrize(("gap", "expected"), [(0.1, 0.0398), (1.0, 4.0e-5), (10.0, 4.0e-8)])
def test_a_mixed_batch_of_two_saturates_batch_norm(gap, expected):
    """d xhat_fake / d gap = eps / 2 / (gap^2 / 4 + eps)^1.5, eps = 1e-5."""
    _, layer = normalized("batch", nn.Linear(1, 1), 1)
    g = torch.tensor(gap, dtype=torch.float64, requires_grad=True)
    real_and_fake = torch.stack([-g / 2, g / 2])[:, None]
    (slope,) = torch.autograd.grad(layer.double()(real_and_fake)[1, 0], (g,))
    assert slope.item() == pytest.approx(0.5e-5 / (gap**2 / 4 + 1e-5) ** 1.5, rel=1e-6)
    assert slope.item() == pytest.approx(expected, rel=5e-3)
