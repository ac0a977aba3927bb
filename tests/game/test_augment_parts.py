"""One contract for every augmentation: alike for reals and fakes, differentiable, exact at 0."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from torch import nn

from equipoise.game import (
    ADA_PARTS,
    DIFFAUGMENT_PARTS,
    Augmented,
    ada,
    adapted,
    alike,
    diffaugment,
    instance_noise,
    overfitting_sign,
    pseudo_real,
)
from equipoise.game.augment.diffaugment import shifted
from equipoise.game.augment.pixels import bilinear, reflected


def one_of_diff(part):
    return lambda x, g: diffaugment(x, g, part)


def one_of_ada(part):
    return lambda x, g: ada(x, 0.7, g, part)


AUGMENTATIONS = {
    **{f"diff/{part}": one_of_diff(part) for part in DIFFAUGMENT_PARTS},
    **{f"ada/{part}": one_of_ada(part) for part in ADA_PARTS},
    "diff": diffaugment,
    "ada": lambda x, g: ada(x, 0.7, g),
    "instance noise": lambda x, g: instance_noise(x, 0.3, g),
}
every = pytest.mark.parametrize("name", AUGMENTATIONS)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=6, channels=3, side=8, dtype=torch.float32, seed=3):
    return torch.rand(n, channels, side, side, generator=rng(seed), dtype=dtype) * 2 - 1


@every
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shape_precision_and_draws(name, channels):
    augmentation = AUGMENTATIONS[name]
    x = images(20, channels)
    kept = x.clone()
    out = augmentation(x, rng())
    assert torch.equal(x, kept)
    assert out.shape == x.shape
    assert torch.equal(out, augmentation(x, rng()))
    idle = channels == 1 and name == "ada/saturation"
    idle |= channels != 3 and name == "ada/hue"
    assert torch.equal(out, augmentation(x, rng(1))) == idle
    assert augmentation(x.bfloat16(), rng()).dtype == torch.bfloat16
    state = torch.get_rng_state()
    augmentation(x, rng())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    first = augmentation(x, None)
    torch.manual_seed(5)
    assert torch.equal(first, augmentation(x, None))


@every
def test_first_and_second_derivatives_by_the_images(name):
    """R1 through the augmentation differentiates twice."""
    augmentation = AUGMENTATIONS[name]
    x = images(2, 3, 4, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augmentation(x, rng()), (x,))
    gradient = nn.Linear(48, 1).double()

    def slope(x):
        score = gradient(augmentation(x, rng()).flatten(1)).square().sum()
        return torch.autograd.grad(score, x, create_graph=True)[0]

    assert torch.autograd.gradcheck(slope, (x,))


@every
def test_reals_and_fakes_meet_the_same_distribution_of_transforms(name):
    """Equal images on both sides: mean and spread of every pixel agree within 5 standard errors."""
    n = 3000
    x = images(1, 3, 8).expand(n, -1, -1, -1)
    real, fake = (side.flatten(1) for side in alike(AUGMENTATIONS[name], x, x, rng()))
    assert not torch.equal(real, fake)
    for a, b in ((real, fake), (real.square(), fake.square())):
        error = ((a.var(0) + b.var(0)) / n).sqrt()
        assert ((a.mean(0) - b.mean(0)).abs() <= 5 * error + 1e-6).all()


@every
def test_the_draw_depends_on_the_row_and_not_on_the_image(name):
    """Swapping which side is real changes nothing but the order of the sides' draws."""
    x, y = images(4), images(4, seed=9)
    real, _ = alike(AUGMENTATIONS[name], x, y, rng())
    again, _ = alike(AUGMENTATIONS[name], x, -y, rng())
    assert torch.equal(real, again)


def test_alike_takes_batches_of_different_length_and_refuses_other_shapes():
    real, fake = alike(diffaugment, images(3), images(5), rng())
    assert (len(real), len(fake)) == (3, 5)
    with pytest.raises(ValueError, match="check the generator's output size"):
        alike(diffaugment, images(3), images(3, side=4), rng())


# --- identity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [*ADA_PARTS, ",".join(ADA_PARTS)])
def test_without_probability_ada_is_the_identity_bitwise(part):
    x = images()
    assert ada(x, 0.0, rng(), part) is x
    for name in part.split(","):  # and not only because nothing was run
        assert torch.equal(ADA_PARTS[name](x, 0.0, rng()), x)


@pytest.mark.parametrize("part", [*ADA_PARTS, ",".join(ADA_PARTS)])
def test_images_that_are_not_struck_are_bitwise_the_same(part):
    n, p = 4000, 0.1
    x = images(1).expand(n, -1, -1, -1)
    out = ada(x, p, rng(), part)
    touched = (out != x).flatten(1).any(1).float().mean().item()
    # those that draw the identity although struck
    share = {"flip": 1 / 2, "rotate90": 3 / 4, "luma_flip": 1 / 2, "translation": 1 - 0.25**2}
    parts = part.split(",")
    expected = 1 - math.prod(1 - p * share.get(name, 1.0) for name in parts)
    assert touched == pytest.approx(expected, abs=5 * math.sqrt(0.25 / n))


def test_empty_policies_and_zero_strengths_change_nothing():
    x = images()
    assert diffaugment(x, rng(), "") is x
    assert instance_noise(x, 0.0, rng()) is x
    assert pseudo_real(x, -x, 0.0, rng()) is x


# --- each transform does what it says -------------------------------------------------------------


@given(seed=st.integers(0, 10**6), side=st.integers(1, 9))
def test_shifting_is_padding_and_cropping(seed, side):
    x = images(3, 2, side)
    steps = torch.randint(-side, side + 1, (2, 3), generator=rng(seed))
    out = shifted(x, *steps)
    for n in range(3):
        down, right = steps[:, n].tolist()
        wide = torch.nn.functional.pad(x[n], (side, side, side, side))
        expected = wide[:, side - down : 2 * side - down, side - right : 2 * side - right]
        assert torch.equal(out[n], expected)


def test_translation_of_diffaugment_is_uniform_on_whole_pixels():
    x = torch.zeros(9000, 1, 16, 16)
    x[:, :, 8, 8] = 1
    where = diffaugment(x, rng(), "translation").flatten(1).argmax(1)
    rows, columns = where // 16 - 8, where % 16 - 8
    for steps in (rows, columns):
        counts = torch.bincount(steps + 2, minlength=5) / 9000
        assert counts.tolist() == pytest.approx([0.2] * 5, abs=0.025)


def test_cutout_is_a_hole_of_half_the_side():
    x = torch.ones(500, 2, 8, 8)
    out = diffaugment(x, rng(), "cutout")
    assert torch.equal(out[:, 0], out[:, 1])
    holes = (out[:, 0] == 0).sum((1, 2))
    assert holes.max() == 16
    assert holes.min() >= 4  # clipped at a corner
    assert set(out.unique().tolist()) == {0.0, 1.0}


def test_color_of_diffaugment_has_its_ranges():
    x = torch.zeros(4000, 3, 2, 2)
    shift = diffaugment(x, rng(), "color")[:, 0, 0, 0]
    assert shift.min() >= -0.5
    assert shift.max() <= 0.5
    assert shift.std().item() == pytest.approx(math.sqrt(1 / 12), rel=0.05)


def test_flips_and_quarter_turns_permute_pixels():
    x = images(400)
    for part, expected in (("flip", 2), ("rotate90", 4)):
        out = ada(x[:1].expand(400, -1, -1, -1), 1.0, rng(), part)
        assert len(out.unique(dim=0)) == expected
        assert torch.equal(
            out.flatten(1).sort().values, x[:1].expand_as(out).flatten(1).sort().values
        )
    wide = images(1).expand(400, -1, -1, -1)[:, :, :4]
    assert len(ada(wide, 1.0, rng(), "rotate90").unique(dim=0)) == 2


def test_reflection_mirrors_at_the_edge_pixels():
    index = torch.arange(-4, 8)
    assert reflected(index, 4).tolist() == [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert reflected(index, 1).unique().tolist() == [0]


def test_bilinear_sampling_is_that_of_torch():
    x = images(2, 3, 6, torch.float64)
    rows = torch.rand(2, 6, 6, generator=rng()) * 12 - 3
    columns = torch.rand(2, 6, 6, generator=rng(1)) * 12 - 3
    grid = torch.stack([columns, rows], -1).double() / 2.5 - 1
    expected = torch.nn.functional.grid_sample(
        x, grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )
    torch.testing.assert_close(bilinear(x, rows, columns), expected, atol=1e-5, rtol=1e-5)


def test_a_turn_moves_a_point_on_its_circle():
    x = torch.zeros(200, 1, 17, 17)
    x[:, :, 8, 11] = 1  # 3 pixels from the centre; its mirror images stay outside
    out = ada(x, 1.0, rng(), "rotation")[:, 0]
    rows, columns = torch.meshgrid(torch.arange(17.0) - 8, torch.arange(17.0) - 8, indexing="ij")
    mass = out.sum((1, 2))
    radius = (out * (rows**2 + columns**2).sqrt()).sum((1, 2)) / mass
    assert radius.tolist() == pytest.approx([3.0] * 200, abs=0.3)
    angle = torch.atan2((out * rows).sum((1, 2)), (out * columns).sum((1, 2)))
    assert angle.std().item() == pytest.approx(math.pi / math.sqrt(3), rel=0.1)


def test_scaling_keeps_the_centre_and_stretches_the_rest():
    x = torch.linspace(-1, 1, 9).expand(300, 1, 9, 9)
    out = ada(x, 1.0, rng(), "scale")
    assert out[:, :, :, 4].abs().max() < 1e-6
    slopes = (out[:, 0, 4, 5] - out[:, 0, 4, 3]) / 0.5  # 1 / factor
    assert torch.log2(1 / slopes).std().item() == pytest.approx(0.2, rel=0.15)


def test_colours_turn_about_the_grey_axis():
    x = images(50)
    grey = x.mean(1, keepdim=True).expand_as(x)
    for part in ("hue", "saturation"):
        out = ada(x, 1.0, rng(), part)
        torch.testing.assert_close(out.mean(1), x.mean(1))
        torch.testing.assert_close(ada(grey, 1.0, rng(), part), grey)
    turned = ada(x, 1.0, rng(), "hue")
    torch.testing.assert_close((turned - grey).square().sum(1), (x - grey).square().sum(1))
    flipped = ada(x, 1.0, rng(), "luma_flip")
    means = flipped.mean((1, 2, 3)) / x.mean((1, 2, 3))
    assert set(means.round().int().tolist()) == {-1, 1}
    torch.testing.assert_close(flipped - flipped.mean(1, keepdim=True), x - grey)


@pytest.mark.parametrize(("part", "ratio"), [("brightness", 0.2), ("contrast", 0.5)])
def test_brightness_and_contrast_have_their_widths(part, ratio):
    x = torch.ones(5000, 1, 1, 1)
    out = ada(x, 1.0, rng(), part).flatten()
    drawn = out - 1 if part == "brightness" else torch.log2(out)
    assert drawn.std().item() == pytest.approx(ratio, rel=0.04)
    assert drawn.mean().item() == pytest.approx(0, abs=4 * ratio / math.sqrt(5000))


def test_instance_noise_has_its_width_and_takes_points():
    out = instance_noise(torch.ones(20000, 2), 0.3, rng())
    assert out.std().item() == pytest.approx(0.3, rel=0.02)
    with pytest.raises(ValueError, match=r"sigma = -0\.1"):
        instance_noise(out, -0.1)


# --- control --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.0, 0.0), (0.84162, 0.6), (2.0, 0.9545), (-1, -0.6827)]
)
def test_the_sign_of_normal_logits(ratio, expected):
    """2 Phi(m / s) - 1."""
    logits = 3 * (torch.randn(200_000, 1, generator=rng()) + ratio)
    assert 2 * norm.cdf(ratio) - 1 == pytest.approx(expected, abs=5e-5)
    assert overfitting_sign(logits).item() == pytest.approx(expected, abs=0.01)


def test_the_target_is_a_gap_of_084_deviations():
    assert norm.ppf(0.8) == pytest.approx(0.84162, abs=5e-6)


def test_a_step_of_the_controller():
    assert adapted(0.2, 0.7, 64 * 4) == pytest.approx(0.2 + 5.12e-4)
    assert adapted(0.2, 0.5, 64 * 4) == pytest.approx(0.2 - 5.12e-4)
    assert adapted(0.2, 0.6, 64 * 4) == 0.2


def test_from_zero_to_one_in_500_thousand_images():
    p, images_seen = 0.0, 0
    while p < 1:
        p, images_seen = adapted(p, 1.0, 256), images_seen + 256
    assert 500_000 <= images_seen <= 500_000 + 2 * 256


@given(
    p=st.floats(0, 1),
    signs=st.lists(st.floats(-1, 1), max_size=20),
    images_shown=st.integers(1, 10**6),
)
def test_the_probability_stays_one(p, signs, images_shown):
    for r_t in signs:
        p = adapted(p, r_t, images_shown)
        assert 0 <= p <= 1


def test_pseudo_reals_are_a_share_of_the_fakes_and_pass_no_gradient():
    real, fake = torch.zeros(20000, 2), torch.ones(20000, 2, requires_grad=True)
    out = pseudo_real(real, fake, 0.3, rng())
    assert out[:, 0].mean().item() == pytest.approx(0.3, abs=0.015)
    assert torch.equal(out[:, 0], out[:, 1])
    assert not out.requires_grad
    assert torch.equal(pseudo_real(real, fake, 1.0, rng()), torch.ones(20000, 2))


# --- inside the discriminator ---------------------------------------------------------------------


def test_an_augmented_discriminator_augments_in_training_alone():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 1))
    seen = Augmented(net, diffaugment, rng())
    x = images().requires_grad_()
    assert torch.equal(seen(x), net(diffaugment(x, rng())))
    seen(x).sum().backward()
    assert x.grad.abs().max() > 0
    assert torch.equal(seen.eval()(x), net(x))


REFUSED = {
    "p": (lambda: ada(images(), 1.5), r"p = 1\.5: .* \[0, 1\]"),
    "part": (lambda: ada(images(), 0.5, None, "flipp"), "did you mean 'flip'"),
    "policy": (lambda: diffaugment(images(), None, "colour"), "did you mean 'color'"),
    "points": (lambda: diffaugment(torch.zeros(3, 2)), "for points use instance_noise"),
    "apa": (lambda: pseudo_real(images(), images(), -0.1), "probability of a pseudo-real"),
    "apa shapes": (lambda: pseudo_real(images(2), images(3), 0.1), "they must agree"),
    "nan": (lambda: adapted(0.5, math.nan, 4), "not finite"),
    "images": (lambda: adapted(0.5, 0.5, 0), "above 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()
