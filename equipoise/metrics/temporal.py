"""Videos in time: how much frames change, flicker, and what a given motion does not explain."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from equipoise.metrics.averages import mean_measure, ratio_of_means
from equipoise.metrics.images import Images, Range, checked_batch, from_zero, same_shape
from equipoise.metrics.measure import Measure
from equipoise.metrics.sliced import wasserstein_powers
from equipoise.metrics.warps import warp_back

FrameFeatures = Callable[[Tensor], Tensor]
AGREE, SLACK = 0.01, 0.5  # of forward and backward flow, see `visible_pixels`


def frame_change(
    real: Images,
    fake: Images,
    *,
    data_range: Range,
    features: FrameFeatures | None = None,
    features_name: str = "pixels",
) -> Measure:
    """How much fake videos change from frame to frame, as a share of how much reals do; 1 is right.

    change of a video = mean_t |f(x_{t+1}) - f(x_t)| / sqrt(d), f the pixels (in [0, 1]) or
    `features` of each frame; value = mean change of fakes / that of reals. Below 1 videos freeze,
    above 1 they rush or flicker. It knows no motion: a fake that moves as much in the wrong way
    scores 1. parts: both means, and "wasserstein", W_1 between the changes of the two sets.
    error: over videos of both sets, by the delta method.

    Args:
        real, fake: (N, T, C, H, W), T >= 2; N, T may differ, the frame rate may not.
        features: images (n, C, H, W) -> (n, ...).

    Raises:
        ValueError: shapes, values or range as `image_batch`; reals that do not change.
    """
    x, y = _two_sets(real, fake, data_range, 2)
    above, below = (change_values(v, data_range, features) for v in (y, x))
    return _against_reals(f"frame_change_{features_name}", above, below, data_range, features_name)


def flicker(
    real: Images,
    fake: Images,
    *,
    data_range: Range,
    features: FrameFeatures | None = None,
    features_name: str = "pixels",
) -> Measure:
    """How much fake videos flicker, as a share of how much reals do; 1 is right.

    flicker of a video = mean_t |f(x_{t+1}) - 2 f(x_t) + f(x_{t-1})| / sqrt(d): the second
    difference, 0 for a steady fade, 2 |b - a| / sqrt(d) where frames alternate (a, b, a, b). Abrupt
    motion counts too, hence the reals beside it.
    Else as `frame_change`, T >= 3.
    """
    x, y = _two_sets(real, fake, data_range, 3)
    above, below = (flicker_values(v, data_range, features) for v in (y, x))
    return _against_reals(f"flicker_{features_name}", above, below, data_range, features_name)


def change_values(
    videos: Tensor, data_range: Range, features: FrameFeatures | None = None
) -> Tensor:
    """The change of each video (N,), see `frame_change`."""
    return _mean_length(videos, data_range, features, order=1)


def flicker_values(
    videos: Tensor, data_range: Range, features: FrameFeatures | None = None
) -> Tensor:
    """The flicker of each video (N,), see `flicker`."""
    return _mean_length(videos, data_range, features, order=2)


def warping_error(
    videos: Images, flow: Images, *, data_range: Range, visible: Tensor | None = None
) -> Measure:
    """Mean squared error of each next frame, brought back by the flow, against this one; 0 is best.

    E = mean over videos and t of sum_m (x_{t+1}(p + flow_t(p)) - x_t(p))^2 / sum m, pixels in
    [0, 1] by `data_range`, p over pixels that are `visible` in both frames and stay in view;
    bilinear. A pair of frames with no such pixel is left out, and it is said. The flow is the
    caller's, and so are its errors; a frozen video with zero flow scores 0.
    error: standard error over videos.

    Args:
        videos: (N, T, C, H, W). flow: (N, T - 1, 2, H, W), pixels right and down from t to t + 1.
        visible: bool (N, T - 1, H, W), from `visible_pixels` or a dataset.

    Raises:
        ValueError: shapes that do not fit, NaN, values outside the range, no pixel at all.

    Source: Lai et al., ECCV 2018, arXiv 1808.00449, the warping error of section 4.
    """
    x = checked_batch(videos, "videos", "NTCHW", data_range, item="video")
    motion = checked_batch(flow, "flow", "NTCHW", item="video")
    n, frames, _, height, width = x.shape
    wanted = (n, frames - 1, 2, height, width)
    if tuple(motion.shape) != wanted:
        raise ValueError(
            f"flow has shape {tuple(motion.shape)} for videos {tuple(x.shape)}: must be {wanted},"
            " pixels right and down from each frame to the next"
        )
    if visible is not None and tuple(visible.shape) != (n, frames - 1, height, width):
        raise ValueError(
            f"visible has shape {tuple(visible.shape)}: must be {(n, frames - 1, height, width)},"
            " true where a pixel is seen in both frames"
        )
    each, skipped = [], 0
    for i in range(n):
        mask = None if visible is None else visible[i].cpu().bool()
        errors = _pair_errors(from_zero(x[i], data_range), motion[i].cpu().double(), mask)
        skipped += int(errors.isnan().sum())
        each.append(errors.nanmean())
    values = torch.stack(each)
    lost = values.isnan().nonzero()
    if len(lost):
        raise ValueError(
            f"videos: video {int(lost[0])} has no visible pixel in any pair of frames; mend the"
            " flow or its mask, or leave the video out"
        )
    said = f"{skipped} of {n * (frames - 1)} pairs of frames have no visible pixel: left out"
    return mean_measure(
        "warping_error",
        values,
        convention={"data_range": data_range, "pixels": "0-1", "masked": visible is not None},
        warnings=(said,) if skipped else (),
    )


def visible_pixels(forward: Tensor, backward: Tensor) -> Tensor:
    """Pixels seen in both frames, by flow (N, 2, H, W) there and back: bool (N, H, W).

    Occluded where |w + w'|^2 > .01 (|w|^2 + |w'|^2) + .5, w' the backward flow read at p + w(p).

    Source: Sundaram et al., ECCV 2010, as Lai et al. 2018 use it.
    """
    same_shape(forward, backward, "forward and backward")
    back, inside = warp_back(backward.double(), forward.double())
    there = forward.double()
    gap = (there + back).square().sum(dim=1)
    size = there.square().sum(dim=1) + back.square().sum(dim=1)
    return inside & (gap <= AGREE * size + SLACK)


def _two_sets(real: Images, fake: Images, data_range: Range, frames: int) -> tuple[Tensor, Tensor]:
    x = checked_batch(real, "real", "NTCHW", data_range, item="video")
    y = checked_batch(fake, "fake", "NTCHW", data_range, item="video")
    for name, videos in (("real", x), ("fake", y)):
        if videos.shape[1] < frames:
            raise ValueError(
                f"{name} has {videos.shape[1]} frames a video: must be at least {frames}; give"
                " longer videos (N, T, C, H, W)"
            )
    same_shape(x, y, "real and fake", from_axis=2)
    return x, y


def _mean_length(
    videos: Tensor, data_range: Range, features: FrameFeatures | None, order: int
) -> Tensor:
    values = []
    for video in videos:
        frames = from_zero(video, data_range)
        if features is not None:
            with torch.no_grad():
                frames = features(video).detach().cpu().double()
        flat = frames.flatten(1)
        step = flat.diff(n=order, dim=0)
        values.append(step.norm(dim=1).mean() / math.sqrt(flat.shape[1]))
    result = torch.stack(values)
    if not torch.isfinite(result).all():
        index = int((~torch.isfinite(result)).nonzero()[0])
        raise ValueError(f"features of video {index} hold NaN or infinity; mend the network first")
    return result


def _against_reals(
    name: str, fake: Tensor, real: Tensor, data_range: Range, features_name: str
) -> Measure:
    if float(real.mean()) == 0:
        raise ValueError("real: no video changes at all, so there is no measure; give moving reals")
    apart = float(wasserstein_powers(real[None], fake[None], 1))
    return ratio_of_means(
        name,
        fake,
        real,
        convention={"features": features_name, "data_range": data_range},
        parts={"wasserstein": apart},
    )


def _pair_errors(video: Tensor, flow: Tensor, visible: Tensor | None) -> Tensor:
    """MSE of each pair of frames (T - 1,), NaN where no pixel counts."""
    back, inside = warp_back(video[1:], flow)
    mask = inside if visible is None else inside & visible
    squared = (back - video[:-1]).square().mean(dim=1)
    return (squared * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))
