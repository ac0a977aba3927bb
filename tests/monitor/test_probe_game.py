"""Probes of the game against closed forms: Dirac-GAN, bilinear and quadratic games."""

import math

import pytest
import torch
from probe_scenes import Dirac, Slope, dirac, numbers, points, scene
from torch import nn

from equipoise.monitor.probes import PROBES, Network, Past, Scene, staged
from equipoise.monitor.probes.duality import duality_gap
from equipoise.monitor.probes.field import Field
from equipoise.monitor.probes.losses import losses
from equipoise.monitor.probes.vectors import arnoldi, cosine, eigenvalues


def measure(probe, what):
    return {name: value.item() for name, value in PROBES[probe].measure(what).items()}


def test_the_dirac_gan_without_a_penalty_turns():
    """J = [[0, -1/2], [1/2, 0]] at the equilibrium of the non-saturating game."""
    at_rest = dirac([0.0], [0.0], "non_saturating")
    assert measure("rotation", at_rest)["rotation"] == pytest.approx(1.0, abs=1e-12)
    found = measure("spectrum", at_rest)
    assert found["spectrum/real"] == pytest.approx(0.0, abs=1e-12)
    assert found["spectrum/angle"] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("gamma", [0.1, 0.6, 1.5, 4.0])
def test_the_dirac_gan_with_r1(gamma):
    """l = gamma / 2 +- sqrt(gamma^2 / 4 - 1/4): turning below gamma = 1, descending above."""
    found = measure("spectrum", dirac([0.0], [0.0], "non_saturating", gammas={"r1": gamma}))
    root = complex(gamma**2 / 4 - 1 / 4) ** 0.5
    values = [gamma / 2 + root, gamma / 2 - root]
    assert found["spectrum/real"] == pytest.approx(min(v.real for v in values), abs=1e-9)
    angle = max(abs(v.imag) / abs(v) for v in values)
    assert found["spectrum/angle"] == pytest.approx(angle, abs=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_rotation_of_the_dirac_gan_with_r1(gamma):
    """A = [[0, -1/2], [1/2, 0]], S = diag(0, gamma), |x_i| = 1 / sqrt 2: in closed form."""
    what = dirac([0.0], [0.0], "non_saturating", gammas={"r1": gamma})
    turning, straight = 0.5, gamma / math.sqrt(2)
    expected = turning / (turning + straight)
    assert measure("rotation", what)["rotation"] == pytest.approx(expected, abs=1e-12)


def test_the_bilinear_game_turns_everywhere_in_any_dimension():
    """Wasserstein: L_D = theta'psi, L_G = - theta'psi, so J = [[0, -I], [I, 0]]."""
    what = dirac([1.0, -2.0, 0.5], [0.3, 0.0, 4.0], "wasserstein")
    assert measure("rotation", what)["rotation"] == pytest.approx(1.0, abs=1e-12)
    assert measure("spectrum", what) == pytest.approx(
        {"spectrum/real": 0.0, "spectrum/angle": 1.0}, abs=1e-9
    )


class Constant(nn.Module):
    """D(x) = c, whatever x is: the players do not meet."""

    def __init__(self, c):
        super().__init__()
        self.c = nn.Parameter(torch.tensor(c, dtype=torch.float64))

    def forward(self, x):
        return self.c.expand(len(x))


def test_players_that_do_not_meet_do_not_turn():
    """L_D = softplus(-c) + softplus(c), whose second derivative at 0 is 1/2."""
    what = scene(Dirac(1.0), Constant(0.0), 1, (1,), "non_saturating")
    assert measure("rotation", what)["rotation"] == pytest.approx(0.0, abs=1e-12)
    found = measure("curvature", what)
    assert found["curvature_max/discriminator"] == pytest.approx(0.5, abs=1e-12)
    assert found["curvature_max/generator"] == found["curvature_min/generator"] == 0.0


class Quadratic(nn.Module):
    """G(z) = theta' H theta / 2, one number, so that L_G = - G under D(x) = x."""

    def __init__(self, matrix, theta):
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.theta = nn.Parameter(theta)

    def forward(self, z):
        return (self.theta @ self.matrix @ self.theta / 2).expand(len(z), 1)


@pytest.mark.parametrize("size", [2, 5, 8])
def test_curvature_of_a_quadratic_is_its_spectrum(size):
    half = numbers(size, size, seed=size, kind=torch.float64)
    matrix = half + half.T
    generator = Quadratic(matrix, numbers(size, seed=9, kind=torch.float64))
    found = measure("curvature", scene(generator, Slope(1.0), 1, (1,), "wasserstein"))
    truth = torch.linalg.eigvalsh(-matrix)
    assert found["curvature_max/generator"] == pytest.approx(truth[-1].item(), rel=1e-9)
    assert found["curvature_min/generator"] == pytest.approx(truth[0].item(), rel=1e-9)


def test_curvature_of_a_large_quadratic_lies_within_and_near_its_spectrum():
    matrix = torch.diag(torch.linspace(-3, 7, 60, dtype=torch.float64))
    generator = Quadratic(-matrix, numbers(60, seed=9, kind=torch.float64))
    found = measure("curvature", scene(generator, Slope(1.0), 1, (1,), "wasserstein"))
    assert 6.5 < found["curvature_max/generator"] <= 7 + 1e-9
    assert -3 - 1e-9 <= found["curvature_min/generator"] < -2.5


@pytest.mark.parametrize("objective", ["non_saturating", "relativistic", "least_squares"])
def test_products_with_the_jacobian_are_those_of_the_dense_one(objective):
    """Column by column: the derivative of the field by one weight at a time, by differences."""
    what = points(objective, gammas={"r1": 2.0, "r2": 1.0})
    for network in what.networks.values():
        network.module.double()
    tensors = {k: getattr(what, k).double() for k in ("latents", "reals")}
    what = scene(
        what.generators["generator"],
        what.discriminators["discriminator"],
        4,
        (2,),
        objective,
        gammas=what.gammas,
        **tensors,
    )
    with staged(what) as stage:
        field = Field(stage)
        x, y = (numbers(len(field.value), seed=s, kind=torch.float64) for s in (5, 6))
        forward, backward = field.times(x), field.transposed_times(y)
        ahead, behind = (_field_at(what, sign * 1e-6 * x) for sign in (1, -1))
    torch.testing.assert_close(forward, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-6)
    assert (y @ forward).item() == pytest.approx((backward @ x).item(), rel=1e-9)


def _field_at(what, move):
    """The field where all weights have moved by `move`, by plain backward passes."""
    with staged(what) as stage:
        rest = move
        for player in what.networks:
            moved = []
            for weight in stage.weights(player):
                moved.append(weight.detach() + rest[: weight.numel()].view_as(weight))
                rest = rest[weight.numel() :]
            stage.put(player, moved)
        both = losses(stage, 32)
        theta, psi = stage.weights("generator"), stage.weights("discriminator")
        slopes = torch.autograd.grad(both.generator, theta, retain_graph=True)
        slopes += torch.autograd.grad(both.discriminator, psi)
        return torch.cat([s.flatten() for s in slopes])


def test_arnoldi_of_a_matrix_with_turning_and_real_parts():
    blocks = torch.block_diag(
        torch.tensor([[1.0, -2.0], [2.0, 1.0]]), torch.tensor([[-0.5]]), torch.tensor([[3.0]])
    ).double()
    upper = arnoldi(lambda v: blocks @ v, torch.ones(4, dtype=torch.float64), 10)
    got = sorted(eigenvalues(upper).tolist(), key=lambda v: (round(v.real, 9), v.imag))
    expected = [-0.5, 1 - 2j, 1 + 2j, 3]
    assert all(abs(a - b) < 1e-9 for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize(("theta", "psi"), [(0.0, 0.0), (0.5, -0.25), (1.0, 2.0)])
def test_the_duality_gap_of_the_bilinear_game(theta, psi):
    """M = - theta psi: under a constant slope Adam moves lr a step; DG = k lr (|theta| + |psi|)."""
    what = dirac([theta], [psi], "wasserstein", learning_rates={"generator": 1e-2})
    expected = 10 * (1e-3 * abs(theta) + 1e-2 * abs(psi))
    assert measure("duality", what)["duality_gap"] == pytest.approx(expected, rel=1e-4, abs=1e-12)
    assert duality_gap(what, steps=0)["duality_gap"].item() == 0.0


class Anisotropic(nn.Module):
    """L_G = |theta - 1|^2 / 2 for D(x) = -x."""

    def __init__(self, start):
        super().__init__()
        self.theta = nn.Parameter(start)

    def forward(self, z):
        return ((self.theta - 1) ** 2).sum().mul(0.5).expand(len(z), 1)


def test_the_path_to_a_point_that_attracts_changes_its_sign():
    generator = Anisotropic(torch.full((3,), 3.0, dtype=torch.float64))
    what = scene(generator, Fixed(), 1, (1,), "wasserstein")
    assert measure("path_angle", what) == {}
    assert measure("path_angle", what) == {}, "nothing moved"
    with torch.no_grad():
        generator.theta.fill_(1.0)
    found = measure("path_angle", what)
    assert found["path_angle/before"] == pytest.approx(-1.0)
    assert math.isnan(found["path_angle/at"])
    assert found["path_angle/after"] == pytest.approx(1.0)


class Fixed(nn.Module):
    """D(x) = -x, which learns nothing."""

    def forward(self, x):
        return -x


def test_the_path_past_a_centre_of_rotation_has_no_sign():
    """Bilinear: v = (- psi, theta) stands across any way that comes from the centre."""
    what = dirac([1.0], [2.0], "wasserstein")
    measure("path_angle", what)
    with torch.no_grad():
        for network in what.networks.values():
            next(network.module.parameters()).mul_(0.5)
    found = measure("path_angle", what)
    assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-12)
    assert len(found) == 3


def test_the_path_in_the_bilinear_game_in_closed_form():
    what = dirac([1.0], [2.0], "wasserstein")
    measure("path_angle", what)
    with torch.no_grad():
        what.generators["generator"].module.theta.fill_(4.0)
    found = measure("path_angle", what)
    for place, alpha in (("before", 0.75), ("at", 1.0), ("after", 1.25)):
        theta = 1 + 3 * alpha  # the way is along theta, where v is - psi = -2
        expected = -2 / math.hypot(2, theta)
        assert found[f"path_angle/{place}"] == pytest.approx(expected, rel=1e-9)


def test_gradient_noise_of_a_critic_is_that_of_the_means():
    """Wasserstein, D(x) = psi'x: dL_D/dpsi of a part is mean(fake) - mean(real)."""
    latents, reals = (numbers(48, 3, seed=s, kind=torch.float64) + s / 3 for s in (1, 2))
    shifted = scene(
        Shift(), Slope(1.0, 0.0, 2.0), 3, (3,), "wasserstein", latents=latents, reals=reals
    )
    found = measure("noise", shifted)
    rows = (latents - reals).view(4, 12, 3).mean(1)
    halves = rows[:2].sum(0), rows[2:].sum(0)
    mean = rows.mean(0)
    spread = (rows - mean).square().sum() / 3
    signal = mean.square().sum() - spread / 4
    assert found["gradient_cosine/discriminator"] == pytest.approx(cosine(*halves).item())
    assert found["noise_scale/discriminator"] == pytest.approx((12 * spread / signal).item())
    # every fake is pushed along psi alike: no noise at all
    assert found["gradient_cosine/generator"] == pytest.approx(1.0)
    assert found["noise_scale/generator"] == pytest.approx(0.0, abs=1e-12)


class Shift(nn.Module):
    """G(z) = z + theta."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, z):
        return z + self.theta


def test_forgetting_counts_old_fakes_by_the_present_discriminator():
    """D(x) = x: old fakes at -2, -1, 1, 3 of which the old discriminator had all right."""
    old = torch.tensor([[-2.0], [-1.0], [1.0], [3.0]], dtype=torch.float64)
    what = dirac([-1.0], [1.0], "non_saturating", past=Past(old, None, 1.0))
    assert measure("forgetting", what) == {"forgetting": -0.5}


def test_forgetting_keeps_its_own_past_and_its_own_accuracy():
    what = dirac([-1.0], [1.0], "non_saturating")  # fakes at -1, all judged right
    assert measure("forgetting", what) == {}
    assert measure("forgetting", what) == {"forgetting": 0.0}
    with torch.no_grad():
        what.discriminators["discriminator"].module.psi.fill_(-1.0)
    assert measure("forgetting", what) == {"forgetting": -1.0}


def test_relativistic_forgetting_counts_from_the_midpoint():
    """Reals at 0, fakes at -1: the midpoint of the logits is -1/2."""
    old = torch.tensor([[-2.0], [-0.4], [-0.6], [3.0]], dtype=torch.float64)
    what = dirac([-1.0], [1.0], "relativistic", past=Past(old, None, 0.75))
    assert measure("forgetting", what) == {"forgetting": -0.25}


def test_a_scene_without_an_objective_lets_the_game_alone():
    lacks = {name: probe.missing(points(None)) for name, probe in PROBES.items()}
    assert lacks["rotation"] == lacks["noise"] == {"objective"}
    assert not lacks["lipschitz"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "hing"}, "did you mean 'hinge'"),
        ({"objective": "hinge", "gammas": {"r3": 1.0}}, "unknown penalty 'r3'"),
        ({"objective": "hinge", "gammas": {"lecam": 1.0}}, r"gammas\['lecam'\] = 1.0: it needs"),
    ],
)
def test_a_scene_refuses_what_cannot_be_played(options, words):
    with pytest.raises(ValueError, match=words):
        Scene(generators={"generator": Network(nn.Linear(2, 2))}, **options)
