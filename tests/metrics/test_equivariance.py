"""EQ-T and EQ-R of scenes drawn from a formula, which move and turn exactly, and of worse ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics.equivariance import rotation_equivariance, translation_equivariance
from equipoise.metrics.measure import compare
from equipoise.metrics.warps import (
    limit_as_turned,
    shift_fraction,
    shift_whole,
    turn,
    turning_filter,
)

SIDE = 40
SEEDS = [torch.tensor([i]) for i in range(6)]


def scene(seed, finest, right=0.0, down=0.0, angle=0.0, side=SIDE):
    """Waves below `finest` cycles a pixel, moved by pixels and turned from right to down."""
    random = torch.Generator().manual_seed(int(seed))
    waves = (torch.rand(10, 2, generator=random, dtype=torch.float64) * 2 - 1) * finest
    phase = torch.rand(10, generator=random, dtype=torch.float64) * 2 * math.pi
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    y, x = torch.meshgrid(at - down, at - right, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = cos * x + sin * y, cos * y - sin * x
    turns = waves[:, 0, None, None] * x + waves[:, 1, None, None] * y
    picture = torch.sin(2 * math.pi * turns + phase[:, None, None]).mean(0)
    return picture.expand(1, 2, side, side)


def drawn(finest=0.15, sign=1.0):
    return lambda z, to: scene(z, finest, sign * to[0] * SIDE, sign * to[1] * SIDE)


def turned(finest=0.15, sign=1.0):
    return lambda z, angle: scene(z, finest, angle=sign * angle)


def decibels(gap, mask, width=2.0):
    return 10 * math.log10(width**2 / float(gap[..., mask].square().mean()))


def test_a_whole_shift_is_exact():
    assert translation_equivariance(drawn(0.45), SEEDS).value > 250


def test_a_fractional_shift_is_as_good_as_its_filter():
    measure = translation_equivariance(drawn(), SEEDS, fractional=True)
    assert measure.value > 55
    assert measure.convention["fractional"] is True
    assert measure.name == "eq_t_frac"


def test_a_turn_is_as_good_as_its_filter():
    assert rotation_equivariance(turned(), SEEDS[:3]).value > 58


def test_a_quarter_turn_is_exact_and_goes_from_right_to_down():
    picture = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    picture[..., 20, 26] = 1.0  # right of the centre
    after, mask = turn(picture, math.pi / 2)
    assert mask[26, 20]
    assert float(after[0, 0, 26, 20]) == pytest.approx(1, abs=5e-3)  # below it
    assert float(after[..., mask].abs().sum()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("measure", [translation_equivariance, rotation_equivariance])
def test_the_wrong_way_or_not_at_all_scores_low(measure):
    make = drawn if measure is translation_equivariance else turned
    good, wrong, still = (float(measure(make(sign=s), SEEDS[:2])) for s in (1.0, -1.0, 0.0))
    assert good > 50
    assert wrong < 25
    assert still < 25


def test_noise_of_known_size_matches_the_closed_form():
    # the moved image alone carries noise of deviation .01: MSE 1e-4, 10 log10(4 / 1e-4) = 46.02
    calls = []

    def noisy(z, to):
        calls.append(to)
        random = torch.Generator().manual_seed(len(calls))
        clean = drawn(0.4)(z, to)
        noise = torch.randn(clean.shape, generator=random, dtype=torch.float64)
        return clean + 0.01 * (len(calls) % 2 == 0) * noise

    measure = translation_equivariance(noisy, [torch.tensor([i]) for i in range(30)])
    assert measure.value == pytest.approx(46.02, abs=0.1)
    assert measure.low <= 46.03
    assert measure.high >= 46.01
    assert 0.01 < measure.error < 0.1
    calls.clear()
    half = translation_equivariance(noisy, SEEDS, data_range=(0.0, 1.0))
    calls.clear()
    full = translation_equivariance(noisy, SEEDS)
    assert full.value - half.value == pytest.approx(20 * math.log10(2))


def test_the_mean_is_over_pixels_in_view_of_all_batches():
    shifts = []

    def generate(z, to):
        shifts.append(to)
        return float(z) * torch.ones(1, 1, 16, 16) * (to != (0.0, 0.0))

    measure = translation_equivariance(generate, [torch.tensor(0.1), torch.tensor(0.3)])
    counts = [(16 - abs(round(16 * r))) * (16 - abs(round(16 * d))) for r, d in shifts[1::2]]
    assert all(16 * r == round(16 * r) for r, _ in shifts)
    mse = (0.01 * counts[0] + 0.09 * counts[1]) / sum(counts)
    assert measure.value == pytest.approx(10 * math.log10(4 / mse), abs=1e-5)
    even = translation_equivariance(generate, [torch.tensor(0.2)] * 4)
    assert even.error == pytest.approx(0, abs=1e-6)  # unlike counts are no spread


def test_perfect_and_single_batches_have_no_interval():
    flat = translation_equivariance(lambda z, to: torch.ones(1, 1, 16, 16), SEEDS)
    assert (flat.value, flat.error) == (math.inf, None)
    assert rotation_equivariance(turned(), SEEDS[:1]).error is None


def test_the_limiter_of_stylegan3_holds_an_ideal_generator_lower():
    exact = rotation_equivariance(turned(0.25), SEEDS)
    theirs = rotation_equivariance(turned(0.25), SEEDS, limiter="stylegan3")
    assert exact.value > theirs.value + 5
    with pytest.raises(ValueError, match="limiter 'exact' against 'stylegan3'"):
        compare(exact, theirs)


@pytest.mark.parametrize(
    ("aliased", "gains"), [(True, (1.047, 1.273, 1.654)), (False, (1.0, 1.0, 0.999))]
)
def test_the_gain_of_the_limit_at_45_degrees(aliased, gains):
    # the turned square holds all of the x axis below .5, so an ideal gain is 1
    for cycles, gain in zip((0.2, 0.3, 0.4), gains, strict=True):
        wave = torch.cos(2 * math.pi * cycles * torch.arange(40, dtype=torch.float64))
        images = wave.expand(1, 1, 40, 40)
        after, mask = limit_as_turned(images, math.pi / 4, aliased=aliased)
        assert float((after / images)[..., mask].median()) == pytest.approx(gain, abs=2e-3)


def test_a_turn_drops_what_its_grid_cannot_hold():
    # (.45, .3) turned by .4 is (.30, .45), within .5; (.45, -.3) is (.53, -.10), beyond
    at = torch.arange(48, dtype=torch.float64)
    left = []
    for down in (0.3, -0.3):
        wave = torch.cos(2 * math.pi * (0.45 * at[None] + down * at[:, None]))
        after, mask = turn(wave.expand(1, 1, 48, 48), 0.4)
        left.append(float(after[..., mask].square().mean()))
    assert left[0] > 1.7 * left[1]


def slow_filter(angle, u, v, step=0.25, field=64):
    """One tap by plain sums over the grid of steps 1/4, before normalization."""
    at = np.arange(-field, field, step)
    x, y = np.meshgrid(at, at)
    cos, sin = math.cos(angle), math.sin(angle)

    def both(kernel):
        far_x, far_y = u - x, v - y
        turned_x, turned_y = cos * far_x - sin * far_y, sin * far_x + cos * far_y
        return (kernel(x) * kernel(y) * kernel(turned_x) * kernel(turned_y)).sum()

    return both(np.sinc) * both(lambda t: np.sinc(t / 3) * (np.abs(t) < 3))


def test_the_turning_filter_matches_its_slow_twin():
    taps = turning_filter(0.7, 4)
    centre = slow_filter(0.7, 0, 0)
    for i, j in ((23, 24), (20, 27), (30, 23), (18, 18)):
        slow = slow_filter(0.7, (j - 23) / 4, (i - 23) / 4) / centre
        fast = float(taps[i, j] / taps[23, 23])
        assert fast == pytest.approx(slow, abs=2e-3)  # phases are normalized one by one
    phases = torch.nn.functional.pad(taps, (1, 0, 1, 0)).reshape(12, 4, 12, 4).sum((0, 2))
    assert torch.allclose(phases, torch.full_like(phases, 1 / 16), atol=1e-12)


def slow_shift(image, right, down):
    """Each pixel as a sum over 36 neighbours, NaN where one lies outside."""
    side = len(image)
    result = np.full_like(image, np.nan)

    def taps(at):
        near = math.floor(at) + np.arange(-2, 4)
        weight = np.sinc(at - near) * np.sinc((at - near) / 3)
        return near, weight / weight.sum()

    for i in range(side):
        for j in range(side):
            (rows, tall), (columns, wide) = taps(i - down), taps(j - right)
            if (
                rows.min() >= 0
                and rows.max() < side
                and columns.min() >= 0
                and columns.max() < side
            ):
                result[i, j] = tall @ image[np.ix_(rows, columns)] @ wide
    return result


@given(right=st.floats(-4, 4), down=st.floats(-4, 4))
@settings(max_examples=15)
def test_a_fractional_shift_matches_its_slow_twin(right, down):
    images = scene(3, 0.5, side=12)[:, :1]
    moved, mask = shift_fraction(images, right, down)
    slow = slow_shift(images[0, 0].numpy(), right, down)
    ours, inside, known = moved[0, 0].numpy(), mask.numpy(), np.isfinite(slow)
    both = inside & known
    assert np.allclose(ours[both], slow[both], atol=1e-10)
    if all(
        1e-6 < to % 1 < 1 - 1e-6 for to in (right, down)
    ):  # at whole shifts the sixth tap weighs 0, and either side will do
        assert np.array_equal(inside, known)


def test_whole_shifts_agree_with_fractional_ones():
    images = scene(1, 0.5)
    one, mask = shift_whole(images, 3, -2)
    two, narrow = shift_fraction(images, 3.0, -2.0)
    assert torch.allclose(one[..., narrow], two[..., narrow], atol=1e-12)
    assert torch.equal(one[..., 0:38, 3:], images[..., 2:40, :37])
    assert int(mask.sum()) == 37 * 38
    assert bool((mask | ~narrow).all())


def test_a_turn_by_nothing_keeps_the_image():
    images = scene(1, 0.3)
    same, mask = turn(images, 0.0)
    assert decibels(same - images, mask) > 100


BAD = [
    (lambda: translation_equivariance(drawn(), []), "latents is empty"),
    (lambda: translation_equivariance(drawn(), SEEDS, shift=0.5), "shift = 0.5: must be"),
    (lambda: rotation_equivariance(turned(), SEEDS, turn_by=2), "turn_by = 2: must be"),
    (lambda: rotation_equivariance(turned(), SEEDS, limiter="exakt"), "did you mean 'exact'"),
    (lambda: rotation_equivariance(lambda z, a: scene(z, 0.1, side=10), SEEDS), "leave none"),
    (lambda: translation_equivariance(lambda z, t: scene(z, 0.1)[0], SEEDS), r"\(N, C, H, W\)"),
    (lambda: translation_equivariance(lambda z, t: scene(z, math.nan), SEEDS), "image 0 holds NaN"),
    (
        lambda: translation_equivariance(
            lambda z, t: scene(z, 0.1, side=16 + 2 * (t != (0.0, 0.0))), SEEDS
        ),
        "must agree",
    ),
]


@pytest.mark.parametrize(("call", "said"), BAD)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
