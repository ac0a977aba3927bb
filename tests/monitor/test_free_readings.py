"""Readings without a pass: divergence, contrast of batches, empty gradients, the pull on fakes."""

import math

import pytest
import torch
from torch import nn

from equipoise.game import OBJECTIVES
from equipoise.monitor import Monitor
from equipoise.monitor.pull import Pull
from equipoise.monitor.readings import (
    certainty_reading,
    contrast_readings,
    divergence_reading,
    emptiness_readings,
    pull_readings,
    silent_share,
)


def each(readings, *batches):
    """What `readings` tells of one iteration."""
    return {name: rows[0] for name, rows in readings(*(b[None] for b in batches)).items()}


WIDE = torch.linspace(-12, 12, 4001, dtype=torch.float64)


def density(mean):
    return torch.exp(-((WIDE - mean) ** 2) / 2) / math.sqrt(2 * math.pi)


def at_the_optimum(objective, d):
    """The divergence at the best discriminator between N(0, 1) and N(d, 1), by weighted samples."""
    p, q = density(0.0), density(d)
    best = {
        "non_saturating": (p / q).log(),
        "hinge": torch.sign(p - q),
        "least_squares": p / (p + q),
    }[objective]
    rng = torch.Generator().manual_seed(0)
    real = best[torch.multinomial(p, 200_000, replacement=True, generator=rng)]
    fake = best[torch.multinomial(q, 200_000, replacement=True, generator=rng)]
    return divergence_reading(objective, real, fake)["divergence"].item()


# Closed forms at d = 1: JS, total variation, 1 - 4 x half the overlap.
@pytest.mark.parametrize(
    ("objective", "known"),
    [
        ("non_saturating", 0.111421),
        ("hinge", 1 - 1.234150 / 2),
        ("least_squares", 1 - 4 * 0.198986),
    ],
)
def test_the_divergence_at_the_best_discriminator_is_the_closed_form(objective, known):
    assert at_the_optimum(objective, 1.0) == pytest.approx(known, abs=0.004)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_divergence_is_zero_at_chance_and_absent_for_pairs(objective):
    neutral = torch.full((8,), OBJECTIVES[objective].neutral)
    found = divergence_reading(objective, neutral, neutral)
    assert bool(found) != OBJECTIVES[objective].pairs
    assert all(value.item() == pytest.approx(0, abs=1e-6) for value in found.values())


def test_the_critics_gap_is_its_divergence():
    found = divergence_reading("wasserstein", torch.tensor([3.0, 5.0]), torch.tensor([1.0]))
    assert found["divergence"].item() == 3.0


def test_logits_beyond_the_hinges_margins_are_silent():
    real, fake = torch.tensor([2.0, 0.5, 1.5, 3.0]), torch.tensor([-2.0, 0.0])
    assert silent_share("hinge", real, fake)["logits/silent"].item() == (0.75 + 0.5) / 2
    assert silent_share("non_saturating", real, fake) == {}


def test_batches_that_differ_by_their_range_are_shifted():
    real = torch.rand(32, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert each(contrast_readings, real, real)["batch/shift"].item() == 0
    moved = each(contrast_readings, real, real * 127.5 + 127.5)
    assert moved["batch/shift"].item() == pytest.approx(127.5 / real[:, 0].std().item(), rel=0.1)
    red = real.clone()
    red[:, 0] += 1.0
    assert each(contrast_readings, real, red)["batch/shift"].item() == pytest.approx(
        1 / real[:, 0].std(correction=0).item()
    )


def test_saturated_fakes_lie_at_the_ends_of_the_reals_range():
    real = torch.linspace(-1, 1, 1000).reshape(10, 1, 100)
    fake = torch.full((10, 1, 100), 0.999)
    found = each(contrast_readings, real, fake)
    assert found["saturation/real"].item() == pytest.approx(0.02, abs=0.003)
    assert found["saturation/fake"].item() == 1
    assert each(contrast_readings, real, torch.zeros(10, 2, 100)) == {}


def test_empty_and_underflowing_entries_are_counted():
    tensors = [torch.tensor([0.0, 0.0, 1.0, -2.0]), torch.tensor([[1e-9, 1.0], [1e-8, -1e-9]])]
    found = emptiness_readings(tensors, "g")
    assert found["gradient_zero/g"].item() == 2 / 8
    assert found["gradient_underflow/g"].item() == 3 / 8


def test_large_gradients_are_thinned_evenly():
    random = (torch.rand(1 << 20, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    share = emptiness_readings([random], "g")["gradient_zero/g"].item()
    assert share == pytest.approx(0.7, abs=0.01)


def adam_states(gradients, betas):
    """Moments after a list of gradients, as torch keeps them."""
    weight = nn.Parameter(torch.zeros_like(gradients[0]))
    optimizer = torch.optim.Adam([weight], lr=0.0, betas=betas)
    for gradient in gradients:
        weight.grad = gradient
        optimizer.step()
    return [optimizer.state[weight]]


@pytest.mark.parametrize("betas", [(0.5, 0.99), (0.9, 0.999)])
def test_noise_has_a_certainty_of_one_and_agreement_has_the_inverse_of_the_floor(betas):
    rng = torch.Generator().manual_seed(0)
    noise = list(torch.randn(2000, 5000, generator=rng))
    found = certainty_reading(adam_states(noise, betas), betas, 2000, "g")
    assert found["certainty/g"].item() == pytest.approx(1, abs=0.02)
    agreed = certainty_reading(adam_states([torch.ones(10)] * 50, betas), betas, 50, "g")
    floor = math.sqrt((1 - betas[0]) / (1 + betas[0]))
    assert agreed["certainty/g"].item() == pytest.approx(1 / floor)


def test_without_momentum_certainty_says_nothing():
    betas = (0.0, 0.99)
    assert certainty_reading(adam_states([torch.ones(3)], betas), betas, 1, "g") == {}
    assert certainty_reading([], (0.5, 0.9), 3, "g") == {}


def test_the_pull_is_a_samples_own_and_its_alignment_a_mean_cosine():
    gradient = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-2.0, 0.0]]) / 3
    found = each(pull_readings, gradient)
    assert found["pull/norm"].item() == pytest.approx((5 + 1 + 2) / 3)
    units = gradient / gradient.norm(dim=1, keepdim=True)
    cosines = [float(units[i] @ units[j]) for i in range(3) for j in range(3) if i != j]
    assert found["pull/alignment"].item() == pytest.approx(sum(cosines) / 6)
    assert each(pull_readings, torch.ones(4, 7))["pull/alignment"].item() == pytest.approx(1)
    assert "pull/alignment" not in each(pull_readings, torch.ones(1, 7))


def test_the_hook_reads_the_generators_phase_alone_and_changes_nothing():
    torch.manual_seed(0)
    generator, discriminator = nn.Linear(2, 3), nn.Linear(3, 1)
    seen = []

    def kept(kind, tensors, read):
        seen.extend(read([t[None] for t in tensors]).items())

    pull = Pull([generator], kept, lambda work: work())
    pull.wanted = True
    z = torch.randn(4, 2)

    def backward():
        generator.zero_grad()
        discriminator(generator(z).detach()).mean().backward()  # the discriminator's phase
        (-discriminator(generator(z))).mean().backward()
        return generator.weight.grad.clone()

    watched = backward()
    assert [name for name, _ in seen] == ["pull/norm", "pull/alignment"]
    assert seen[0][1].item() == pytest.approx(discriminator.weight.norm().item(), rel=1e-5)
    pull.detach()
    pull.detach()
    assert torch.equal(watched, backward())
    assert len(seen) == 2


def test_a_monitored_loop_leaves_all_of_them_in_its_trace():
    torch.manual_seed(0)
    g, d = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizers = [torch.optim.Adam(m.parameters(), lr=1e-3, betas=(0.5, 0.9)) for m in (g, d)]
    monitor = Monitor(g, d, *optimizers, objective="hinge", tick=4, schedule="fixed", stride=1)
    for _ in range(12):
        real, z = torch.randn(8, 2), torch.randn(8, 2)
        r, f = d(real), d(g(z).detach())
        loss_d = (1 - r).relu().mean() + (1 + f).relu().mean()
        optimizers[1].zero_grad()
        loss_d.backward()
        optimizers[1].step()
        fake = g(z)
        loss_g = -d(fake).mean()
        optimizers[0].zero_grad()
        loss_g.backward()
        optimizers[0].step()
        monitor.observe(real=real, fake=fake, real_logits=r, fake_logits=f)
    signals = monitor.trace().signals
    wanted = {"divergence", "logits/silent", "logits/drift", "batch/shift", "saturation/fake"}
    wanted |= {"pull/norm", "pull/alignment"}
    wanted |= {f"{stem}/{player}" for stem in ("gradient_zero", "gradient_underflow", "certainty")
               for player in ("generator", "discriminator")}  # fmt: skip
    assert wanted <= set(signals)
    assert all(len(signals[name]) == 3 for name in wanted)
