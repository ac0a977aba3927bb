"""Attention, dropout, minibatch statistics, noise and features of every family; none by default."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from equipoise.game import (
    MinibatchDeviation,
    MinibatchDiscrimination,
    Noise,
    SelfAttention,
    captured,
    couples_batch,
    discriminator_loss,
    generator_loss,
    objective,
    zero_centred,
)
from equipoise.game.initialization import weighted_layers
from equipoise.networks import FAMILIES

Z, WIDTH, DEPTH = 5, 8, 2
IMAGE = (1, 8, 8)
every = pytest.mark.parametrize("family", FAMILIES)
of_images = pytest.mark.parametrize("family", ["dcgan", "progressive"])


def generator(family, shape=IMAGE, kind="none", width=WIDTH, **options):
    torch.manual_seed(0)
    return FAMILIES[family].generator(shape, Z, width, DEPTH, kind, **options)


def discriminator(family, shape=IMAGE, kind="none", width=WIDTH, **options):
    torch.manual_seed(0)
    return FAMILIES[family].discriminator(shape, width, DEPTH, kind, **options)


def found(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


# --- by default, what it was before there were options --------------------------------------------

PARTS = {
    "plain": ["weight", "bias"],
    "bare": ["weight"],
    "batch": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    "spectral": [
        "bias",
        "parametrizations.weight.original",
        "parametrizations.weight.0._u",
        "parametrizations.weight.0._v",
    ],
}
# (family, shape, normalization): layers with state of both players, the mean |G(z)|, two logits,
# and the sum of all |weights|, at seeds 3 and 4, from the commit before the options.
BEFORE = {
    ("mlp", (2,), "none"): (
        {0: "plain", 2: "plain", 4: "plain"},
        {1: "plain", 3: "plain", 5: "plain"},
        (0.17084376, -0.34473756, -0.34586713, 51.84609),
    ),
    ("mlp", (1, 4, 6), "spectral"): (
        {0: "spectral", 2: "spectral", 4: "plain"},
        {1: "spectral", 3: "spectral", 5: "spectral"},
        (0.1820004, -0.37272727, -0.36013412, 97.52544),
    ),
    ("mlp", (2,), "batch"): (
        {0: "bare", 1: "batch", 3: "bare", 4: "batch", 6: "plain"},
        {1: "bare", 2: "batch", 4: "bare", 5: "batch", 7: "plain"},
        (0.25579091, -0.0853993, -0.66505504, 76.07952),
    ),
    ("dcgan", (1, 8, 8), "none"): (
        {0: "plain", 3: "plain", 5: "plain"},
        {0: "plain", 2: "plain", 5: "plain"},
        (0.08005316, -0.05410486, -0.05668959, 547.43827),
    ),
    ("dcgan", (3, 16, 16), "batch"): (
        {0: "bare", 2: "batch", 4: "bare", 5: "batch", 7: "bare", 8: "batch", 10: "plain"},
        {0: "plain", 2: "bare", 3: "batch", 5: "bare", 6: "batch", 9: "plain"},
        (0.27212613, -0.09760199, -0.62558216, 1412.62843),
    ),
    ("dcgan", (3, 16, 16), "spectral"): (
        {0: "plain", 3: "spectral", 5: "spectral", 7: "plain"},
        {0: "spectral", 2: "spectral", 4: "spectral", 7: "spectral"},
        (0.05532712, 0.06668121, 0.06870982, 1421.30262),
    ),
}


def keys(layers):
    return [f"layers.{index}.{part}" for index, kind in layers.items() for part in PARTS[kind]]


@pytest.mark.parametrize("case", BEFORE, ids=str)
def test_checkpoints_and_seeded_weights_are_those_from_before_the_options(case):
    family, shape, kind = case
    of_generator, of_discriminator, numbers = BEFORE[case]
    torch.manual_seed(3)
    g = FAMILIES[family].generator(shape, Z, WIDTH, DEPTH, kind)
    d = FAMILIES[family].discriminator(shape, WIDTH, DEPTH, kind)
    assert list(g.state_dict()) == keys(of_generator)
    assert list(d.state_dict()) == keys(of_discriminator)
    torch.manual_seed(4)
    fakes = g(torch.randn(6, Z))
    logits = d(fakes)
    total = sum(p.double().abs().sum() for p in [*g.parameters(), *d.parameters()])
    seen = [x.item() for x in (fakes.abs().mean(), *logits[:2], total)]
    assert seen == pytest.approx(numbers, rel=1e-5)


# --- attention ------------------------------------------------------------------------------------


@of_images
@pytest.mark.parametrize(("size", "place"), [(8, 4), (16, 8), (32, 16), (64, 32), (128, 32)])
def test_attention_stands_on_the_largest_map_below_full_size_of_at_most_32_pixels(
    family, size, place
):
    shape = (1, size, size)
    players = (
        (generator(family, shape, width=1, attention=True), torch.zeros(1, Z)),
        (discriminator(family, shape, width=1, attention=True), torch.zeros(1, *shape)),
    )
    for player, inputs in players:
        (layer,) = found(player, SelfAttention)
        with torch.no_grad(), captured([layer]) as maps:
            player(inputs)
        assert [tuple(m.shape[2:]) for m in maps] == [(place, place)]


@of_images
def test_attention_starts_as_the_identity_of_the_players(family):
    """gamma is 0: a player with attention is, at first, what it is without."""
    player = generator(family, attention=True)
    z = torch.randn(3, Z)
    before = player(z)
    (layer,) = found(player, SelfAttention)
    with torch.no_grad():
        layer.gamma.fill_(1.0)
    assert not torch.allclose(player(z), before)
    layer.forward = lambda x: x
    assert torch.equal(player(z), before)


def test_points_have_no_pixels_to_attend_to():
    for make, player in ((generator, "generator"), (discriminator, "discriminator")):
        with pytest.raises(ValueError, match=f"{player}.attention = true with family 'mlp'.*dcgan"):
            make("mlp", attention=True)


# --- dropout --------------------------------------------------------------------------------------

# hidden activations of (generator, discriminator) at 8 pixels; the progressive discriminator's
# from-image layers have none, since they are a change of colours
DROPPED = {"mlp": (2, 2), "dcgan": (2, 2), "progressive": (4, 4)}


@every
def test_dropout_stands_behind_every_hidden_activation(family):
    players = (generator(family, dropout=0.25), discriminator(family, dropout=0.25))
    for player, count in zip(players, DROPPED[family], strict=True):
        layers = found(player, nn.Dropout | nn.Dropout2d)
        assert [layer.p for layer in layers] == [0.25] * count
        inputs = torch.randn(4, Z) if player is players[0] else torch.randn(4, *IMAGE)
        assert not torch.equal(player(inputs), player(inputs))
        player.eval()
        assert torch.equal(player(inputs), player(inputs))


@every
def test_without_dropout_there_is_no_such_layer(family):
    for player in (generator(family), discriminator(family)):
        assert found(player, nn.Dropout | nn.Dropout2d) == []


@of_images
def test_convolutions_drop_whole_maps(family):
    player = discriminator(family, dropout=0.5)
    (layer, *_) = found(player, nn.Dropout2d)
    with captured([layer]) as maps:
        player(torch.randn(16, *IMAGE))
    dead = (maps[0] == 0).flatten(2)
    assert torch.equal(dead.all(2), dead.any(2))
    assert dead.all(2).float().mean().item() == pytest.approx(0.5, abs=0.15)


@every
@pytest.mark.parametrize("p", [1.0, 1.5, -0.1, math.nan])
def test_a_share_of_dropout_out_of_range_is_refused(family, p):
    for make in (generator, discriminator):
        with pytest.raises(ValueError, match=r"dropout = .*lies in \[0, 1\)"):
            make(family, dropout=p)


# --- noise ----------------------------------------------------------------------------------------


@every
def test_hidden_noise_is_silent_until_its_strength_is_set(family):
    plain, noisy = discriminator(family), discriminator(family, noise=True)
    layers = found(noisy, Noise)
    assert [layer.strength for layer in layers] == [0.0] * DROPPED[family][1]
    x = torch.randn(4, *IMAGE)
    assert torch.equal(noisy(x), plain(x))
    for layer in layers:
        layer.strength = 0.5
        assert not torch.equal(noisy(x), plain(x))
        layer.strength = 0.0
    for layer in layers:
        layer.strength = 0.5
    assert torch.equal(noisy.eval()(x), plain(x))


@every
def test_noise_and_dropout_leave_the_features_before_them_alone(family):
    """Features are activations: what is hooked is not yet noisy."""
    player = discriminator(family, noise=True, dropout=0.5)
    for layer in found(player, Noise):
        layer.strength = 9.0
    with captured(player.hidden[:1]) as noisy:
        player(torch.ones(2, *IMAGE))
    with captured(player.eval().hidden[:1]) as plain:
        player(torch.ones(2, *IMAGE))
    assert torch.equal(noisy[0], plain[0])


# --- statistics of the minibatch ------------------------------------------------------------------

FEATURES = {"mlp": (WIDTH,), "dcgan": (2 * WIDTH, 4, 4)}  # the last ones, at 8 pixels


@pytest.mark.parametrize("family", FEATURES)
def test_deviation_stands_on_the_last_features_and_discrimination_on_flat_ones(family):
    last = FEATURES[family]
    flat = math.prod(last)
    per_channel = math.prod(last[1:])
    expected = {
        "deviation": (MinibatchDeviation, (last[0] + 1, *last[1:]), flat + per_channel),
        "discrimination": (MinibatchDiscrimination, (flat + 16,), flat + 16),
    }
    for name, (kind, shape, features) in expected.items():
        player = discriminator(family, minibatch=name)
        (layer,) = found(player, kind)
        with captured([layer]) as out:
            assert player(torch.randn(4, *IMAGE)).shape == (4,)
        assert tuple(out[0].shape[1:]) == shape
        assert weighted_layers(player)[-1].in_features == features


@every
@pytest.mark.parametrize("name", ["deviation", "discrimination"])
def test_minibatch_statistics_couple_the_batch(family, name):
    player = discriminator(family, minibatch=name)
    x = torch.randn(4, *IMAGE)
    assert couples_batch(player)
    assert not torch.allclose(player(x)[0], player(torch.cat([x[:1], 9 * x[1:]]))[0])


def test_the_progressive_family_has_its_deviation_once():
    for name, count in {"none": 1, "deviation": 1, "discrimination": 1}.items():
        player = discriminator("progressive", minibatch=name)
        assert len(found(player, MinibatchDeviation)) == count
        assert len(found(player, MinibatchDiscrimination)) == (name == "discrimination")


@every
def test_unknown_minibatch_statistics_are_refused(family):
    with pytest.raises(ValueError, match="unknown minibatch 'deviations'; did you mean 'deviation"):
        discriminator(family, minibatch="deviations")


# --- features -------------------------------------------------------------------------------------

SHAPES = {
    "mlp": [(3, 8)] * 2,
    "dcgan": [(3, 8, 16, 16), (3, 16, 8, 8), (3, 32, 4, 4)],
    "progressive": [
        (3, 8, 16, 16),  # from the image
        (3, 8, 16, 16),
        (3, 16, 16, 16),
        (3, 16, 8, 8),
        (3, 32, 8, 8),
        (3, 32, 4, 4),
        (3, 32),
    ],
}
OPTIONS = {"dropout": 0.1, "minibatch": "discrimination", "noise": True}


@every
@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "with everything"])
def test_hidden_features_in_the_order_in_which_they_are_made(family, options):
    player = discriminator(family, (1, 16, 16), **options)
    with captured(player.hidden) as features:
        player(torch.randn(3, 1, 16, 16))
    assert [tuple(f.shape) for f in features] == SHAPES[family]
    with captured(list(reversed(player.hidden))) as again:
        player(torch.randn(3, 1, 16, 16))
    assert [f.shape for f in again] == [f.shape for f in features]  # the order is the network's


@pytest.mark.parametrize("family", ["mlp", "dcgan"])
def test_hidden_features_are_those_of_a_pass_layer_by_layer(family):
    player = discriminator(family, (1, 16, 16), "layer")
    x = torch.randn(3, 1, 16, 16)
    with captured(player.hidden) as features:
        player(x)
    by_hand = []
    for layer in player.layers:
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU):
            by_hand.append(x)
    assert all(torch.equal(a, b) for a, b in zip(features, by_hand, strict=True))


# --- everything at once ---------------------------------------------------------------------------


def all_on(family, **more):
    attention = {"attention": family != "mlp"}
    players = (
        generator(family, dropout=0.1, **attention, **more),
        discriminator(family, **attention, **OPTIONS, **more),
    )
    for player in players:
        player.double()
        for layer in found(player, SelfAttention):
            nn.init.constant_(layer.gamma, 0.7)  # at 0 nothing but gamma has a gradient
        for layer in found(player, Noise):
            layer.strength = 0.1
        if FAMILIES[family].grows:  # between both sizes, where all layers play
            player.stage = 0.5
    return players


@every
def test_gradient_reaches_every_parameter_with_all_options(family):
    g, d = all_on(family)
    loss = objective("non_saturating")
    real = torch.randn(16, *IMAGE, dtype=torch.float64)
    fake = g(torch.randn(16, Z, dtype=torch.float64))
    discriminator_loss(d, loss, real, fake, joint=False).loss.backward()
    generator_loss(d, loss, fake).loss.backward()
    for player in (g, d):
        for name, parameter in player.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max().item() > 1e-12, name


@every
def test_the_gradient_penalty_is_differentiated_once_more(family):
    """R1's gradient by autograd against its difference quotient along a random direction."""
    _, d = all_on(family)
    d.eval()  # no noise, no dropout
    weights = [p for p in d.parameters() if p.dim() > 1]
    real = torch.randn(4, *IMAGE, dtype=torch.float64)

    def value():
        return zero_centred(d, real).mean()

    slopes = torch.autograd.grad(value(), weights, allow_unused=True)
    steps = [1e-6 * torch.randn_like(w) for w in weights]
    along = sum((s * t).sum() for s, t in zip(slopes, steps, strict=True) if s is not None)
    with torch.no_grad():
        for weight, step in zip(weights, steps, strict=True):
            weight.add_(step)
    above = value().item()
    with torch.no_grad():
        for weight, step in zip(weights, steps, strict=True):
            weight.sub_(2 * step)
    below = value().item()
    assert abs(along.item()) > 1e-9
    assert (above - below) / 2 == pytest.approx(along.item(), rel=1e-3)


@pytest.mark.parametrize("family", ["mlp", "dcgan"])
def test_a_spectral_discriminator_normalizes_what_the_options_add(family):
    attention = {"attention": family == "dcgan"}
    player = discriminator(family, kind="spectral", minibatch="discrimination", **attention)
    layers = weighted_layers(player)
    assert len(layers) == {"mlp": 4, "dcgan": 8}[family]
    assert all(parametrize.is_parametrized(layer, "weight") for layer in layers)


def test_the_progressive_family_equalizes_what_the_options_add():
    for player in all_on("progressive"):
        layers = weighted_layers(player)
        kinds = [type(layer.parametrizations.weight[0]).__name__ for layer in layers]
        assert set(kinds) == {"Equalized"}
