import pytest
import torch

from equipoise.data.augment import augment, augmented, draws
from equipoise.errors import DataError

IMAGES = torch.rand(40, 3, 6, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def generator():
    return torch.Generator().manual_seed(1)


def test_with_all_off_nothing_changes():
    assert torch.equal(augment(IMAGES, generator()), IMAGES)


def test_flip_mirrors_about_half_and_leaves_the_rest():
    out = augment(IMAGES, generator(), flip=True)
    mirrored = (out == IMAGES.flip(3)).flatten(1).all(dim=1)
    kept = (out == IMAGES).flatten(1).all(dim=1)
    assert (mirrored ^ kept).all()
    assert 8 <= int(mirrored.sum()) <= 32


def test_crop_is_the_slow_window_of_the_reflected_image():
    uniforms = draws(generator(), 40)
    out = augmented(IMAGES, uniforms, crop=2)
    padded = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2), mode="reflect")
    for i in range(40):
        top, left = int(uniforms[i, 1] * 5), int(uniforms[i, 2] * 5)
        assert torch.equal(out[i], padded[i, :, top : top + 6, left : left + 8])


def test_every_offset_of_the_crop_occurs():
    offsets = (draws(generator(), 400)[:, 1] * 3).long()
    assert set(offsets.tolist()) == {0, 1, 2}


def test_color_is_the_documented_formula_within_its_bounds():
    uniforms = draws(generator(), 40)
    out = augmented(IMAGES * 0.5, uniforms, color=0.2)
    for image, changed, u in zip(IMAGES * 0.5, out, uniforms, strict=True):
        b, a = 0.2 * (2 * u[3] - 1), 0.2 * (2 * u[4] - 1)
        expected = (image - image.mean()) * (1 + a) + image.mean() + b
        assert torch.allclose(changed, expected.clamp(-1, 1), atol=1e-6)
    assert augmented(IMAGES, uniforms, color=1.0).abs().max() <= 1


def test_one_change_does_not_move_the_draws_of_another():
    uniforms = draws(generator(), 40)
    both = augmented(IMAGES, uniforms, flip=True, crop=1)
    flipped = augmented(IMAGES, uniforms, flip=True)
    assert torch.equal(both, augmented(flipped, uniforms, crop=1))


def test_a_border_wider_than_the_image_is_refused():
    with pytest.raises(DataError, match=r"crop = 6: must be below the image side of 6"):
        augment(IMAGES, generator(), crop=6)
