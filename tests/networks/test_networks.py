"""One contract for every family of players: shapes, ranges, gradients, sizes, refusals."""

import pytest
import torch
from torch import nn

from equipoise.game import (
    NORMALIZATIONS,
    MinibatchDeviation,
    MinibatchDiscrimination,
    Noise,
    SelfAttention,
    captured,
    discriminator_loss,
    generator_loss,
    objective,
)
from equipoise.networks import FAMILIES

Z, WIDTH, DEPTH = 5, 8, 2
SHAPES = {
    "mlp": [(2,), (1, 8, 8), (3, 16, 16), (1, 32, 32), (1, 4, 6)],
    "dcgan": [(1, 8, 8), (3, 8, 8), (3, 16, 16), (1, 32, 32)],
    "progressive": [(1, 8, 8), (3, 8, 8), (3, 16, 16), (1, 32, 32)],
}
CASES = [(family, shape) for family, shapes in SHAPES.items() for shape in shapes]
REFUSED = {
    ("mlp", "instance"): "after a dense layer",
    **{("progressive", kind): "equalized" for kind in NORMALIZATIONS if kind != "none"},
}
KINDS = [(f, kind) for f in SHAPES for kind in NORMALIZATIONS if (f, kind) not in REFUSED]
EXTRAS = {
    "attention": {"attention": True},
    "dropout": {"dropout": 0.5},
    "deviation": {"minibatch": "deviation"},
    "discrimination": {"minibatch": "discrimination"},
    "noise": {"noise": True},
}
MEANT = {
    "attention": SelfAttention,
    "dropout": nn.modules.dropout._DropoutNd,
    "deviation": MinibatchDeviation,
    "discrimination": MinibatchDiscrimination,
    "noise": Noise,
}
REFUSED_EXTRAS = {("mlp", "attention"): "family 'dcgan'"}
cases = pytest.mark.parametrize(("family", "shape"), CASES)
kinds = pytest.mark.parametrize(("family", "kind"), KINDS)
players = pytest.mark.parametrize("player", ["generator", "discriminator"])


def build(family, shape, kind="none", seed=0):
    torch.manual_seed(seed)
    found = FAMILIES[family]
    generator = found.generator(shape, Z, WIDTH, DEPTH, kind)
    return generator, found.discriminator(shape, WIDTH, DEPTH, kind)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_every_family_is_under_contract():
    assert set(SHAPES) == set(FAMILIES)


@pytest.mark.parametrize("case", REFUSED)
def test_normalizations_that_a_family_cannot_take_are_refused(case):
    family, kind = case
    with pytest.raises(ValueError, match=REFUSED[case]):
        build(family, SHAPES[family][0], kind)


@kinds
def test_shapes(family, kind):
    for shape in SHAPES[family]:
        assert_shapes(family, shape, kind)


def assert_shapes(family, shape, kind):
    generator, discriminator = build(family, shape, kind)
    samples = generator(torch.randn(3, Z))
    assert samples.shape == (3, *shape)
    assert discriminator(samples).shape == (3,)
    assert generator.z_dim == Z


@pytest.mark.parametrize(("family", "shape"), [c for c in CASES if c[0] != "progressive"])
def test_images_lie_between_minus_one_and_one_and_points_are_free(family, shape):
    generator, _ = build(family, shape)
    with torch.no_grad():
        samples = generator(torch.randn(16, Z) * 1e4)
    assert samples.isfinite().all()
    assert (samples.abs().max() > 0.5).item()
    assert (samples.abs().max() <= 1).item() == (len(shape) > 1)


def assert_reached(module):
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max().item() > 1e-10, name


@kinds
def test_gradient_reaches_every_parameter_of_both_players(family, kind):
    generator, discriminator = (m.double() for m in build(family, (1, 8, 8), kind))
    for player in (generator, discriminator):
        if FAMILIES[family].grows:
            player.stage = 0.5  # while one size fades in, all layers of both are in play
    real = torch.rand(16, 1, 8, 8, dtype=torch.float64) * 2 - 1
    fake = generator(torch.randn(16, Z, dtype=torch.float64))
    loss = objective("non_saturating")
    discriminator_loss(discriminator, loss, real, fake, joint=False).loss.backward()
    assert_reached(discriminator)
    generator_loss(discriminator, loss, fake).loss.backward()
    assert_reached(generator)


MARKS = {
    "none": set(),
    "batch": {"BatchNorm1d", "BatchNorm2d"},
    "spectral": {"_SpectralNorm"},
    "weight": {"WeightNorm"},
    "layer": {"GroupNorm"},
    "group": {"GroupNorm"},
    "instance": {"InstanceNorm2d"},
    "pixel": {"PixelNorm"},
    "virtual_batch": {"VirtualBatchNorm"},
}


def test_every_normalization_has_its_mark():
    assert set(MARKS) == set(NORMALIZATIONS)


@kinds
def test_normalization_stands_where_it_was_asked_for(family, kind):
    every = set().union(*MARKS.values())
    for player in build(family, (1, 8, 8), kind):
        found = {type(m).__name__ for m in player.modules()} & every
        assert found <= MARKS[kind]
        assert bool(found) == bool(MARKS[kind])


@pytest.mark.parametrize("family", [f for f in FAMILIES if (f, "spectral") not in REFUSED])
def test_a_spectral_discriminator_normalizes_all_its_layers(family):
    _, discriminator = build(family, (1, 8, 8), "spectral")
    weighted = [m for m in discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert weighted
    assert all(nn.utils.parametrize.is_parametrized(m, "weight") for m in weighted)


@kinds
def test_weights_depend_on_the_seed_alone(family, kind):
    z = torch.randn(4, Z)
    first, again, other = (build(family, (1, 8, 8), kind, seed) for seed in (5, 5, 6))
    for one, same, different in zip(first, again, other, strict=True):
        state, copy = one.state_dict(), same.state_dict()
        assert all(torch.equal(state[k], copy[k]) for k in state)
        pairs = zip(one.parameters(), different.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs)
    assert torch.equal(first[0](z), again[0](z))


@players
@pytest.mark.parametrize("family", ["dcgan", "progressive"])
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 8, 16), (3, 16, 8), (1, 4, 4), (2,), (8, 8)])
def test_families_of_images_refuse_sizes_that_they_cannot_make(player, family, shape):
    make = getattr(FAMILIES[family], player)
    sizes = (Z, WIDTH) if player == "generator" else (WIDTH,)
    with pytest.raises(ValueError, match="S = 8, 16, 32") as caught:
        make(shape, *sizes)
    message = str(caught.value)
    assert message.startswith(f"shape = {shape}: {family} makes")
    assert "data.resolution" in message
    assert "'mlp'" in message
    assert "\n" not in message


# (family, shape, normalization): parameters by hand, layer by layer; z 3, width 4, depth 2
# Layers before batch normalization have no bias.
COUNTS = {
    ("mlp", (2,), "none"): (16 + 20 + 10, 12 + 20 + 5),
    ("mlp", (2,), "batch"): (12 + 8 + 16 + 8 + 10, 8 + 8 + 16 + 8 + 5),
    ("mlp", (2,), "spectral"): (16 + 20 + 10, 12 + 20 + 5),
    # generator: dense 3 -> 8 x 16, up 8 -> 4, out 4 -> 1; discriminator: 1 -> 4, 4 -> 8, 128 -> 1
    ("dcgan", (1, 8, 8), "none"): (512 + 516 + 37, 40 + 520 + 129),
    ("dcgan", (1, 8, 8), "batch"): (384 + 16 + 512 + 8 + 37, 40 + 512 + 16 + 129),
    ("dcgan", (1, 8, 8), "spectral"): (512 + 516 + 37, 40 + 520 + 129),
    # generator: dense 3 -> 16 x 16, 16 -> 8, 8 -> 4, 4 -> 3; discriminator: 3 -> 4, 8, 16, 256 -> 1
    ("dcgan", (3, 16, 16), "none"): (1024 + 2056 + 516 + 111, 112 + 520 + 2064 + 257),
    # generator: dense 3 -> 8 x 16, 8 -> 8; 8 -> 4, 4 -> 4; to images 8 -> 1, 4 -> 1
    # discriminator: from images 1 -> 8, 1 -> 4; 4 -> 4, 4 -> 8; 8 + 1 -> 8, 128 -> 8 -> 1
    ("progressive", (1, 8, 8), "none"): (
        512 + 584 + 292 + 148 + 9 + 5,
        16 + 8 + 148 + 296 + 656 + 1032 + 9,
    ),
}


@pytest.mark.parametrize("case", COUNTS, ids=str)
def test_sizes_are_those_counted_by_hand(case):
    family, shape, kind = case
    generator = FAMILIES[family].generator(shape, 3, 4, 2, kind)
    discriminator = FAMILIES[family].discriminator(shape, 4, 2, kind)
    assert (count(generator), count(discriminator)) == COUNTS[case]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_normalization_is_refused(family):
    with pytest.raises(ValueError, match=r"normalization.*'layers'"):
        build(family, (1, 8, 8), "layers")


def extended(family, extra, player, shape=(1, 16, 16)):
    """One player of a family with an extra, in double precision."""
    torch.manual_seed(0)
    make = getattr(FAMILIES[family], player)
    sizes = (Z, WIDTH) if player == "generator" else (WIDTH,)
    return make(shape, *sizes, DEPTH, "none", **EXTRAS[extra]).double()


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("family", FAMILIES)
def test_extras_stand_in_the_discriminator_and_r1_passes_through_them(family, extra):
    if (family, extra) in REFUSED_EXTRAS:
        with pytest.raises(ValueError, match=REFUSED_EXTRAS[family, extra]):
            extended(family, extra, "discriminator")
        return
    network = extended(family, extra, "discriminator")
    assert any(isinstance(m, MEANT[extra]) for m in network.modules())
    real, fake = torch.randn(2, 8, 1, 16, 16, dtype=torch.float64)
    move = discriminator_loss(network, objective("hinge"), real, fake, {"r1": 1.0}, joint=False)
    move.loss.backward()
    assert move.penalties["r1"] > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("extra", ["attention", "dropout"])
@pytest.mark.parametrize("family", FAMILIES)
def test_extras_stand_in_the_generator(family, extra):
    if (family, extra) in REFUSED_EXTRAS:
        with pytest.raises(ValueError, match=r"generator\.attention"):
            extended(family, extra, "generator")
        return
    network = extended(family, extra, "generator")
    assert any(isinstance(m, MEANT[extra]) for m in network.modules())
    assert network(torch.randn(3, Z, dtype=torch.float64)).shape == (3, 1, 16, 16)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_hidden_layers_are_those_that_a_pass_goes_through_in_order(family):
    _, discriminator = build(family, (1, 16, 16))
    with captured(discriminator.hidden) as features:
        discriminator(torch.randn(3, 1, 16, 16))
    assert len(features) == len(discriminator.hidden) >= 2
    assert all(len(f) == 3 for f in features)
    again = []
    for layer in discriminator.hidden:
        layer.register_forward_hook(lambda *_, layer=layer: again.append(layer))
    discriminator(torch.randn(3, 1, 16, 16))
    assert again == discriminator.hidden


@pytest.mark.parametrize("p", [-0.1, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_dropout_rate_out_of_range_is_refused(family, p):
    with pytest.raises(ValueError, match="dropout = "):
        FAMILIES[family].discriminator((1, 8, 8), WIDTH, DEPTH, dropout=p)
