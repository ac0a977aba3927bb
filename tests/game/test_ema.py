"""The average of weights against its closed form."""

import math

import pytest
import torch
from torch import nn

from equipoise.game import (
    averaged,
    decay_of,
    ema_update,
    following,
    ramped_half_life,
    standing_statistics,
)


def module_of(value):
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)
    return module


@pytest.mark.parametrize("n", [1, 2, 10, 100])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.99, 1.0])
def test_constant_weights_are_approached_geometrically(n, beta):
    """average_n = w + beta^n (average_0 - w)."""
    average, module = averaged(module_of(5.0)), module_of(-1.0)
    for _ in range(n):
        ema_update(average, module, beta)
    expected = -1.0 + beta**n * 6.0
    for parameter in average.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, expected))


@pytest.mark.parametrize("batch", [1, 64, 1000])
def test_half_of_the_old_weights_is_left_after_the_half_life(batch):
    beta = decay_of(half_life_images=8000, images=batch)
    assert beta ** (8000 / batch) == pytest.approx(0.5)
    assert decay_of(8000, 8000) == 0.5
    assert decay_of(8000, 24000) == 0.125


def test_decay_depends_on_images_alone():
    assert decay_of(500, 30) * decay_of(500, 70) == pytest.approx(decay_of(500, 100))


def test_buffers_are_copied():
    module = module_of(1.0)
    average = averaged(module)
    module(torch.randn(8, 2, dtype=torch.float64) * 3)
    ema_update(average, module, beta=0.9)
    for mean, now in zip(average.buffers(), module.buffers(), strict=True):
        assert torch.equal(mean, now)
    assert average[1].num_batches_tracked.item() == 1


def test_the_average_takes_no_gradients_and_shares_nothing():
    module = module_of(1.0).train()
    average = averaged(module)
    assert not any(p.requires_grad for p in average.parameters())
    assert all(p.requires_grad for p in module.parameters())
    assert (average.training, module.training) == (False, True)
    with torch.no_grad():
        module[0].weight.fill_(9.0)
    assert average[0].weight.unique().tolist() == [1.0]


def test_updating_leaves_the_module_as_it_was_and_builds_no_graph():
    module = module_of(2.0)
    average = averaged(module_of(4.0))
    before = [p.clone() for p in module.parameters()]
    ema_update(average, module, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert all(p.grad_fn is None for p in average.parameters())


def test_the_average_of_an_orbit_lies_near_its_centre():
    """Of a rotation by w a step, (1 - beta) / |1 - beta e^iw| of the radius is left."""
    beta, turn = 0.99, 0.1
    module = nn.Linear(2, 1, bias=False).double()
    average = averaged(module)
    with torch.no_grad():
        for step in range(3000):
            angle = turn * step
            module.weight.copy_(torch.tensor([[math.cos(angle), math.sin(angle)]]))
            ema_update(average, module, beta)
    left = (1 - beta) / abs(1 - beta * complex(math.cos(turn), math.sin(turn)))
    assert left < 0.11
    assert average.weight.norm().item() == pytest.approx(left, rel=1e-6)


def test_the_half_life_ramps_up_with_the_images_shown():
    """min(10 kimg, 5 % of the images)."""
    found = [ramped_half_life(10, images, 0.05) for images in (0, 10_000, 200_000, 10**7)]
    assert found == [1.0, 500.0, 10_000, 10_000]
    assert ramped_half_life(10, 0) == 10_000
    beta = decay_of(ramped_half_life(10, 10_000, 0.05), 500)
    assert beta == 0.5
    for wrong in ((0, None), (10, 0.0)):
        with pytest.raises(ValueError, match="both are above 0"):
            ramped_half_life(wrong[0], 5, wrong[1])


def test_standing_statistics_are_the_plain_mean_over_the_passes():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).double()
    module.train()
    module[2].eval()
    z = torch.randn(5, 20, 3, dtype=torch.float64) * 2 + 1
    assert standing_statistics(module, lambda i: module(z[i]), 5) == 1
    hidden = module[0](z)
    torch.testing.assert_close(module[1].running_mean, hidden.mean((0, 1)))
    torch.testing.assert_close(module[1].running_var, hidden.var(1).mean(0))
    assert module[1].num_batches_tracked.item() == 5
    assert module[1].momentum == 0.1
    assert [m.training for m in module] == [True, True, False]


def test_standing_statistics_touch_nothing_else():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = [p.clone() for p in module.parameters()]
    standing_statistics(module, lambda i: module(torch.randn(4, 3)), 2)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    plain = nn.Linear(1, 1)
    assert standing_statistics(plain, lambda i: pytest.fail("ran"), 3) == 0
    with pytest.raises(ValueError, match="batches = 0"):
        standing_statistics(module, module, 0)


def test_standing_statistics_put_modes_back_after_an_error():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))

    def broken(i):
        raise KeyError(i)

    with pytest.raises(KeyError):
        standing_statistics(module, broken, 2)
    assert module[1].momentum == 0.1
    assert module.training


def test_following_is_the_update_with_its_tensors_looked_up_once():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    one, other = averaged(module), averaged(module)
    follow = following(one, module)
    for beta in (0.5, 0.9):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter))
        module(torch.randn(8, 3))
        follow(beta)
        ema_update(other, module, beta)
    state, copy = one.state_dict(), other.state_dict()
    assert all(torch.equal(state[name], copy[name]) for name in state)
    assert not torch.equal(state["0.weight"], module[0].weight)
