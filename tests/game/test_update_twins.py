"""Fast updates, averages, schedules and first weights against plain loops and torch's own."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from equipoise.game import (
    INITIALIZERS,
    OPTIMIZERS,
    SCHEDULES,
    Momentum,
    averaged,
    clip_by_norm,
    clip_by_value,
    clip_weights,
    decay_of,
    ema_update,
    factor,
    following,
    initialize,
    ramped_half_life,
)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False)).double()


def gradients(module, step):
    """The same for the same step; now and then a parameter has none."""
    generator = torch.Generator().manual_seed(step)
    for index, weight in enumerate(module.parameters()):
        draw = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        weight.grad = None if (step + index) % 4 == 0 else draw


def flat(module):
    return torch.cat([w.detach().flatten() for w in module.parameters()])


# --- optimizers, number by number -----------------------------------------------------------------

SETTINGS = {"lr": 0.05, "beta2": 0.8, "eps": 1e-6, "weight_decay": 0.1}


def adam_number(w, g, state, beta1, decoupled):
    """Kingma and Ba 2015, algorithm 1; decoupled, Loshchilov and Hutter 2019, algorithm 2."""
    lr, beta2, eps, decay = SETTINGS.values()
    w, g = (w * (1 - lr * decay), g) if decoupled else (w, g + decay * w)
    t, m, v = state.get("t", 0) + 1, state.get("m", 0.0), state.get("v", 0.0)
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    state.update(t=t, m=m, v=v)
    return w - lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)


def rmsprop_number(w, g, state, beta1):
    lr, beta2, eps, decay = SETTINGS.values()
    g = g + decay * w
    v = beta2 * state.get("v", 0.0) + (1 - beta2) * g * g
    m = beta1 * state.get("m", 0.0) + g / (math.sqrt(v) + eps)
    state.update(m=m, v=v)
    return w - lr * m


def momentum_number(w, g, state, beta1):
    lr, _, _, decay = SETTINGS.values()
    state["m"] = beta1 * state.get("m", 0.0) + g + decay * w
    return w - lr * state["m"]


def optimistic_number(w, g, state, beta1):
    lr = SETTINGS["lr"]
    now = (w - adam_number(w, g, state, beta1, False)) / lr
    last, state["last"] = state.get("last", 0.0), now
    return w - 2 * lr * now + lr * last


NUMBERS = {
    "adam": lambda *a: adam_number(*a, False),
    "adamw": lambda *a: adam_number(*a, True),
    "rmsprop": rmsprop_number,
    "sgd": momentum_number,
    "optimistic_adam": optimistic_number,
}


def test_every_optimizer_has_a_slow_twin():
    assert set(NUMBERS) == set(OPTIMIZERS)


@pytest.mark.parametrize(
    ("name", "beta1"), [*((name, b) for name in NUMBERS for b in (0.0, 0.5)), ("sgd", -0.5)]
)
def test_an_optimizer_is_a_loop_over_numbers(name, beta1):
    module = network()
    optimizer = OPTIMIZERS[name](module.parameters(), beta1=beta1, **SETTINGS)
    values = [w.detach().flatten().tolist() for w in module.parameters()]
    states = [[{} for _ in row] for row in values]
    for step in range(6):
        gradients(module, step)
        optimizer.step()
        for weight, row, memory in zip(module.parameters(), values, states, strict=True):
            slopes = [] if weight.grad is None else weight.grad.flatten().tolist()
            for i, slope in enumerate(slopes):
                row[i] = NUMBERS[name](row[i], slope, memory[i], beta1)
    expected = torch.tensor([v for row in values for v in row], dtype=torch.float64)
    torch.testing.assert_close(flat(module), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("beta", [-0.5, 0.0, 0.9])
def test_momentum_keeps_groups_apart(beta):
    """The fused loop over a group is a loop over its parameters, each group at its own rate."""
    module, slow = network(), network()
    first, last = module[0].parameters(), [*module[1].parameters(), *module[2].parameters()]
    optimizer = Momentum(first, lr=0.1, beta=beta, weight_decay=0.2)
    optimizer.add_param_group({"params": last, "lr": 0.03, "weight_decay": 0.0})
    memory = [torch.zeros_like(w) for w in slow.parameters()]
    for step in range(5):
        for player in (module, slow):
            gradients(player, step)
        optimizer.step()
        with torch.no_grad():
            for index, (weight, kept) in enumerate(zip(slow.parameters(), memory, strict=True)):
                lr, decay = (0.1, 0.2) if index < 2 else (0.03, 0.0)
                if weight.grad is not None:
                    kept.mul_(beta).add_(weight.grad + decay * weight)
                    weight.sub_(lr * kept)
    torch.testing.assert_close(flat(module), flat(slow))


@pytest.mark.parametrize("bound", [0.5, 3.0, 100.0])
def test_clipping_is_a_loop_over_numbers(bound):
    module = network()
    for index, clip in enumerate((clip_by_norm, clip_by_value)):
        gradients(module, 1)
        before = [w.grad.clone() for w in module.parameters() if w.grad is not None]
        clip(module.parameters(), bound)
        numbers = [v for g in before for v in g.flatten().tolist()]
        norm = math.sqrt(sum(v * v for v in numbers))
        by_norm = [v * min(1, bound / norm) for v in numbers]
        by_hand = [by_norm, [min(max(v, -bound), bound) for v in numbers]][index]
        found = [v for w in module.parameters() if w.grad is not None for v in w.grad.flatten()]
        assert torch.stack(found).tolist() == pytest.approx(by_hand, rel=1e-6)
    held = [[min(max(v, -0.1), 0.1) for v in w.flatten().tolist()] for w in module.parameters()]
    clip_weights(module, 0.1)
    assert [w.flatten().tolist() for w in module.parameters()] == held


# --- averages -------------------------------------------------------------------------------------


def moved(module, step):
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    module(torch.randn(8, 3, generator=generator, dtype=torch.float64))  # running statistics


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.999])
def test_the_average_is_a_loop_over_parameters_and_torchs(beta):
    module = network()
    fast, slow, follower = averaged(module), copy.deepcopy(module), averaged(module)
    update = following(follower, module)
    torchs = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(beta), use_buffers=False)
    torchs.update_parameters(module)  # its first update is a copy
    for step in range(7):
        moved(module, step)
        ema_update(fast, module, beta)
        update(beta)
        torchs.update_parameters(module)
        with torch.no_grad():
            for mean, now in zip(slow.parameters(), module.parameters(), strict=True):
                mean.copy_(beta * mean + (1 - beta) * now)
    for other in (slow, torchs.module, follower):
        torch.testing.assert_close(flat(fast), flat(other))
    for mean, now in zip(fast.buffers(), module.buffers(), strict=True):
        assert torch.equal(mean, now)


def test_a_ramped_average_is_a_loop_over_batches():
    """beta_i = 2^(-batch / min(half life, 0.05 images)) at each batch."""
    module, batch = network(), 64
    fast, slow = averaged(module), flat(module)
    for step in range(1, 9):
        moved(module, step)
        images = step * batch
        ema_update(fast, module, decay_of(ramped_half_life(0.02, images, 0.05), batch))
        half = max(min(20, 0.05 * images), 1)
        beta = math.exp(-math.log(2) * batch / half)
        slow = beta * slow + (1 - beta) * flat(module)
    torch.testing.assert_close(flat(fast), slow)


# --- schedules and first weights ------------------------------------------------------------------


def torchs_schedule(shape, start, end, steps):
    """The learning rates of torch's own scheduler over a run of `steps`."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=start)
    table = torch.optim.lr_scheduler
    scheduler = {
        "constant": lambda: table.ConstantLR(optimizer, 1.0, steps),
        "linear": lambda: table.LinearLR(optimizer, 1.0, end / start, steps),
        "cosine": lambda: table.CosineAnnealingLR(optimizer, steps, end),
        "exponential": lambda: table.ExponentialLR(optimizer, (end / start) ** (1 / steps)),
    }[shape]()
    for _ in range(steps + 1):
        yield scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("shape", SCHEDULES)
def test_schedules_are_torchs(shape):
    found = [factor(shape, 0.8, 0.05, step / 20) for step in range(21)]
    assert found == pytest.approx(list(torchs_schedule(shape, 0.8, 0.05, 20)), rel=1e-9)


TORCHS = {
    "he": lambda w, rng: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=rng),
    "normal": lambda w, rng: nn.init.normal_(w, 0.0, 0.02, generator=rng),
    "orthogonal": lambda w, rng: nn.init.orthogonal_(w, generator=rng),
}


@pytest.mark.parametrize("kind", INITIALIZERS)
@pytest.mark.parametrize("make", [lambda: nn.Linear(30, 20), lambda: nn.Conv2d(4, 8, 3)])
def test_first_weights_are_torchs_of_the_same_generator(kind, make):
    layer = initialize(make(), kind, torch.Generator().manual_seed(5))
    expected = TORCHS[kind](torch.empty_like(layer.weight), torch.Generator().manual_seed(5))
    torch.testing.assert_close(layer.weight.detach(), expected)
