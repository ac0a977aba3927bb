"""Growing players against a pass assembled by hand at each size; the reals of that size."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu

from equipoise.game import averaged, minibatch_deviation
from equipoise.networks import FAMILIES, ProgressiveDiscriminator, ProgressiveGenerator, faded

Z, WIDTH = 5, 4
SHAPE = (3, 16, 16)
STAGES = [0.0, 0.5, 1.0, 1.3, 2.0]
stages = pytest.mark.parametrize("stage", STAGES)


def players(stage=2.0, normalization="pixel", shape=SHAPE):
    torch.manual_seed(0)
    g = ProgressiveGenerator(shape, Z, WIDTH, normalization=normalization).double()
    d = ProgressiveDiscriminator(shape, WIDTH).double()
    for player in (g, d):
        player.stage = stage
        for parameter in player.parameters():  # biases too
            nn.init.normal_(parameter, std=1.0)
    return g, d


def latents(n=4):
    return torch.randn(n, Z, dtype=torch.float64)


def images(n=4, shape=SHAPE):
    return torch.randn(n, *shape, dtype=torch.float64)


# --- the slow twin: the layers' weights, and functions alone --------------------------------------


def layers(block):
    return [m for m in block.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def convolved(x, layer):
    return conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)


def unit(x):
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def doubled(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def generated(g, z, size, pixel):
    """The image at 4 x 2^size pixels, at a whole stage."""
    norm = unit if pixel else lambda x: x
    dense, conv = layers(g.blocks[0])
    x = (norm(z) @ dense.weight.T + dense.bias).view(len(z), -1, 4, 4)
    x = norm(leaky_relu(x, 0.2))
    x = norm(leaky_relu(convolved(x, conv), 0.2))
    for index in range(1, size + 1):
        x = doubled(x)
        for conv in layers(g.blocks[index]):
            x = norm(leaky_relu(convolved(x, conv), 0.2))
    return convolved(x, g.to_image[size])


def entered(d, x, size):
    return leaky_relu(convolved(x, layers(d.from_image[size])[0]), 0.2)


def halved(d, x, index):
    for conv in layers(d.blocks[index]):
        x = leaky_relu(convolved(x, conv), 0.2)
    return avg_pool2d(x, 2)


def concluded(d, x):
    conv, dense, head = layers(d.blocks[0])
    x = leaky_relu(convolved(minibatch_deviation(x), conv), 0.2).flatten(1)
    x = leaky_relu(x @ dense.weight.T + dense.bias, 0.2)
    return (x @ head.weight.T + head.bias)[:, 0]


@pytest.mark.parametrize("normalization", ["pixel", "none"])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_whole_stage_is_a_pass_of_that_size_enlarged(size, normalization):
    g, _ = players(float(size), normalization)
    z = latents()
    small = generated(g, z, size, normalization == "pixel")
    assert small.shape == (4, 3, 4 << size, 4 << size)
    for _ in range(2 - size):
        small = doubled(small)
    torch.testing.assert_close(g(z), small)


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_a_size_fades_in_as_a_blend_of_two_images(share):
    g, _ = players(1 + share)
    z = latents()
    coarse, fine = generated(g, z, 1, True), generated(g, z, 2, True)
    torch.testing.assert_close(g(z), share * fine + (1 - share) * doubled(coarse))


@pytest.mark.parametrize("size", [0, 1, 2])
def test_the_discriminator_judges_what_is_left_at_its_size(size):
    _, d = players(float(size))
    x = images()
    features = entered(d, avg_pool2d(x, 4 >> size), size)
    for index in range(size, 0, -1):
        features = halved(d, features, index)
    torch.testing.assert_close(d(x), concluded(d, features))


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_a_size_fades_in_as_a_blend_of_two_entries(share):
    _, d = players(1 + share)
    x = images()
    fine = halved(d, entered(d, x, 2), 2)
    coarse = entered(d, avg_pool2d(x, 2), 1)
    features = halved(d, share * fine + (1 - share) * coarse, 1)
    torch.testing.assert_close(d(x), concluded(d, features))


# --- properties -----------------------------------------------------------------------------------


@stages
def test_images_are_of_full_size_at_every_stage(stage):
    g, d = players(stage)
    fakes = g(latents(3))
    assert fakes.shape == (3, *SHAPE)
    assert d(fakes).shape == (3,)


@pytest.mark.parametrize(("stage", "cell"), [(0.0, 4), (1.0, 2)])
def test_a_whole_stage_ignores_finer_detail(stage, cell):
    g, d = players(stage)
    x = images()
    mean = interpolate(avg_pool2d(x, cell), scale_factor=cell)
    detail = torch.randn_like(x)
    detail = detail - interpolate(avg_pool2d(detail, cell), scale_factor=cell)  # mean 0 in a cell
    torch.testing.assert_close(d(x + detail), d(x))
    assert not torch.allclose(d(x + mean), d(x))
    fakes = g(latents())
    torch.testing.assert_close(faded(fakes, stage, 2), fakes)


def test_a_stage_begins_where_the_one_before_ends():
    for whole in (0.0, 1.0):
        g, d = players(whole)
        z, x = latents(), images()
        before = g(z), d(x)
        g.stage = d.stage = whole + 1e-9
        torch.testing.assert_close((g(z), d(x)), before, rtol=1e-6, atol=1e-6)
        g.stage = d.stage = whole + 1 - 1e-9
        near = g(z), d(x)
        g.stage = d.stage = whole + 1
        torch.testing.assert_close(near, (g(z), d(x)), rtol=1e-6, atol=1e-6)


IN_PLAY = {0.0: [0], 0.5: [0, 1], 1.0: [1], 1.3: [1, 2], 2.0: [2]}  # sizes of the image layers


@stages
def test_gradient_reaches_the_layers_of_the_stage_alone(stage):
    g, d = players(stage)
    d(g(latents())).sum().backward()
    blocks = range(max(IN_PLAY[stage]) + 1)
    expected = {
        *(f"blocks.{index}" for index in blocks),
        *(f"{name}.{size}" for name in ("to_image", "from_image") for size in IN_PLAY[stage]),
    }
    reached = set()
    for player in (g, d):
        for name, parameter in player.named_parameters():
            place = ".".join(name.split(".")[:2])
            assert (parameter.grad is not None) == (place in expected), name
            reached.add(place if parameter.grad is not None else "")
    assert reached - {""} == expected


def test_the_stage_is_at_first_the_full_one_and_no_part_of_the_state():
    for size, k in {8: 1, 16: 2, 32: 3}.items():
        g = ProgressiveGenerator((1, size, size), Z, 1)
        d = ProgressiveDiscriminator((1, size, size), 1)
        for player in (g, d):
            assert (player.stages, player.stage) == (k, float(k))
            names = list(player.state_dict())
            player.stage = 0.5
            assert averaged(player).stage == 0.5
            assert list(player.state_dict()) == names
            assert not [name for name in names if "stage" in name]


@pytest.mark.parametrize("stage", [-0.1, 2.1, float("nan")])
def test_a_stage_out_of_range_is_refused(stage):
    g, d = players(stage)
    for call in (lambda: g(latents()), lambda: d(images()), lambda: faded(images(), stage, 2)):
        with pytest.raises(ValueError, match=f"stage = {stage}: sizes go from 0 to 2 doublings"):
            call()


def test_only_families_that_grow_have_a_stage():
    for family in FAMILIES.values():
        made = family.generator((1, 8, 8), Z, 2, 1), family.discriminator((1, 8, 8), 2, 1)
        assert [hasattr(player, "stage") for player in made] == [family.grows] * 2


# --- weights --------------------------------------------------------------------------------------


def test_every_weight_is_equalized_and_signals_keep_their_size():
    torch.manual_seed(0)
    g = ProgressiveGenerator(SHAPE, 64, 32, normalization="none")
    d = ProgressiveDiscriminator(SHAPE, 32)
    for player in (g, d):
        for layer in layers(player):
            (part,) = layer.parametrizations.weight
            assert type(part).__name__ == "Equalized"
            assert layer.parametrizations.weight.original.std().item() == pytest.approx(1, rel=0.25)
            assert layer.bias.abs().max() == 0
    with torch.no_grad():
        fakes = g(torch.randn(64, 64))
    assert 0.2 < fakes.square().mean().item() < 5


@pytest.mark.parametrize("kind", ["spectral", "weight", "batch", "layer"])
def test_normalizations_that_do_not_fit_are_refused_with_what_does(kind):
    with pytest.raises(ValueError, match=f"generator.normalization = '{kind}'.*'pixel' or 'none'"):
        ProgressiveGenerator(SHAPE, Z, WIDTH, normalization=kind)
    with pytest.raises(ValueError, match=f"discriminator.normalization = '{kind}'.*use 'none'"):
        ProgressiveDiscriminator(SHAPE, WIDTH, normalization=kind)


# --- reals ----------------------------------------------------------------------------------------

# 8 pixels: rows 0, 1, ..., 7, all columns alike. At 4 pixels rows are means of pairs.
ROWS = torch.arange(8.0).view(1, 1, 8, 1).expand(1, 1, 8, 8)
PAIRS = [0.5, 0.5, 2.5, 2.5, 4.5, 4.5, 6.5, 6.5]


@pytest.mark.parametrize(
    ("stage", "rows"),
    [
        (0.0, PAIRS),
        (0.25, [0.375, 0.625, 2.375, 2.625, 4.375, 4.625, 6.375, 6.625]),
        (0.5, [0.25, 0.75, 2.25, 2.75, 4.25, 4.75, 6.25, 6.75]),
        (1.0, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
    ],
)
def test_reals_at_a_stage_worked_by_hand(stage, rows):
    out = faded(ROWS, stage, 1)
    torch.testing.assert_close(out[0, 0, :, 3], torch.tensor(rows))
    assert torch.equal(out, out[..., :1].expand_as(out))


def test_reals_of_16_pixels_between_4_and_8_worked_by_hand():
    """Rows 0..15: at 8 pixels means of pairs, at 4 of fours; a quarter of the finer one."""
    x = torch.arange(16.0).view(1, 1, 16, 1).expand(2, 3, 16, 16)
    out = faded(x, 0.25, 2)
    first = [0.25 * 0.5 + 0.75 * 1.5] * 2 + [0.25 * 2.5 + 0.75 * 1.5] * 2
    expected = [start + value for start in (0, 4, 8, 12) for value in first]
    torch.testing.assert_close(out[1, 2, :, 5], torch.tensor(expected))


def test_the_full_stage_gives_the_reals_themselves():
    x = images()
    assert faded(x, 2.0, 2) is x
    assert faded(x, 2, 2) is x


@stages
def test_reals_keep_their_mean(stage):
    x = images()
    torch.testing.assert_close(faded(x, stage, 2).mean((2, 3)), x.mean((2, 3)))
