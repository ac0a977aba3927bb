import math

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise.features.resize import RESIZES, center_crop

generator = torch.Generator().manual_seed(3)
LEVELS = torch.randint(0, 256, (2, 3, 23, 31), generator=generator, dtype=torch.uint8).float()
SIZES = [7, 23, 40]


def triangle(x):
    return max(0.0, 1 - abs(x))


def cubic(a):
    def kernel(x):
        x = abs(x)
        if x < 1:
            return ((a + 2) * x - (a + 3)) * x * x + 1
        return a * (((x - 5) * x + 8) * x - 4) if x < 2 else 0.0

    return kernel


def antialiased(length, size, kernel, support):
    """Rows of weights (size, length): the kernel, widened by the ratio, normalized."""
    ratio = length / size
    widen = max(ratio, 1.0)
    weights = np.zeros((size, length))
    for i in range(size):
        centre = (i + 0.5) * ratio
        low = max(0, int(centre - support * widen + 0.5))
        high = min(length, int(centre + support * widen + 0.5))
        for j in range(low, high):
            weights[i, j] = kernel((j + 0.5 - centre) / widen)
        weights[i] /= weights[i].sum()
    return weights


def two_taps(length, size, half_pixel):
    """Rows of weights (size, length) of plain bilinear sampling."""
    weights = np.zeros((size, length))
    for i in range(size):
        place = (i + 0.5) * length / size - 0.5 if half_pixel else i * length / size
        place = min(max(place, 0.0), length - 1)
        low = math.floor(place)
        weights[i, low] += 1 - (place - low)
        weights[i, min(low + 1, length - 1)] += place - low
    return weights


DEFINITIONS = {
    "tf1_bilinear": lambda length, size: two_taps(length, size, half_pixel=False),
    "torch_bilinear": lambda length, size: two_taps(length, size, half_pixel=True),
    "torch_bilinear_antialias": lambda length, size: antialiased(length, size, triangle, 1),
    "torch_bicubic_antialias": lambda length, size: antialiased(length, size, cubic(-0.5), 2),
    "clean": lambda length, size: antialiased(length, size, cubic(-0.5), 2),
}


def by_definition(name, images, size):
    rows = torch.from_numpy(DEFINITIONS[name](images.shape[2], size))
    columns = torch.from_numpy(DEFINITIONS[name](images.shape[3], size))
    return rows @ images.double() @ columns.T


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_each_resize_is_its_definition(name, size):
    expected = by_definition(name, LEVELS, size)
    if name == "clean":
        expected = expected.clamp(0, 255)
    found = RESIZES[name](LEVELS, size)
    assert found.dtype == torch.float32
    assert found.shape == (2, 3, size, size)
    assert (found - expected).abs().max() < 2e-3  # of 255: float32, and the kernels' tables


def test_clean_clips_and_does_not_round():
    steps = torch.tensor([0.0, 255.0]).repeat_interleave(8).expand(1, 1, 16, 16)
    found = RESIZES["clean"](steps, 23)
    free = RESIZES["torch_bicubic_antialias"](steps, 23)
    assert free.min() < -1
    assert free.max() > 256
    assert (found.min(), found.max()) == (0, 255)
    assert (found != found.round()).any()


@pytest.mark.parametrize("size", SIZES)
def test_pil_bicubic_is_pillow_on_8_bit_colour_images(size):
    found = RESIZES["pil_bicubic"](LEVELS, size)
    for image, one in zip(LEVELS, found, strict=True):
        colour = Image.fromarray(image.permute(1, 2, 0).to(torch.uint8).numpy())
        expected = np.asarray(colour.resize((size, size), Image.Resampling.BICUBIC))
        assert np.array_equal(one.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("name", RESIZES)
def test_an_image_of_that_size_stays(name):
    square = LEVELS[..., :23]
    assert torch.equal(RESIZES[name](square, 23), square)


@pytest.mark.parametrize("name", RESIZES)
def test_a_level_image_stays_level(name):
    assert torch.allclose(RESIZES[name](torch.full((1, 2, 9, 14), 93.0), 12), torch.tensor(93.0))


def test_no_two_ways_agree_but_the_two_bicubics_before_they_clip():
    found = {name: resize(LEVELS, 9) for name, resize in RESIZES.items()}
    same = {
        frozenset((one, other))
        for one in found
        for other in found
        if one != other and (found[one] - found[other]).abs().max() < 0.1
    }
    assert same == {frozenset(("clean", "torch_bicubic_antialias"))}


def test_tf1_reads_the_source_at_multiples_of_the_ratio():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    assert RESIZES["tf1_bilinear"](ramp, 4)[0, 0, 0].tolist() == [0, 2, 4, 6]
    assert RESIZES["torch_bilinear"](ramp, 4)[0, 0, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    assert RESIZES["tf1_bilinear"](ramp, 16)[0, 0, 0, -3:].tolist() == [6.5, 7, 7]


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((5, 8), (0, 5), (1, 6)), ((9, 4), (2, 6), (0, 4))]
)
def test_the_crop_is_the_middle_square(shape, rows, columns):
    image = torch.arange(float(shape[0] * shape[1])).view(1, 1, *shape)
    assert torch.equal(center_crop(image), image[:, :, slice(*rows), slice(*columns)])
