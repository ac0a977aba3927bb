"""Probes of samples and layers against closed forms and independent twins."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from probe_scenes import (
    Conditional,
    Slope,
    TwoHeads,
    dirac,
    images,
    labelled,
    numbers,
    points,
    scene,
)
from torch import nn

from equipoise.game.normalization.spectral import operator_norm
from equipoise.monitor.probes import PROBES, Network, checkerboard_readings, nyquist_ratio
from equipoise.monitor.probes.sensitivity import effective_rank


def measure(probe, what):
    return {name: value.item() for name, value in PROBES[probe].measure(what).items()}


# layers


def test_sigma_of_every_layer_converges_to_the_largest_singular_value():
    what = images()
    for _ in range(60):
        found = measure("spectral", what)
    generator = what.generators["generator"].module
    dense = torch.linalg.matrix_norm(generator[0].weight, 2).item()
    assert found["sigma/generator/0"] == pytest.approx(dense, rel=1e-3)
    transposed = generator[4].weight.transpose(0, 1).flatten(1)
    expected = torch.linalg.matrix_norm(transposed, 2).item()
    assert found["sigma/generator/4"] == pytest.approx(expected, rel=1e-3)
    exact = operator_norm(generator[4], (4, 4))
    assert found["sigma_exact/generator/4"] == pytest.approx(exact, rel=1e-3)
    body = what.discriminators["discriminator"].module.body
    assert found["sigma_exact/discriminator/body.2"] == pytest.approx(
        operator_norm(body[2], (8, 8)), rel=1e-3
    )


def test_a_spectrally_normalized_layer_reads_one():
    found = measure("spectral", images())
    assert found["sigma/discriminator/body.0"] == pytest.approx(1.0, rel=1e-2)
    assert found["sigma_exact/discriminator/body.0"] > 1.05


def test_a_bare_layer_reads_under_its_players_name():
    layer = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0], [4.0]]))
    found = measure("spectral", scene(layer, Slope(1.0, 1.0), 1, (2,), "hinge"))
    assert found == pytest.approx({"sigma/generator": 5.0})


def test_power_iteration_goes_on_where_it_stopped():
    what = points()
    weight = what.generators["generator"].module[0].weight
    readings = [measure("spectral", what)["sigma/generator/0"] for _ in range(30)]
    assert all(b >= a - 1e-6 for a, b in itertools.pairwise(readings))
    truth = torch.linalg.matrix_norm(weight, 2).item()
    assert readings[-1] == pytest.approx(truth, rel=1e-5)
    with torch.no_grad():
        weight.mul_(2)
    assert measure("spectral", what)["sigma/generator/0"] == pytest.approx(2 * truth, rel=1e-5)


def test_dead_units_are_counted_and_named():
    what = points()
    module = what.generators["generator"].module
    with torch.no_grad():
        module[0].bias[:4] = -1e3  # these ReLUs never fire
    found = measure("dead_units", what)
    assert found["dead_units/generator/0"] == pytest.approx(4 / 16)
    assert found["dead_units/generator"] == pytest.approx(4 / 18)
    assert found["dead_units/discriminator"] == 0.0
    assert "dead_units/generator/2" not in found


class Functional(nn.Module):
    """The activation is a function, which no hook of a module sees."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 6, 3), nn.Linear(6, 1)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


def test_dead_channels_of_a_functional_activation_are_seen():
    discriminator = Functional()
    with torch.no_grad():
        discriminator.conv.bias[2] = -1e3
        discriminator.conv.bias[:2] = discriminator.conv.bias[3:] = 1e3
    what = scene(
        nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8))),
        discriminator, 4, (1, 8, 8), "hinge",
    )  # fmt: skip
    assert measure("dead_units", what)["dead_units/discriminator/conv"] == pytest.approx(1 / 6)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_quantiles_are_numpys(player):
    what = points()
    found = measure("quantiles", what)
    module = what.networks[player].module
    weight = module[0].weight.detach().numpy().ravel()
    for level in (1, 25, 50, 75, 99):
        got = found[f"weights/{player}/0.weight/q{level:02d}"]
        assert got == pytest.approx(np.quantile(weight, level / 100), rel=1e-5, abs=1e-9)
        assert math.isfinite(found[f"gradients/{player}/0.weight/q{level:02d}"])
    assert not any("bias" in name for name in found)


def test_quantiles_of_gradients_are_those_of_a_backward_pass():
    what = points()
    found = measure("quantiles", what)
    generator, discriminator = (n.module for n in what.networks.values())
    loss = nn.functional.softplus(-discriminator(generator(what.latents))).mean()
    (slope,) = torch.autograd.grad(loss, generator[2].weight)
    expected = np.quantile(slope.numpy(), 0.75)
    assert found["gradients/generator/2.weight/q75"] == pytest.approx(expected, rel=1e-4)


# the discriminator's slopes and its company


def test_the_slope_of_a_linear_critic_is_its_weight():
    what = dirac([2.0, 0.0], [3.0, 4.0], "wasserstein")
    assert measure("lipschitz", what) == pytest.approx(
        {"lipschitz/interpolates": 5.0, "lipschitz/largest": 5.0}
    )
    assert measure("input_gradient", what) == pytest.approx(
        {"input_gradient/real": 5.0, "input_gradient/fake": 5.0}
    )


class Square(nn.Module):
    """D(x) = |x|^2 / 2, whose slope is |x|."""

    def forward(self, x):
        return x.square().flatten(1).sum(1) / 2


def test_slopes_of_a_quadratic_are_the_samples_lengths():
    what = scene(nn.Linear(4, 3), Square(), 4, (3,), "hinge")
    fake = what.generators["generator"].module(what.latents)
    found = measure("input_gradient", what)
    assert found["input_gradient/real"] == pytest.approx(what.reals.norm(dim=1).mean().item())
    assert found["input_gradient/fake"] == pytest.approx(fake.norm(dim=1).mean().item())
    lengths = measure("lipschitz", what)
    assert lengths["lipschitz/interpolates"] < lengths["lipschitz/largest"]
    longest = max(what.reals.norm(dim=1).max().item(), fake.norm(dim=1).max().item())
    assert lengths["lipschitz/largest"] <= longest


class Coupled(nn.Module):
    """D(x) = x + c mean(batch): the leak has a closed form."""

    def __init__(self, c):
        super().__init__()
        self.c = c

    def forward(self, x):
        return x.sum(1) + self.c * x.sum(1).mean()


@pytest.mark.parametrize("c", [0.0, 0.5])
def test_the_leak_of_a_linear_coupling(c):
    """Each logit moves by c times the change of the batch's mean."""
    what = scene(nn.Linear(4, 3), Coupled(c), 4, (3,), "hinge")
    fake = what.generators["generator"].module(what.latents).detach().sum(1)
    real = what.reals.sum(1)
    mixed = torch.cat([real[:24], fake[24:]])
    logits = torch.cat([real + c * real.mean(), fake + c * fake.mean()])
    expected = c * (mixed.mean() - real.mean()).abs() / logits.std(correction=0)
    found = measure("leak", what)
    assert found == pytest.approx({"leak/batch": expected.item()}, rel=1e-4, abs=0)


def test_dropout_is_no_leak_and_batch_norm_is_one():
    def judge(*between):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 32), *between, nn.LeakyReLU(0.2), nn.Linear(32, 1))

    found = {
        kind: measure("leak", scene(nn.Linear(4, 3), judge(*layers), 4, (3,), "hinge"))
        for kind, layers in {
            "dropout": [nn.Dropout(0.5)],
            "batch": [nn.BatchNorm1d(32)],
            "layer": [nn.LayerNorm(32)],
        }.items()
    }
    assert found["dropout"] == {"leak/batch": pytest.approx(0.0, abs=1e-6)}
    assert found["layer"] == {"leak/batch": pytest.approx(0.0, abs=1e-6)}
    assert found["batch"]["leak/batch"] > 0.02
    assert found["batch"]["leak/mode"] > 0.02


def test_the_gap_between_modes_is_that_of_the_statistics_alone():
    judge = nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.Dropout(0.5), Square())
    what = scene(nn.Linear(4, 3), judge, 4, (3,), "hinge")
    with torch.no_grad():
        judge[0].running_mean.copy_(what.reals.mean(0))
        judge[0].running_var.copy_(what.reals.var(0, correction=0))
    assert measure("leak", what)["leak/mode"] == pytest.approx(0.0, abs=1e-5)
    judge[0].running_var.mul_(2)
    assert measure("leak", what)["leak/mode"] > 0.1


# knowing by heart


class Known(nn.Module):
    """1 at samples of a list, `elsewhere` at others, and -1 at what lies far out."""

    def __init__(self, known, elsewhere):
        super().__init__()
        self.known, self.elsewhere = known, elsewhere

    def forward(self, x):
        by_heart = (x[:, None] - self.known).norm(dim=2).min(1).values < 1e-6
        inside = torch.where(by_heart, 1.0, self.elsewhere)
        return torch.where(x.norm(dim=1) > 50, -1.0, inside)


@pytest.mark.parametrize(
    ("elsewhere", "ratio", "auc"), [(1.0, 0, 0.5), (0.0, 0.5, 1), (-1.0, 1, 1)]
)
def test_overfitting_is_the_share_of_the_gap(elsewhere, ratio, auc):
    far = nn.Linear(4, 3)
    nn.init.constant_(far.bias, 100.0)
    judge = Known(numbers(48, 3, seed=2), elsewhere)
    found = measure("overfitting", scene(far, judge, 4, (3,), "hinge"))
    found.pop("logits/held_out/mean")
    assert found == pytest.approx({"overfitting/ratio": ratio, "overfitting/auc": auc})


def test_without_a_gap_to_the_fakes_there_is_no_ratio():
    what = scene(nn.Linear(4, 3), Known(numbers(1, 3, seed=9), 0.0), 4, (3,), "hinge")
    assert measure("overfitting", what) == {"overfitting/auc": 0.5, "logits/held_out/mean": 0.0}


class Give(nn.Module):
    """G(z) = z."""

    def forward(self, z):
        return z


@pytest.mark.parametrize(
    ("fakes", "expected"),
    [("copies", 0.0), ("held out", 1.0)],
)
def test_memorization_of_copies_and_of_the_held_out(fakes, expected):
    reals, held_out = numbers(300, 5, seed=2), numbers(64, 5, seed=3)
    latents = reals[:64] if fakes == "copies" else held_out
    what = scene(
        Give(), Slope(*[1.0] * 5), 5, (5,), "hinge", latents=latents, reals=reals, held_out=held_out
    )
    assert measure("memorization", what)["memorization/ratio"] == expected


def test_memorization_of_fresh_samples_is_about_one():
    reals, held_out, latents = (numbers(n, 5, seed=s) for n, s in ((1000, 2), (64, 3), (64, 4)))
    what = scene(
        Give(), Slope(*[1.0] * 5), 5, (5,), "hinge", latents=latents, reals=reals, held_out=held_out
    )
    assert measure("memorization", what)["memorization/ratio"] == pytest.approx(1.0, abs=0.2)


# the generator's map


@pytest.mark.parametrize(
    ("spectrum", "rank"), [([1, 1, 1, 1], 4.0), ([1, 0, 0, 0], 1.0), ([1, 1, 0, 0], 2.0)]
)
def test_the_rank_of_a_linear_generator(spectrum, rank):
    generator = nn.Linear(4, 6, bias=False).double()
    left = torch.linalg.qr(numbers(6, 4, kind=torch.float64)).Q
    right = torch.linalg.qr(numbers(4, 4, seed=1, kind=torch.float64)).Q
    values = torch.tensor(spectrum, dtype=torch.float64)
    with torch.no_grad():
        generator.weight.copy_(left @ torch.diag(values) @ right)
    what = scene(
        generator, Slope(*[1.0] * 6), 4, (6,), "hinge", latents=numbers(48, 4, kind=torch.float64)
    )
    found = measure("sensitivity", what)
    assert found["rank/generator"] == pytest.approx(rank, rel=1e-5)
    spread = what.reals.var(0, correction=0).sum().sqrt().item()
    scale = what.latents.square().mean().sqrt().item()
    expected = values.norm().item() * scale / spread
    assert found["sensitivity/generator"] == pytest.approx(expected, rel=1e-5)


def test_the_effective_rank_of_unequal_directions():
    """sigma = (3, 1): exp(H(3/4, 1/4))."""
    shares = np.array([0.75, 0.25])
    expected = math.exp(-(shares * np.log(shares)).sum())
    found = effective_rank(torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))[None])
    assert found.item() == pytest.approx(expected)


def test_the_jacobian_is_autograds():
    what = points()
    smooth = copy.deepcopy(what.generators["generator"].module)
    smooth[1] = nn.Tanh()
    what = scene(smooth, what.discriminators["discriminator"].module, 4, (2,), "hinge")
    jacobians = torch.stack(
        [torch.autograd.functional.jacobian(smooth, z[None]).squeeze() for z in what.latents[:8]]
    )
    spread = what.reals.var(0, correction=0).sum()
    expected = (jacobians.square().sum((1, 2)).mean() / spread).sqrt()
    expected = expected * what.latents.square().mean().sqrt()
    found = measure("sensitivity", what)
    assert found["sensitivity/generator"] == pytest.approx(expected.item(), rel=1e-3)
    ranks = effective_rank(jacobians.double())
    assert found["rank/generator"] == pytest.approx(ranks.mean().item(), rel=1e-3)


def test_a_generator_that_ignores_its_latent_has_no_rank():
    what = dirac([1.0, 2.0], [1.0, 1.0], "hinge", latents=numbers(8, 3))
    what.reals[::2] = 1.0
    found = measure("sensitivity", what)
    assert found["sensitivity/generator"] == 0.0
    assert math.isnan(found["rank/generator"])


# conditions


def test_an_ignored_condition_has_no_effect():
    found = measure("condition", labelled(strength=0.0))
    assert found == {"condition/effect": 0.0, "condition/judged": 0.0}
    used = measure("condition", labelled(strength=1.0))
    assert min(used.values()) > 0.2


class Sum(nn.Module):
    """G(z, y) = z + 3 y."""

    def forward(self, z, y):
        return z + 3.0 * y[:, None]


def test_the_effect_of_an_additive_condition():
    labels = torch.tensor([0, 1, 1, 0])
    latents = torch.tensor([[0.0], [1.0], [5.0], [7.0]])
    what = scene(
        Network(Sum(), condition=0), Slope(1.0), 1, (1,), "hinge", labels=labels, latents=latents
    )
    # the labels of samples 1 and 3 differ from those before them, by 1: |3|; z by 1 and 2
    assert measure("condition", what) == pytest.approx({"condition/effect": 3 / 1.5})


def test_labels_that_are_all_equal_tell_nothing():
    what = labelled()
    flat = scene(
        what.generators["generator"],
        what.discriminators["discriminator"],
        4,
        (2,),
        "hinge",
        labels=torch.ones(48, dtype=torch.long),
    )
    assert measure("condition", flat) == {}


def test_labels_stand_where_the_captured_call_had_them():
    network = Network(Conditional(4, 2), arguments=("captured", 7), condition=0)
    labels = torch.arange(3)
    assert network.given(labels)[0][1] == 7
    assert network.given(labels)[0][0] is labels
    assert network.given(None)[0] == ["captured", 7]
    by_name = Network(Conditional(4, 2), keywords={"y": 1, "t": 2}, condition="y")
    assert by_name.given(labels) == ([], {"y": labels, "t": 2})


def test_a_callable_of_the_user_plays_the_module():
    """`call` closes over the module, and still sees the stage's weights."""
    module = nn.Linear(4, 2, bias=False)
    network = Network(module, call=lambda z: {"samples": module(z)}["samples"] * 3)
    what = scene(network, Slope(1.0, 0.0), 4, (2,), "wasserstein")
    found = measure("quantiles", what)
    slope = -(what.latents.mean(0) * 3)
    assert found["gradients/generator/weight/q99"] == pytest.approx(
        np.quantile(np.concatenate([slope.numpy(), np.zeros(4)]), 0.99), rel=1e-4
    )


def test_two_discriminators_are_both_asked():
    """Mean logits of D(x) = x and D(x) = 3 x have slope 2; each is told of by its name."""
    judges = {"left": Network(Slope(1.0)), "right": Network(Slope(3.0))}
    what = dirac([1.0], [0.0], "wasserstein", discriminators=judges)
    assert measure("lipschitz", what)["lipschitz/largest"] == pytest.approx(2.0)
    noise = measure("noise", what)
    assert {n for n in noise if n.startswith("noise_scale/")} == {
        "noise_scale/generator",
        "noise_scale/left",
        "noise_scale/right",
    }


# checkerboard


@pytest.mark.parametrize(("size", "strength"), [(16, 0.5), (32, 0.02), (32, 3.0)])
def test_the_ratio_of_a_planted_checkerboard_in_closed_form(size, strength):
    """An impulse in the middle has a flat spectrum; Hann's transform has three taps.

    At the corner (N/2, N/2) stands 1 + a N^2 / 4, beside it in the Nyquist row and column
    - (1 + a N^2 / 8); the other 2 N - 6 places of row and column keep the impulse's 1.
    """
    middle = size // 2
    sign = 1 - 2 * (torch.arange(size) % 2)
    picture = strength * torch.outer(sign, sign).double()
    picture[middle, middle] += 1
    planted = strength * size**2
    power = (1 + planted / 4) ** 2 + 4 * (1 + planted / 8) ** 2 + 2 * size - 6
    found = nyquist_ratio(picture[None, None])
    assert found.item() == pytest.approx(power / (2 * size - 1), rel=1e-4)


def test_white_noise_reads_one_and_fakes_are_told_over_reals():
    real = numbers(64, 3, 32, 32, seed=1)
    assert nyquist_ratio(real).item() == pytest.approx(1.0, abs=0.05)
    grid = (1 - 2 * (torch.arange(32) % 2)).float()
    found = checkerboard_readings(real, numbers(64, 3, 32, 32, seed=2) + grid[None, None, None])
    assert found["checkerboard/ratio"].item() > 3
    assert checkerboard_readings(real, real)["checkerboard/ratio"].item() == 1.0


def test_shifts_of_brightness_and_odd_sizes_do_not_matter():
    real = numbers(32, 1, 33, 21, seed=1)
    assert nyquist_ratio(real + 100).item() == pytest.approx(nyquist_ratio(real).item(), rel=1e-3)
    assert nyquist_ratio(real).item() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("shape", [(8, 2), (8, 1, 8, 8), (8, 1, 400)])
def test_what_is_no_image_has_no_checkerboard(shape):
    assert checkerboard_readings(torch.zeros(shape), torch.zeros(shape)) == {}


def test_nan_in_images_is_nan():
    real = numbers(4, 1, 16, 16)
    fake = torch.full_like(real, math.nan)
    assert math.isnan(checkerboard_readings(real, fake)["checkerboard/ratio"])


def test_heads_of_the_scene_are_lists_of_logits_and_features():
    heads = TwoHeads()(torch.zeros(2, 1, 16, 16))
    assert [type(head) for head in heads] == [tuple, tuple]
