"""Every augmentation against a loop over images that uses the same draws, one image at a time."""

import math
from functools import partial

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.nn import functional

from equipoise.game import (
    ADA_PARTS,
    AUGMENTATIONS,
    DIFFAUGMENT_PARTS,
    ada,
    diffaugment,
    instance_noise,
    pseudo_real,
)

N = 12
SHAPES = {"square": (8, 8), "wide": (6, 9)}


def rng():
    return torch.Generator().manual_seed(21)


def images(sides):
    return torch.rand(N, 3, *sides, generator=torch.Generator().manual_seed(3)).double() * 2 - 1


def uniforms(generator):
    """N numbers in [0, 1), as floats of Python."""
    return torch.rand(N, generator=generator).tolist()


def normals(generator):
    return torch.randn(N, generator=generator).tolist()


# --- DiffAugment: images, generator -> images -----------------------------------------------------


def color(x, generator):
    for image, b, s, c in zip(x, *(uniforms(generator) for _ in range(3)), strict=True):
        image = image + b - 0.5
        grey = (image[0] + image[1] + image[2]) / 3
        image = torch.stack([grey + 2 * s * (channel - grey) for channel in image])
        mean = sum(image.flatten().tolist()) / image.numel()
        yield mean + (c + 0.5) * (image - mean)


def translation(x, generator):
    most = [int(side / 8 + 0.5) for side in x.shape[2:]]
    down, right = ([math.floor(v * (2 * m + 1)) - m for v in uniforms(generator)] for m in most)
    for image, i, j in zip(x, down, right, strict=True):
        yield functional.pad(image, (j, -j, i, -i))  # below 0 it crops


def cutout(x, generator):
    sides = x.shape[2:]
    holes = [int(side / 2 + 0.5) for side in sides]
    starts = [
        [math.floor(v * (side + 1 - hole % 2)) - hole // 2 for v in uniforms(generator)]
        for side, hole in zip(sides, holes, strict=True)
    ]
    for image, i, j in zip(x, *starts, strict=True):
        image = image.clone()
        image[:, max(i, 0) : i + holes[0], max(j, 0) : j + holes[1]] = 0
        yield image


SLOW_DIFF = {"color": color, "translation": translation, "cutout": cutout}


# --- ADA: images, p, generator -> images ----------------------------------------------------------


def struck(p, generator):
    return [v < p for v in uniforms(generator)]


def where(x, changed, *hits):
    for image, other, *all_hit in zip(x, changed, *hits, strict=True):
        yield other if all(all_hit) else image


def flip(x, p, generator):
    half, hit = struck(0.5, generator), struck(p, generator)
    return where(x, [image.flip(2) for image in x], half, hit)


def rotate90(x, p, generator):
    turns = [math.floor(4 * v) for v in uniforms(generator)]
    if x.shape[2] != x.shape[3]:
        turns = [2 * (k % 2) for k in turns]
    turned = [torch.rot90(image, k, (1, 2)) for image, k in zip(x, turns, strict=True)]
    return where(x, turned, struck(p, generator))


def shift(x, p, generator):
    hit = struck(p, generator)
    steps = [[round((2 * v - 1) * side / 8) for v in uniforms(generator)] for side in x.shape[2:]]
    moved = []
    for image, i, j in zip(x, *steps, strict=True):
        wide = functional.pad(image, (max(j, 0), max(-j, 0), max(i, 0), max(-i, 0)), "reflect")
        height, width = image.shape[1:]
        top, left = max(-i, 0), max(-j, 0)
        moved.append(wide[:, top : top + height, left : left + width])
    return where(x, moved, hit)


def warped(image, factor, angle):
    """torch's own sampling: out(c) = image(factor R(angle) c)."""
    height, width = (side - 1 for side in image.shape[1:])
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    theta = [[[cos, sin * height / width, 0.0], [-sin * width / height, cos, 0.0]]]
    grid = functional.affine_grid(
        torch.tensor(theta, dtype=image.dtype), [1, *image.shape], align_corners=True
    )
    return functional.grid_sample(
        image[None], grid, "bilinear", padding_mode="reflection", align_corners=True
    )[0]


def scale(x, p, generator):
    factors = [2 ** (0.2 * v) for v in normals(generator)]
    changed = [warped(image, 1 / f, 0.0) for image, f in zip(x, factors, strict=True)]
    return where(x, changed, struck(p, generator))


def rotation(x, p, generator):
    angles = [math.pi * (2 * v - 1) for v in uniforms(generator)]
    changed = [warped(image, 1.0, angle) for image, angle in zip(x, angles, strict=True)]
    return where(x, changed, struck(p, generator))


GREY = torch.full((3, 3), 1 / 3, dtype=torch.float64)  # v v', v = (1, 1, 1) / sqrt 3
EYE = torch.eye(3, dtype=torch.float64)


def recoloured(matrix, draw, x, p, generator, add=0.0):
    """Every pixel's colour times a matrix, as in the paper's appendix B."""
    changed = [
        torch.einsum("ij,jhw->ihw", matrix(v), image) + add * v
        for v, image in zip(draw(generator), x, strict=True)
    ]
    return where(x, changed, struck(p, generator))


def luma_flip(x, p, generator):
    half = struck(0.5, generator)
    changed = [torch.einsum("ij,jhw->ihw", EYE - 2 * GREY, image) for image in x]
    return where(x, changed, half, struck(p, generator))


def hue_matrix(v):
    axis = [math.pi * (2 * v - 1) / math.sqrt(3)] * 3
    return torch.from_numpy(Rotation.from_rotvec(axis).as_matrix())


SLOW_ADA = {
    "flip": flip,
    "rotate90": rotate90,
    "translation": shift,
    "scale": scale,
    "rotation": rotation,
    "brightness": partial(recoloured, lambda v: EYE, normals, add=0.2),
    "contrast": partial(recoloured, lambda v: EYE * 2 ** (0.5 * v), normals),
    "luma_flip": luma_flip,
    "hue": partial(recoloured, hue_matrix, uniforms),
    "saturation": partial(recoloured, lambda v: GREY + (EYE - GREY) * 2**v, normals),
}


def test_every_part_has_a_slow_twin():
    assert set(SLOW_DIFF) == set(DIFFAUGMENT_PARTS)
    assert set(SLOW_ADA) == set(ADA_PARTS)
    assert set(AUGMENTATIONS) == {"diffaugment", "ada"}


shapes = pytest.mark.parametrize("sides", SHAPES.values(), ids=SHAPES)


@shapes
@pytest.mark.parametrize("part", SLOW_DIFF)
def test_diffaugments_parts_are_a_loop_over_images(part, sides):
    x = images(sides)
    found, expected = diffaugment(x, rng(), part), torch.stack([*SLOW_DIFF[part](x, rng())])
    assert (found != x).any()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@shapes
@pytest.mark.parametrize("p", [0.5, 1.0])
@pytest.mark.parametrize("part", SLOW_ADA)
def test_adas_parts_are_a_loop_over_images(part, p, sides):
    x = images(sides)
    found, expected = ada(x, p, rng(), part), torch.stack([*SLOW_ADA[part](x, p, rng())])
    touched = (found != x).flatten(1).any(1)
    assert touched.any()
    assert p == 1 or not touched.all()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@shapes
def test_policies_are_their_parts_in_order_on_one_stream_of_draws(sides):
    x, noise = images(sides), rng()
    slow = x
    for part in DIFFAUGMENT_PARTS:
        slow = torch.stack([*SLOW_DIFF[part](slow, noise)])
    torch.testing.assert_close(AUGMENTATIONS["diffaugment"](x, rng()), slow, rtol=1e-6, atol=1e-6)
    slow, noise = x, rng()
    for part in ADA_PARTS:
        slow = torch.stack([*SLOW_ADA[part](slow, 0.7, noise)])
    found = AUGMENTATIONS["ada"](x, 0.7, rng())
    torch.testing.assert_close(found, slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_pseudo_reals_are_a_loop_over_rows(p):
    real, fake = images((2, 2)), -images((2, 2)) + 5
    rows = [fake[i] if hit else real[i] for i, hit in enumerate(struck(p, rng()))]
    assert torch.equal(pseudo_real(real, fake, p, rng()), torch.stack(rows))


def test_instance_noise_is_a_draw_for_each_number():
    x = images((2, 2))
    noise = torch.randn(x.shape, generator=rng(), dtype=x.dtype)
    by_hand = [a + 0.3 * b for a, b in zip(x.flatten(), noise.flatten(), strict=True)]
    assert torch.equal(instance_noise(x, 0.3, rng()).flatten(), torch.stack(by_hand))
