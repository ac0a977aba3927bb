"""Change, flicker and warping error of videos whose motion is known."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics.temporal import (
    change_values,
    flicker,
    flicker_values,
    frame_change,
    visible_pixels,
    warping_error,
)
from equipoise.metrics.warps import warp_back

UNIT = (0.0, 1.0)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fading(slopes, frames=4):
    """Videos of one flat colour that grows by a slope each frame."""
    t = torch.arange(frames, dtype=torch.float64)
    return (
        (torch.tensor(slopes)[:, None] * t)
        .view(len(slopes), frames, 1, 1, 1)
        .expand(-1, -1, 3, 4, 4)
    )


def sliding(step, n=2, frames=4, side=12):
    wide = noise(n, 1, side, side + step * frames)
    each = [wide[..., step * (frames - t) :][..., :side] for t in range(frames)]
    return torch.stack(each, dim=1)  # content moves right by `step` a frame


def flow_of(step, n=2, frames=4, side=12):
    flow = torch.zeros(n, frames - 1, 2, side, side, dtype=torch.float64)
    flow[:, :, 0] = step
    return flow


def test_a_fade_matches_the_closed_form():
    slopes = [0.1, 0.2]
    assert change_values(fading(slopes), UNIT).tolist() == pytest.approx(slopes)
    assert flicker_values(fading(slopes), UNIT).tolist() == pytest.approx([0, 0], abs=1e-12)
    measure = frame_change(fading([0.1, 0.1]), fading(slopes), data_range=UNIT)
    assert measure.value == pytest.approx(1.5)
    assert measure.parts["wasserstein"] == pytest.approx(0.05)
    # se of the fakes' mean is .05, of the reals' 0: .05 / .1
    assert measure.error == pytest.approx(0.5)
    # the other way round: ratio 2, and 2 * .05 / .15
    other = frame_change(fading(slopes), fading([0.3, 0.3]), data_range=UNIT)
    assert (other.value, other.error) == (pytest.approx(2), pytest.approx(2 / 3))


def test_frames_that_alternate_match_the_closed_form():
    blink = torch.zeros(1, 5, 1, 2, 2)
    blink[:, 1::2] = 0.3
    assert flicker_values(blink, UNIT).item() == pytest.approx(0.6)
    assert change_values(blink, UNIT).item() == pytest.approx(0.3)


def test_same_videos_score_one_frozen_ones_zero_and_trembling_ones_above():
    reals = sliding(1, n=6)
    assert frame_change(reals, reals, data_range=UNIT).value == 1
    frozen = reals[:, :1].expand_as(reals)
    assert frame_change(reals, frozen, data_range=UNIT).value == 0
    smooth = fading([0.05, 0.06, 0.07])
    shaky = (smooth + 0.1 * (noise(*smooth.shape) - 0.5)).clamp(0, 1)
    assert flicker(smooth + 0.01 * noise(*smooth.shape), shaky, data_range=UNIT).value > 5


@given(seed=st.integers(0, 10**6), low=st.floats(-5, 5), width=st.floats(0.1, 300))
@settings(max_examples=15)
def test_the_range_alone_sets_the_scale(seed, low, width):
    videos = noise(2, 3, 1, 3, 3, seed=seed)
    moved = videos * width + low
    base = change_values(videos, UNIT)
    assert torch.allclose(change_values(moved, (low, low + width)), base, atol=1e-9)
    assert torch.allclose(change_values(videos.flip(1), UNIT), base)


def test_features_are_taken_frame_by_frame():
    videos = noise(2, 5, 3, 4, 4)
    means = lambda frames: frames.mean(dim=(2, 3))  # noqa: E731 - one line says it
    value = change_values(videos, UNIT, means)
    slow = []
    for video in videos:
        f = [frame.mean(dim=(1, 2)) for frame in video]
        gaps = [float((b - a).norm()) for a, b in itertools.pairwise(f)]
        slow.append(sum(gaps) / 4 / math.sqrt(3))
    assert value.tolist() == pytest.approx(slow)
    measure = frame_change(videos, videos, data_range=UNIT, features=means, features_name="colour")
    assert measure.name == "frame_change_colour"


@pytest.mark.parametrize("step", [1, 2])
def test_known_motion_explains_a_sliding_picture_and_wrong_motion_does_not(step):
    videos = sliding(step)
    assert warping_error(videos, flow_of(step), data_range=UNIT).value == pytest.approx(
        0, abs=1e-20
    )
    # white noise against itself moved: twice the variance of U(0, 1)
    wrong = warping_error(sliding(step, n=20), flow_of(0, n=20), data_range=UNIT)
    assert wrong.value == pytest.approx(1 / 6, rel=0.05)
    assert wrong.low < 1 / 6 < wrong.high


def test_half_a_pixel_is_bilinear():
    ramp = (torch.arange(8.0) / 10).expand(1, 2, 1, 8, 8).clone()
    ramp[:, 1] += 0.1
    flow = torch.full((1, 1, 2, 8, 8), 0.0)
    flow[:, :, 0] = -0.5
    assert warping_error(ramp, flow, data_range=(0, 1)).value == pytest.approx(0.0025)


def test_hidden_pixels_do_not_count():
    videos = sliding(1)
    spoiled = videos.clone()
    spoiled[:, :, :, 2:4, 5:9] = noise(2, 4, 1, 2, 4, seed=9)
    visible = torch.ones(2, 3, 12, 12, dtype=torch.bool)
    visible[:, :, 2:4, 4:9] = False
    free = warping_error(spoiled, flow_of(1), data_range=UNIT)
    masked = warping_error(spoiled, flow_of(1), data_range=UNIT, visible=visible)
    assert free.value > 0.001
    assert masked.value == pytest.approx(0, abs=1e-20)
    visible[0, 1] = False
    one_less = warping_error(spoiled, flow_of(1), data_range=UNIT, visible=visible)
    assert one_less.warnings == ("1 of 6 pairs of frames have no visible pixel: left out",)
    visible[1] = False
    with pytest.raises(ValueError, match="video 1 has no visible pixel"):
        warping_error(spoiled, flow_of(1), data_range=UNIT, visible=visible)


def test_pixels_that_leave_the_frame_are_masked():
    image = noise(1, 1, 6, 6)
    _, inside = warp_back(image, torch.full((1, 2, 6, 6), 1.0, dtype=torch.float64))
    assert int(inside.sum()) == 25
    assert not inside[0, 5].any()


def test_visible_is_where_both_flows_agree():
    there, back = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    there[:, 0], back[:, 0] = 1.0, -1.0
    assert int(visible_pixels(there, back).sum()) == 56  # the last column leaves
    back[0, 0, 3, 4] = 1.0  # |2|^2 > .01 * 2 + .5
    seen = visible_pixels(there, back)
    assert not seen[0, 3, 3]
    assert int(seen.sum()) == 55


V = noise(2, 4, 3, 6, 6)
BAD = [
    (lambda: frame_change(V, V[:, :, :1], data_range=UNIT), "grayscale against colour"),
    (lambda: frame_change(V, V[..., :5], data_range=UNIT), "resize or crop both alike"),
    (lambda: frame_change(V, V[:, :1], data_range=UNIT), "fake has 1 frames.* at least 2"),
    (lambda: flicker(V[:, :2], V, data_range=UNIT), "real has 2 frames.* at least 3"),
    (lambda: frame_change(0 * V, V, data_range=UNIT), "no video changes at all"),
    (lambda: frame_change(V, 9 * V, data_range=UNIT), "fake: video 0 spans"),
    (lambda: frame_change(V[0], V, data_range=UNIT), r"must be \(N, T, C, H, W\)"),
    (
        lambda: frame_change(V, V, data_range=UNIT, features=lambda f: f * math.nan),
        "features of video 0",
    ),
    (lambda: warping_error(V, torch.zeros(2, 4, 2, 6, 6), data_range=UNIT), r"\(2, 3, 2, 6, 6\)"),
    (
        lambda: warping_error(
            V, torch.zeros(2, 3, 2, 6, 6), data_range=UNIT, visible=torch.ones(2, 3, 6)
        ),
        "visible has shape",
    ),
    (
        lambda: warping_error(V * math.nan, torch.zeros(2, 3, 2, 6, 6), data_range=UNIT),
        "videos: video 0 holds NaN",
    ),
]


@pytest.mark.parametrize(("call", "said"), BAD)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
