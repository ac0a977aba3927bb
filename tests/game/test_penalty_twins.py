"""Every penalty against a loop over samples, each with an autograd call of its own."""

import pytest
import torch
from torch import nn

from equipoise.game import (
    PENALTIES,
    WEIGHT_PENALTIES,
    Setting,
    discriminator_loss,
    lecam,
    lecam_state,
    lecam_update,
    objective,
    path_length,
    path_length_state,
    path_length_update,
    path_lengths,
    zero_centred,
)
from equipoise.game.penalties import scored

N, SHAPE = 4, (2, 4, 4)
SEED, STEP = 11, 0.01
HIGH, LOW = 0.25, -0.5  # LeCam's anchors, exact in single precision


def steep(*layers):
    """Weights large enough for one-sided penalties to have a say."""
    network = nn.Sequential(*layers).double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(3)
    return network


DISCRIMINATORS = {
    "logits (N,)": lambda: steep(
        nn.Flatten(), nn.Linear(32, 6), nn.Tanh(), nn.Linear(6, 1), nn.Flatten(0)
    ),
    "logits (N, 1)": lambda: steep(nn.Flatten(), nn.Linear(32, 6), nn.Tanh(), nn.Linear(6, 1)),
    "patches (N, 1, 2, 2)": lambda: steep(
        nn.Conv2d(2, 4, 3, padding=1), nn.Softplus(), nn.Conv2d(4, 1, 2, 2)
    ),
}


def seeded():
    return torch.Generator().manual_seed(SEED)


def turned(images):
    return images.flip(-1) * 0.5


def setting_for(fake, **more):
    anchors = lecam_update(lecam_state(), torch.full((3,), HIGH), torch.full((3,), LOW))
    return Setting(seeded(), augment=turned, nearby=fake + 0.1, lecam=anchors, **more)


# --- the slow twins: one sample at a time ---------------------------------------------------------


def length(d, x):
    """||dD/dx|| of one image, of the sum over its patches."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(d(x[None]).sum(), x, create_graph=True)
    return slope.square().sum().sqrt()


def lines(real, fake):
    alphas = torch.rand(N, generator=seeded(), dtype=real.dtype)
    for alpha, x, y in zip(alphas, real, fake, strict=True):
        yield alpha * x + (1 - alpha) * y


def neighbours(real):
    noise = seeded()
    spread = 0.5 * ((real - real.mean()) ** 2).mean().sqrt()
    moves = spread * torch.rand(real.shape, generator=noise, dtype=real.dtype)
    alphas = torch.rand(N, generator=noise, dtype=real.dtype)
    for x, move, alpha in zip(real, moves, alphas, strict=True):
        yield x + alpha * move


def differences(d, real):
    directions = torch.randn(real.shape, generator=seeded(), dtype=real.dtype)
    for x, u in zip(real, directions, strict=True):
        yield ((d((x + STEP * u)[None]).sum() - d((x - STEP * u)[None]).sum()) / (2 * STEP)) ** 2


def apart(d, x, y):
    return ((d(x[None]) - d(y[None])) ** 2).mean()


SLOW = {
    "r1": lambda d, r, f: [length(d, x) ** 2 for x in r],
    "r2": lambda d, r, f: [length(d, y) ** 2 for y in f],
    "r1_finite_difference": lambda d, r, f: list(differences(d, r)),
    "wgan_gp": lambda d, r, f: [(length(d, x) - 1) ** 2 for x in lines(r, f)],
    "wgan_gp_one_sided": lambda d, r, f: [
        (length(d, x) - 1).clamp(min=0) ** 2 for x in lines(r, f)
    ],
    "zero_gp": lambda d, r, f: [length(d, x) ** 2 for x in lines(r, f)],
    "dragan": lambda d, r, f: [(length(d, x) - 1) ** 2 for x in neighbours(r)],
    "drift": lambda d, r, f: [(d(x[None]) ** 2).mean() for x in r],
    "lecam": lambda d, r, f: [
        ((d(x[None]) - LOW).clamp(min=0) ** 2).mean()
        + ((HIGH - d(y[None])).clamp(min=0) ** 2).mean()
        for x, y in zip(r, f, strict=True)
    ],
    "cr": lambda d, r, f: [apart(d, x, turned(x)) for x in r],
    "bcr": lambda d, r, f: [
        apart(d, x, turned(x)) + apart(d, y, turned(y)) for x, y in zip(r, f, strict=True)
    ],
    "zcr": lambda d, r, f: [apart(d, y, y + 0.1) for y in f],
}


def test_every_penalty_has_a_slow_twin():
    assert set(SLOW) == set(PENALTIES)


@pytest.mark.parametrize("kind", DISCRIMINATORS)
@pytest.mark.parametrize("name", SLOW)
def test_the_batch_at_once_is_the_loop_over_samples(name, kind):
    """Values, and the gradient by the discriminator's weights of their mean."""
    d = DISCRIMINATORS[kind]()
    real, fake = torch.randn(2, N, *SHAPE, dtype=torch.float64)
    pair = scored(d, real, fake, PENALTIES[name].differentiates, setting=setting_for(fake))
    fast, slow = PENALTIES[name].value(pair), torch.stack(SLOW[name](d, real, fake))
    assert fast.shape == (N,)
    torch.testing.assert_close(fast, slow, rtol=1e-6, atol=1e-9)
    weights = list(d.parameters())
    slopes = [torch.autograd.grad(x.mean(), weights, materialize_grads=True) for x in (fast, slow)]
    assert any(slope.abs().max() > 1e-6 for slope in slopes[0])
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("name", SLOW)
def test_the_loss_is_the_objective_and_the_weighed_mean_of_the_loop(name, joint):
    d, hinge = DISCRIMINATORS["logits (N,)"](), objective("hinge")
    real, fake = torch.randn(2, N, *SHAPE, dtype=torch.float64)
    move = discriminator_loss(d, hinge, real, fake, {name: 0.7}, joint, setting_for(fake))
    terms = [hinge.discriminator(d(x[None]), d(y[None])) for x, y in zip(real, fake, strict=True)]
    by_hand = (
        torch.cat(terms).mean()
        + 0.7 * PENALTIES[name].factor * torch.stack(SLOW[name](d, real, fake)).mean()
    )
    torch.testing.assert_close(move.loss, by_hand, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("how", "factor"), [("per_pixel", 4.0), ("per_patch", 0.25)])
@pytest.mark.parametrize("name", ["r1", "r2", "zero_gp", "wgan_gp", "wgan_gp_one_sided", "dragan"])
def test_a_slope_by_the_unit_square_or_by_patch_is_a_scaled_discriminators(name, how, factor):
    """The root of 16 pixels times as steep; the mean over 4 patches, not their sum."""
    d = DISCRIMINATORS["patches (N, 1, 2, 2)"]()
    real, fake = torch.randn(2, N, *SHAPE, dtype=torch.float64)
    setting = setting_for(fake, **{how: True})
    pair = scored(d, real, fake, PENALTIES[name].differentiates, setting=setting)
    by_hand = torch.stack(SLOW[name](lambda x: factor * d(x), real, fake))
    torch.testing.assert_close(PENALTIES[name].value(pair), by_hand)


# --- one call for both sides ----------------------------------------------------------------------


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(make() for make in DISCRIMINATORS.values())

    def forward(self, x):
        return [part(x) for part in self.parts]


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("make", [*DISCRIMINATORS.values(), Two])
def test_r1_and_r2_of_one_autograd_call_are_those_of_two(monkeypatch, make, joint):
    d = make()
    speaking = len(d.parts) if isinstance(d, Two) else 1
    real, fake = torch.randn(2, N, *SHAPE, dtype=torch.float64)
    pair, calls, grad = scored(d, real, fake, ("real", "fake"), joint), [], torch.autograd.grad

    def counted(*args, **kwargs):
        calls.append(1)
        return grad(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    fused = [PENALTIES[name].value(pair) for name in ("r1", "r2")]
    assert len(calls) == speaking
    two = [zero_centred(d, side) for side in (real, fake)]
    assert len(calls) == 3 * speaking
    torch.testing.assert_close(fused, two)
    weights = list(d.parameters())
    slopes = [
        grad((3 * a + 0.5 * b).mean(), weights, materialize_grads=True) for a, b in (fused, two)
    ]
    torch.testing.assert_close(*slopes)


def test_r1_alone_differentiates_by_the_reals_alone(monkeypatch):
    d, images = DISCRIMINATORS["logits (N,)"](), torch.randn(2, N, *SHAPE, dtype=torch.float64)
    seen, grad = [], torch.autograd.grad
    pair = scored(d, *images, ("real",))
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *a, **k: seen.append(len(a[1])) or grad(*a, **k)
    )
    PENALTIES["r1"].value(pair)
    assert seen == [1]


# --- LeCam ----------------------------------------------------------------------------------------


def test_lecam_is_the_papers_formula_where_the_sides_stand_apart_and_less_elsewhere():
    """E |D(x) - alpha_F|^2 + E |D(G(z)) - alpha_R|^2, the paper's eq. 3; the code clamps at 0."""
    state = lecam_update(lecam_state(), torch.full((3,), HIGH), torch.full((3,), LOW))
    real = LOW + torch.rand(50, dtype=torch.float64) * 3
    fake = HIGH - torch.rand(50, dtype=torch.float64) * 3
    torch.testing.assert_close(lecam(real, fake, state), (real - LOW) ** 2 + (fake - HIGH) ** 2)
    turned_round = lecam(2 * LOW - real, 2 * HIGH - fake, state)
    assert turned_round.abs().max() == 0


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_lecams_anchors_are_a_loop_over_the_readings(decay):
    state = lecam_state(decay)
    real_mean = fake_mean = weight = 0.0
    for _ in range(12):
        real, fake = torch.randn(5) + 2, torch.randn(5, 1, 3, 3) - 1
        state = lecam_update(state, real, fake)
        real_mean = decay * real_mean + (1 - decay) * sum(real.tolist()) / 5
        fake_mean = decay * fake_mean + (1 - decay) * sum(fake.flatten().tolist()) / 45
        weight = decay * weight + (1 - decay)
        expected = [real_mean / weight, fake_mean / weight]
        assert [a.item() for a in state.anchors()] == pytest.approx(expected, rel=1e-5)


# --- path length and orthogonality ----------------------------------------------------------------


@pytest.mark.parametrize("layers", [0, 3])
def test_path_lengths_are_those_of_the_explicit_jacobian(layers):
    """||J'y|| sample by sample, J written out; with one w a layer, the root of their mean."""
    make = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 18)).double()
    mixed = lambda w: make(w.sum(1) if layers else w).view(-1, 2, 3, 3)  # noqa: E731 - one formula
    w = torch.randn(N, *([layers] if layers else []), 3, dtype=torch.float64, requires_grad=True)
    lengths = path_lengths(mixed(w), w, seeded())
    y = torch.randn(N, 2, 3, 3, generator=seeded(), dtype=torch.float64) / 3  # sqrt of 9 pixels
    for i in range(N):
        jacobian = torch.autograd.functional.jacobian(lambda v: mixed(v[None])[0], w[i].detach())
        squares = torch.einsum("chw,chw...d->...d", y[i], jacobian).square().sum(-1)
        assert lengths[i].item() == pytest.approx(squares.mean().sqrt().item(), rel=1e-12)


def test_the_running_mean_of_path_lengths_is_a_loop():
    state, mean = path_length_state(0.3), 0.0
    for _ in range(6):
        lengths = torch.rand(5) * 4
        state = path_length_update(state, lengths)
        mean += 0.3 * (sum(lengths.tolist()) / 5 - mean)
        assert state.mean.item() == pytest.approx(mean, rel=1e-6)
        by_hand = [(v - mean) ** 2 for v in lengths.tolist()]
        assert path_length(lengths, state).tolist() == pytest.approx(by_hand, abs=1e-5)


def orthogonal_by_loop(rows, diagonal):
    total = 0.0
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            product = sum(x * y for x, y in zip(a, b, strict=True))
            if i != j or diagonal:
                total += (product - (i == j)) ** 2
    return total


@pytest.mark.parametrize("name", ["orthogonal", "orthonormal"])
def test_orthogonality_is_a_loop_over_pairs_of_filters(name):
    assert set(WEIGHT_PENALTIES) == {"orthogonal", "orthonormal"}
    net = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Linear(4, 5)).double()
    expected = sum(
        orthogonal_by_loop(layer.weight.detach().flatten(1).tolist(), name == "orthonormal")
        for layer in (net[0], net[2])
    )
    assert WEIGHT_PENALTIES[name](net).item() == pytest.approx(expected, rel=1e-12)
