"""Growing players: what each stage plays, how sizes fade, what reals look like meanwhile."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from equipoise.networks import ProgressiveDiscriminator, ProgressiveGenerator, faded

SHAPE = (2, 16, 16)
Z = 5


@pytest.fixture
def players():
    torch.manual_seed(0)
    return ProgressiveGenerator(SHAPE, Z, 4), ProgressiveDiscriminator(SHAPE, 4)


def doubled(images, times=1):
    return interpolate(images, scale_factor=2**times)


def test_they_play_at_full_size_unless_told(players):
    assert [p.stage for p in players] == [2.0, 2.0]
    assert [p.stages for p in players] == [2, 2]


def test_the_generator_at_a_stage_is_its_first_blocks_enlarged(players):
    generator, _ = players
    z = torch.randn(3, Z)
    coarse = generator.blocks[0](z)
    middle = generator.blocks[1](coarse)
    fine = generator.blocks[2](middle)
    images = [g(x) for g, x in zip(generator.to_image, (coarse, middle, fine), strict=True)]
    assert [i.shape[-1] for i in images] == [4, 8, 16]
    for stage, expected in {
        0: doubled(images[0], 2),
        1: doubled(images[1]),
        2: images[2],
        0.25: doubled(0.75 * doubled(images[0]) + 0.25 * images[1]),
        1.5: 0.5 * doubled(images[1]) + 0.5 * images[2],
    }.items():
        generator.stage = stage
        assert torch.allclose(generator(z), expected, atol=1e-6), stage


def test_the_discriminator_at_a_stage_is_its_last_blocks_on_pooled_images(players):
    _, discriminator = players
    images = torch.randn(4, *SHAPE)
    enter, blocks = discriminator.from_image, discriminator.blocks
    at4, at8 = enter[0](avg_pool2d(images, 4)), enter[1](avg_pool2d(images, 2))
    fine = blocks[2](enter[2](images))
    for stage, last in {
        0: at4,
        1: blocks[1](at8),
        2: blocks[1](fine),
        0.25: 0.75 * at4 + 0.25 * blocks[1](at8),
        1.5: blocks[1](0.5 * at8 + 0.5 * fine),
    }.items():
        discriminator.stage = stage
        expected = blocks[0](last).squeeze(1)
        assert torch.allclose(discriminator(images), expected, atol=1e-6), stage


def test_detail_finer_than_the_stage_is_not_seen(players):
    _, discriminator = players
    images = torch.randn(4, *SHAPE)
    detail = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)  # 0 within each pooled cell
    for stage, blind in ((0, True), (1, True), (1.5, False), (2, False)):
        discriminator.stage = stage
        same = torch.allclose(discriminator(images), discriminator(images + detail), atol=1e-5)
        assert same == blind, stage


def test_only_the_layers_of_the_stage_learn(players):
    for player, first in zip(players, (torch.randn(3, Z), torch.randn(4, *SHAPE)), strict=True):
        player.stage = 0.5
        player(first).sum().backward()
        idle = {n for n, p in player.named_parameters() if p.grad is None}
        assert idle
        assert all(".2." in n for n in idle), idle


@pytest.mark.parametrize(
    ("stage", "left"),
    [(2.0, [1.0, 2.0, 3.0, 4.0]), (1.0, [1.5, 1.5, 3.5, 3.5]), (1.5, [1.25, 1.75, 3.25, 3.75])],
)
def test_reals_fade_like_the_sizes(stage, left):
    row = torch.tensor([1.0, 2.0, 3.0, 4.0]).repeat(4)
    images = row.view(1, 1, 1, 16).expand(1, 1, 16, 16)
    assert faded(images, stage, 2)[0, 0, 0, :4].tolist() == left


def test_reals_at_the_full_stage_are_the_images_themselves():
    images = torch.randn(2, *SHAPE)
    assert faded(images, 2.0, 2) is images
    assert torch.allclose(faded(images, 0.0, 2), doubled(avg_pool2d(images, 4), 2))


@pytest.mark.parametrize("stage", [-0.1, 2.1, float("nan")])
def test_a_stage_out_of_range_is_refused(stage):
    with pytest.raises(ValueError, match="stage = "):
        faded(torch.zeros(1, *SHAPE), stage, 2)


def test_pixel_norm_is_the_generators_own_and_other_kinds_are_refused():
    kinds = [type(m).__name__ for m in ProgressiveGenerator(SHAPE, Z, 4).modules()]
    assert kinds.count("PixelNorm") == 5
    kinds = [type(m).__name__ for m in ProgressiveGenerator(SHAPE, Z, 4, 0, "none").modules()]
    assert "PixelNorm" not in kinds
    with pytest.raises(ValueError, match="family 'dcgan'"):
        ProgressiveGenerator(SHAPE, Z, 4, 0, "batch")
    with pytest.raises(ValueError, match="equalized"):
        ProgressiveDiscriminator(SHAPE, 4, 0, "spectral")


def test_every_weight_is_drawn_at_unit_variance_over_its_scale():
    generator = ProgressiveGenerator((1, 32, 32), 64, 16)
    drawn = [p for n, p in generator.named_parameters() if n.endswith("original") and p.dim() == 4]
    assert all(0.8 < p.std().item() < 1.2 for p in drawn if p.numel() > 200)
