"""Readings of many iterations at once are those of each iteration by itself."""

import math

import pytest
import torch
from torch import nn
from toy_loop import dense, noisy_players, plain_players, play

from equipoise.monitor import tick as tick_module
from equipoise.monitor import update as update_module
from equipoise.monitor.observation import Observation
from equipoise.monitor.readings import certainty_reading, emptiness_readings, total_norm
from equipoise.monitor.tick import LARGEST, Tick
from equipoise.monitor.update import Update

STEPS = 12


def slow_batch(real, fake):
    """Batch statistics sample by sample, pair by pair, channel by channel, in double."""
    found = {}
    for side, batch in (("real", real), ("fake", fake)):
        x = batch.double().flatten()
        found[f"batch/{side}/mean"] = x.mean()
        found[f"batch/{side}/std"] = x.std(correction=0)
        found[f"batch/{side}/extreme"] = x.abs().max()

    def distances(batch):
        few = batch[:32].double().flatten(1)
        among = [[(a - b).norm() for j, b in enumerate(few) if j != i] for i, a in enumerate(few)]
        nearest = sorted(min(row) for row in among)
        pairs = sorted(among[i][j] for i in range(len(few)) for j in range(i))
        return nearest[(len(nearest) - 1) // 2], pairs[(len(pairs) - 1) // 2]

    (near_real, pair_real), (near_fake, pair_fake) = distances(real), distances(fake)
    found |= {"diversity/nearest": near_fake / near_real}
    found |= {"diversity/pairwise": pair_fake / pair_real}
    r, f = real[:32].double(), fake[:32].double()
    low, margin = r.min(), 0.01 * (r.max() - r.min())
    for side, x in (("real", r), ("fake", f)):
        ends = (x <= low + margin) | (x >= r.max() - margin)
        found[f"saturation/{side}"] = ends.double().mean()
    shifts = [
        (f[:, c].mean() - r[:, c].mean()).abs() / r[:, c].std(correction=0)
        for c in range(r.shape[1])
    ]
    return found | {"batch/shift": max(shifts)}


def slow_logits(real, fake):
    """Logit statistics one by one, in double."""
    r, f = real.double().flatten(), fake.double().flatten()
    wins = [(a > b) + 0.5 * (a == b) for a in r.tolist() for b in f.tolist()]
    spread = ((r.var(correction=0) + f.var(correction=0)) / 2).sqrt()
    jensen_shannon = math.log(2) - (nn.functional.softplus(-r).mean()
                                    + nn.functional.softplus(f).mean()) / 2  # fmt: skip
    return {
        "auc/discriminator": sum(wins) / len(wins),
        "accuracy/discriminator": ((r > 0).double().mean() + (f < 0).double().mean()) / 2,
        "logits/gap": (r.mean() - f.mean()) / spread,
        "logits/drift": (r.mean() + f.mean()) / 2,
        "logits/extreme": torch.cat([r, f]).abs().max(),
        "logits/real/std": r.std(correction=0),
        "logits/fake/mean": f.mean(),
        "sign_rate/real": r.sign().mean(),
        "divergence": jensen_shannon,
    }


@pytest.mark.parametrize("most", [0, 1 << 9, 1 << 17], ids=["at-once", "few", "together"])
@pytest.mark.parametrize("shape", [(40, 3, 4, 4), (9, 2)])
def test_a_ticks_readings_are_the_means_of_slow_ones(monkeypatch, shape, most):
    """Whether read at once, in several parts or together."""
    monkeypatch.setattr(tick_module, "MOST_KEPT", most)
    monkeypatch.setattr(tick_module, "MOST_WAITING", most)
    rng = torch.Generator().manual_seed(0)
    tick, slow = Tick(), []
    for step in range(7):
        real, fake = (torch.randn(shape, generator=rng) + side for side in (0.0, 0.1 * step))
        on_real, on_fake = (torch.randn(shape[0], 1, generator=rng) + s for s in (0.5, -0.5))
        logits = {"real_logits": on_real, "fake_logits": on_fake, "generator_logits": on_fake}
        losses = {"d": on_fake.mean(), "g": 2.0}
        Observation(real, fake, **logits, losses=losses).read(tick, 0.0, "non_saturating")
        slow.append(slow_batch(real, fake) | slow_logits(on_real, on_fake))
        slow[-1] |= {"loss/discriminator": on_fake.mean(), "loss/generator": 2.0}
        for tensor in (real, fake, on_real, on_fake):
            tensor.fill_(torch.nan)  # the loop may use its buffers again
    found = tick.fetch()
    assert tick.empty
    for name in slow[0]:
        values = [float(row[name]) for row in slow]
        expected = max(values) if name in LARGEST else sum(values) / len(values)
        assert found[name] == pytest.approx(expected, rel=2e-5, abs=1e-6), name


@pytest.mark.parametrize("players", [plain_players, noisy_players], ids=["plain", "noisy"])
def test_updates_that_wait_read_as_those_on_the_spot(monkeypatch, players):
    quick = play(STEPS, dense(tick=5), players).monitor
    monkeypatch.setattr("equipoise.monitor.player.fits", lambda tensors: False)
    spot = play(STEPS, dense(tick=5), players).monitor
    quick.close()
    spot.close()
    expected, got = spot.trace(), quick.trace()
    names = set(expected.signals) - {"cost/monitor"}
    assert names == set(got.signals) - {"cost/monitor"}
    for name in names:
        assert got.series(name).steps.tolist() == expected.series(name).steps.tolist()
        assert got.series(name).values == pytest.approx(
            expected.series(name).values, rel=1e-5, abs=1e-7
        ), name


@pytest.mark.parametrize("betas", [(0.0, 0.99), (0.5, 0.9)])
@pytest.mark.parametrize("width", [3, 120], ids=["whole", "thinned"])
def test_one_row_holds_all_of_an_update(betas, width):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    if width > 3:
        network[0] = nn.Linear(width, 300)  # 36,000 numbers: more than are looked at
        network[2] = nn.Linear(300, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, betas=betas)
    tick, slow = Tick(), []
    parameters = list(network.parameters())
    for step in range(5):
        optimizer.zero_grad()
        network(torch.randn(4, width)).mean().backward()
        gradients = [p.grad for p in parameters]
        states = [optimizer.state[p] for p in parameters if step]
        row = emptiness_readings(gradients, "d") | certainty_reading(states, betas, step, "d")
        row |= {
            "gradient_norm/d": total_norm(gradients),
            "parameter_norm/d": total_norm(parameters),
        }
        moments = [(s["exp_avg"], s["exp_avg_sq"]) for s in states if betas[0]]
        update = Update("d", gradients, parameters, moments, betas)
        before = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            update.begin(step)
            optimizer.step()
            update.end(tick)
        moved = [p.detach() - b for p, b in zip(parameters, before, strict=True)]
        row["update_ratio/d"] = total_norm(moved) / total_norm(before)
        slow.append({name: float(value.detach()) for name, value in row.items()})
    found = tick.fetch()
    assert found.pop("nonfinite/d") == 0
    assert set(found) == set(slow[-1])
    for name, value in found.items():
        values = [row[name] for row in slow if name in row]
        assert value == pytest.approx(sum(values) / len(values), rel=1e-5), name


def test_a_gradient_that_is_not_finite_is_counted_and_its_row_alone():
    layer, tick = nn.Linear(2, 1), Tick()
    for value in (1.0, math.inf, 1.0, math.nan):
        for p in layer.parameters():
            p.grad = torch.full_like(p, value)
        with torch.no_grad():
            update = Update(
                "d", [p.grad for p in layer.parameters()], [*layer.parameters()], [], None
            )
            update.begin(0)
            update.end(tick)
    found = tick.fetch()
    assert found["nonfinite/d"] == 0.5
    assert found["update_ratio/d"] == 0


class Odd(torch.Tensor):
    """A subclass, whose numbers may mean something else."""


@pytest.mark.parametrize(
    "tensors",
    [
        [torch.zeros(2), torch.zeros(2, dtype=torch.float64)],
        [torch.zeros(2), torch.zeros(2).to_sparse()],
        [torch.zeros(2).as_subclass(Odd)],
        [torch.zeros(2, dtype=torch.float16)],
        [torch.zeros(tick_module.MOST_KEPT + 1)],
    ],
    ids=["two-dtypes", "sparse", "subclass", "half", "large"],
)
def test_what_cannot_lie_in_one_row_or_is_large_is_read_on_the_spot(tensors):
    assert not update_module.fits(tensors)
    assert update_module.fits([torch.zeros(2), nn.Parameter(torch.zeros(3, 3))])
