"""Features that need no weights: for tests, small images, and machines without a network.

Numbers taken in them rank images of one data set against one another. They compare with nothing
published, and their name says so: "frechet_random_conv_v1" is not FID. What is drawn is drawn from
numpy's frozen `RandomState`, so that a version means the same numbers everywhere.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.errors import DataError
from equipoise.features.digits import FEATURES, SHA256, digit_features
from equipoise.features.extractor import Extractor
from equipoise.features.images import AS_GIVEN, Preprocess

CONV_SIZE = 64  # pixels to which random_conv_v1 resizes
CONV_WIDTHS = (16, 32, 32, 32)
CONV_DIM = 320
PATCH = 5  # pixels
FILTERS = 24
LEVELS = 4  # octaves at most
AVERAGED = 8  # pixels per side of the "pixels" features


class RandomConv(nn.Module):
    """A fixed, untrained convolutional network: (N, 3, 64, 64) in [-1, 1] -> (N, 320).

    Four stages of a 3 x 3 convolution (reflected borders; 16, 32, 32, 32 channels), ReLU, and
    halving by the mean. Of each stage's map before halving the mean and the standard deviation per
    channel are features, of the last the means of its four quarters instead of the mean: colour and
    texture at four scales, and a little of the layout.

    The filters of a stage are orthonormal, times sqrt(2) for what ReLU takes away; seven in eight
    have zero mean over each input channel, without which brightness drowns texture (a 3 x 3 blur of
    photographs moved the Frechet distance 1.3-fold, and 10-fold with it). Biases are normal with
    deviation 0.1. Naeem et al. (2020, arXiv:2002.09797, section 5) find that an untrained network
    tells good from bad where a trained one does not know the images.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        drawn = np.random.RandomState(seed)
        before = 3
        for number, width in enumerate(CONV_WIDTHS):
            filters = drawn.standard_normal((width, before, 9))
            texture = filters[: width - width // 8]
            texture -= texture.mean(axis=2, keepdims=True)  # first in order: they stay so
            filters = np.sqrt(2) * _orthonormal_rows(filters.reshape(width, -1))
            bias = 0.1 * drawn.standard_normal(width)
            shaped = torch.from_numpy(filters.reshape(width, before, 3, 3)).float()
            self.register_buffer(f"filters{number}", shaped)
            self.register_buffer(f"bias{number}", torch.from_numpy(bias).float())
            before = width

    def forward(self, x: Tensor) -> Tensor:
        rows = []
        for number in range(len(CONV_WIDTHS)):
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            x = F.conv2d(x, self.get_buffer(f"filters{number}"), self.get_buffer(f"bias{number}"))
            x = F.relu(x)
            last = number == len(CONV_WIDTHS) - 1
            rows.append(F.adaptive_avg_pool2d(x, 2 if last else 1).flatten(1))
            rows.append(x.flatten(2).std(dim=2, correction=0))
            x = F.avg_pool2d(x, 2)
        return torch.cat(rows, dim=1)


class PatchStatistics(nn.Module):
    """Statistics of random projections of patches: (N, C, H, W) in [-1, 1] -> (N, d).

    At each of up to four octaves (halved by the mean while the smaller side stays at 8 pixels or
    more): root mean square and mean absolute value, over all 5 x 5 patches, of 24 fixed random
    projections (orthonormal, each of zero mean per channel), and mean and standard deviation of
    each channel; d = octaves * (48 + 2 C). It sees texture and colour and is blind to layout: an
    image and its mirrored quarters look nearly alike. The patches are those of the sliced
    Wasserstein distance of Karras et al. (2018), whose projections are redrawn for each set.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self._filters: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[2:]) < PATCH:
            raise DataError(
                f"images are {tuple(x.shape[2:])} pixels, and 'patches' reads patches of {PATCH} x"
                f" {PATCH}; give larger images, or use 'pixels'"
            )
        filters = self._drawn(x.shape[1]).to(x.device)
        rows = []
        for _ in range(LEVELS):
            responses = F.conv2d(x, filters).flatten(2)
            rows += [responses.pow(2).mean(dim=2).sqrt(), responses.abs().mean(dim=2)]
            values = x.flatten(2)
            rows += [values.mean(dim=2), values.std(dim=2, correction=0)]
            if min(x.shape[2:]) < 16:
                break
            x = F.avg_pool2d(x, 2)
        return torch.cat(rows, dim=1)

    def _drawn(self, channels: int) -> Tensor:
        if channels not in self._filters:
            drawn = np.random.RandomState(self.seed)
            patches = drawn.standard_normal((FILTERS, channels, PATCH * PATCH))
            patches -= patches.mean(axis=2, keepdims=True)
            flat = _orthonormal_rows(patches.reshape(FILTERS, -1))
            kernels = flat.reshape(FILTERS, channels, PATCH, PATCH)
            self._filters[channels] = torch.from_numpy(kernels).float()
        return self._filters[channels]


def averaged_pixels(images: Tensor) -> Tensor:
    """Images (N, C, H, W) averaged by area to 8 x 8, flattened to (N, d); sides below 8 stay."""
    side = (min(AVERAGED, images.shape[2]), min(AVERAGED, images.shape[3]))
    return F.adaptive_avg_pool2d(images.float(), side).flatten(1)


def flat(points: Tensor) -> Tensor:
    """Points or images (N, ...) as rows (N, d) of float32, unchanged."""
    return points.float().flatten(1)


def random_conv(*, seed: int = 0) -> Extractor:
    """The features of `RandomConv`: "random_conv_v1" (320 values), resized to 64 x 64 before.

    Args:
        seed: of the filters; another than 0 is part of the name.
    """
    name = "random_conv_v1" + (f"_seed{seed}" if seed else "")
    ready = Preprocess(resize="torch_bilinear_antialias", size=CONV_SIZE)
    return Extractor(name, RandomConv(seed).eval(), ready, CONV_DIM)


def patches(*, seed: int = 0) -> Extractor:
    """The features of `PatchStatistics`: "patches_v1", at the images' own size (5 pixels or more).

    Args:
        seed: of the projections; another than 0 is part of the name.
    """
    name = "patches_v1" + (f"_seed{seed}" if seed else "")
    return Extractor(name, PatchStatistics(seed).eval(), Preprocess(gray="keep"))


def pixels() -> Extractor:
    """Images averaged by area to at most 8 x 8 pixels, as they are given: "pixels"."""
    return Extractor("pixels", averaged_pixels, _as_given())


def identity() -> Extractor:
    """Points or images as they are, one row each: "identity"; for data of few dimensions."""
    return Extractor("identity", flat, _as_given())


def digits_cnn() -> Extractor:
    """The digit classifier's 32 features of digits (N, 1, 8, 8): "digits_cnn".

    Levels of uint8 are scaled to the [-1, 1] that it was trained on; floats are not rounded.
    """
    ready = Preprocess(quantize="none", normalize="unit", gray="keep")
    return Extractor("digits_cnn", digit_features, ready, FEATURES, SHA256)


def _as_given() -> Preprocess:
    return Preprocess(quantize="none", normalize=AS_GIVEN, gray="keep")


def _orthonormal_rows(matrix: np.ndarray) -> np.ndarray:
    """Rows made orthonormal in their order (Gram-Schmidt by QR, each sign that of the original)."""
    q, r = np.linalg.qr(matrix.T)
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T)
