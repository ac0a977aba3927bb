import functools

import pytest
import torch
import torch.nn.functional as F
from planted import picture

from equipoise.data.digits import digits, labels
from equipoise.errors import DataError
from equipoise.features import digit_features, extractor
from equipoise.features.weightless import CONV_WIDTHS, PatchStatistics, RandomConv
from equipoise.metrics.frechet import frechet_distance, moments

# Version 1: these numbers never change. Another network is another version.
GOLDEN = {
    "random_conv": [
        [0.15801, 0.05194, 0.07342, 0.0587, 0.08935, 0.0, 0.05416, 0.32554],
        [0.19769, 0.09603, 0.11192, 0.10094, 0.06641, 0.00052, 0.03536, 0.43597],
    ],
    "patches": [
        [0.28981, 0.30853, 0.58464],
        [0.37266, 0.46761, 0.30792],
    ],
}


@functools.cache
def halves():
    order = torch.randperm(len(digits()), generator=torch.Generator().manual_seed(0))
    return digits()[order[:300]], digits()[order[300:600]], labels()[order[300:600]]


@pytest.mark.parametrize("name", GOLDEN)
def test_a_version_keeps_its_numbers(name):
    rows = extractor(name)(picture(24))
    assert extractor(name).name == f"{name}_v1"
    assert torch.allclose(rows[:, ::40], torch.tensor(GOLDEN[name]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", GOLDEN)
def test_another_seed_is_another_name_and_other_numbers(name):
    one, other = extractor(name), extractor(name, seed=7)
    assert other.name == f"{name}_v1_seed7"
    assert not torch.allclose(one(picture(24)), other(picture(24)), atol=1e-2)


def test_filters_are_orthonormal_and_most_are_blind_to_brightness():
    network = RandomConv()
    for number, width in enumerate(CONV_WIDTHS):
        filters = network.get_buffer(f"filters{number}").double()
        flat = filters.flatten(1)
        assert torch.allclose(flat @ flat.T, 2 * torch.eye(width).double(), atol=1e-5)
        sums = filters.sum(dim=(2, 3)).abs().amax(dim=1)
        assert (sums < 1e-5).sum() == width - width // 8


def test_random_conv_by_hand():
    network, image = RandomConv(), picture(64).float() / 127.5 - 1
    rows, x = [], image
    for number in range(4):
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.conv2d(x, network.get_buffer(f"filters{number}"), network.get_buffer(f"bias{number}"))
        x = x.clamp_min(0)
        half = x.shape[2] // 2
        quarters = [x[:, :, a : a + half, b : b + half] for a in (0, half) for b in (0, half)]
        means = torch.stack([q.mean(dim=(2, 3)) for q in quarters], dim=2).flatten(1)
        rows.append(means if number == 3 else x.mean(dim=(2, 3)))
        rows.append(x.var(dim=(2, 3), correction=0).sqrt())
        x = x.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    expected = torch.cat(rows, dim=1)
    assert expected.shape == (2, 320)
    assert torch.allclose(network(image), expected, atol=1e-5)


def test_patch_statistics_by_hand():
    network, x = PatchStatistics(), picture(20).float() / 127.5 - 1
    filters = network._drawn(3).flatten(1)
    assert torch.allclose(filters @ filters.T, torch.eye(24), atol=1e-5)
    rows = []
    for octave in (x, F.avg_pool2d(x, 2)):  # 20 and 10 pixels; 5 is below 8
        patches = octave.unfold(2, 5, 1).unfold(3, 5, 1).permute(0, 2, 3, 1, 4, 5).flatten(3)
        answers = (patches @ filters.T).flatten(1, 2)
        rows += [answers.square().mean(dim=1).sqrt(), answers.abs().mean(dim=1)]
        rows += [octave.mean(dim=(2, 3)), octave.var(dim=(2, 3), correction=0).sqrt()]
    assert torch.allclose(network(x), torch.cat(rows, dim=1), atol=1e-5)


def test_patches_are_blind_to_layout_and_random_conv_is_not():
    image = picture(128)[:1]
    parts = image.unflatten(2, (2, 64)).flip(2).flatten(2, 3)  # upper and lower half exchanged
    for name, least, most in (("patches", 0, 0.02), ("random_conv", 0.04, 1)):
        a, b = extractor(name)(image), extractor(name)(parts)
        assert least <= float((a - b).norm() / a.norm()) < most


def test_images_below_a_patch_are_refused():
    with pytest.raises(DataError, match=r"\(4, 9\) pixels, and 'patches' reads patches of 5 x 5"):
        extractor("patches")(torch.zeros(1, 3, 4, 9))


@pytest.mark.parametrize("name", ["random_conv", "patches", "pixels", "digits_cnn"])
def test_worse_fakes_are_farther(name):
    real, fake, classes = halves()
    features = extractor(name)
    reals, fakes = features(real).double(), features(fake).double()

    def distance(rows):
        return frechet_distance(*moments(reals), *moments(rows))

    noise = torch.randn(fake.shape, generator=torch.Generator().manual_seed(1))
    noisy = [features((fake + s * noise).clamp(-1, 1)).double() for s in (0.2, 0.5)]
    assert distance(reals) == pytest.approx(0, abs=1e-6)
    assert distance(fakes) < distance(noisy[0]) < distance(noisy[1])
    assert distance(fakes) < distance(fakes[classes < 5]) < distance(fakes[classes < 2])
    assert distance(fakes[:20].repeat(15, 1)) > 3 * distance(fakes)


def test_digits_cnn_is_the_committed_classifier():
    real, _, _ = halves()
    found = extractor("digits_cnn")
    assert torch.equal(found(real), digit_features(real))
    with pytest.raises(ValueError, match="reads"):
        found(torch.zeros(2, 3, 8, 8))
