"""Optimizers against torch's plain ones, and the freezing of a player."""

import copy

import pytest
import torch
from torch import nn

from equipoise.game import (
    OPTIMIZERS,
    Extragradient,
    Momentum,
    OptimisticAdam,
    clip_by_norm,
    clip_by_value,
    frozen,
    generator_loss,
    objective,
)
from equipoise.networks import MlpDiscriminator, MlpGenerator

SETTINGS = [
    {"lr": 2e-4, "beta1": 0.0, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0},
    {"lr": 1e-2, "beta1": 0.5, "beta2": 0.999, "eps": 1e-6, "weight_decay": 0.0},
    {"lr": 1e-2, "beta1": 0.9, "beta2": 0.9, "eps": 1e-8, "weight_decay": 0.1},
]


def descend(module, optimizer, steps=8):
    x = torch.randn(steps, 16, 2, generator=torch.Generator().manual_seed(3))
    for batch in x:
        optimizer.zero_grad()
        (module(batch) - batch.prod(1)).square().mean().backward()
        optimizer.step()
    return [p.detach() for p in module.parameters()]


@pytest.mark.parametrize("settings", SETTINGS)
def test_adam_is_torchs_plain_adam(settings):
    fused = MlpDiscriminator((2,), 16, 2)
    plain, untouched = copy.deepcopy(fused), copy.deepcopy(fused)
    kwargs = {k: settings[k] for k in ("lr", "eps", "weight_decay")}
    slow = torch.optim.Adam(
        plain.parameters(),
        betas=(settings["beta1"], settings["beta2"]),
        fused=False,
        foreach=False,
        **kwargs,
    )
    found = descend(fused, OPTIMIZERS["adam"](fused.parameters(), **settings))
    torch.testing.assert_close(found, descend(plain, slow), rtol=1e-5, atol=1e-6)
    moved = [(a - b).abs().max() for a, b in zip(found, untouched.parameters(), strict=True)]
    assert min(moved) > settings["lr"] / 2


def test_the_first_step_of_adam_has_the_length_of_the_learning_rate():
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = OPTIMIZERS["adam"](
        [weight], lr=0.1, beta1=0.0, beta2=0.99, eps=1e-12, weight_decay=0.0
    )
    weight.grad = torch.tensor([1e-3, -50.0, 7.0])
    optimizer.step()
    assert weight.tolist() == pytest.approx([0.9, -1.9, 2.9])


def players():
    generator, discriminator = MlpGenerator((2,), 3, 8, 2), MlpDiscriminator((2,), 8, 2)
    return generator, discriminator, torch.randn(5, 3)


def test_no_gradient_reaches_a_frozen_discriminator_and_all_reaches_the_generator():
    generator, discriminator, z = players()
    hinge = objective("hinge")
    with frozen(discriminator):
        generator_loss(discriminator, hinge, generator(z)).loss.backward()
    assert all(p.grad is None for p in discriminator.parameters())
    found = [p.grad.clone() for p in generator.parameters()]
    generator.zero_grad()
    generator_loss(discriminator, hinge, generator(z)).loss.backward()
    torch.testing.assert_close(found, [p.grad for p in generator.parameters()])
    assert any(p.grad is not None for p in discriminator.parameters())


def test_what_was_scored_inside_stays_frozen_when_the_backward_comes_after():
    generator, discriminator, z = players()
    with frozen(discriminator):
        loss = generator_loss(discriminator, objective("hinge"), generator(z)).loss
    loss.backward()
    assert all(p.grad is None for p in discriminator.parameters())


def test_flags_return_to_what_they_were_also_after_an_exception():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].weight.requires_grad_(False)
    flags = [p.requires_grad for p in module.parameters()]
    assert flags == [False, True, True, True]
    with frozen(module):
        assert not any(p.requires_grad for p in module.parameters())
    assert [p.requires_grad for p in module.parameters()] == flags
    with pytest.raises(RuntimeError, match="inside"), frozen(module):
        raise RuntimeError("inside")
    assert [p.requires_grad for p in module.parameters()] == flags


def test_freezing_nests():
    module = nn.Linear(2, 2)
    with frozen(module):
        with frozen(module):
            pass
        assert not any(p.requires_grad for p in module.parameters())
    assert all(p.requires_grad for p in module.parameters())


FULL = {"lr": 1e-2, "beta1": 0.5, "beta2": 0.9, "eps": 1e-8, "weight_decay": 0.1}
TWINS = {
    "adamw": lambda p: torch.optim.AdamW(
        p, lr=1e-2, betas=(0.5, 0.9), weight_decay=0.1, fused=False, foreach=False
    ),
    "rmsprop": lambda p: torch.optim.RMSprop(
        p, lr=1e-2, alpha=0.9, momentum=0.5, weight_decay=0.1, foreach=False
    ),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.5, weight_decay=0.1, foreach=False),
}


@pytest.mark.parametrize("name", TWINS)
def test_optimizers_are_torchs_plain_ones(name):
    fast = MlpDiscriminator((2,), 16, 2)
    slow = copy.deepcopy(fast)
    found = descend(fast, OPTIMIZERS[name](fast.parameters(), **FULL))
    expected = descend(slow, TWINS[name](slow.parameters()))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_saves_and_goes_on_bitwise(name):
    module = MlpDiscriminator((2,), 8, 2)
    optimizer = OPTIMIZERS[name](module.parameters(), **FULL)
    descend(module, optimizer, 3)
    other = copy.deepcopy(module)
    fresh = OPTIMIZERS[name](other.parameters(), **FULL)
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    pairs = zip(descend(module, optimizer), descend(other, fresh), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_without_a_gradient_rest(name):
    still, moved = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = OPTIMIZERS[name]([still, moved], **FULL)
    optimizer.step()
    moved.grad = torch.ones(2)
    assert optimizer.step(lambda: 3.0) == 3.0
    assert still.tolist() == [1.0, 1.0]
    assert moved.max().item() < 1


def test_optimistic_adam_is_its_algorithm_written_by_hand():
    lr, beta1, beta2, eps, decay = 0.05, 0.4, 0.8, 1e-6, 0.3
    w = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    optimizer = OptimisticAdam([w], lr, (beta1, beta2), eps, decay)
    slow, mean, square, last = 1.5, 0.0, 0.0, 0.0
    for t, gradient in enumerate([0.3, -2.0, 0.7, 0.7, -0.1, 4.0], start=1):
        w.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        g = gradient + decay * slow
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * g * g
        now = mean / (1 - beta1**t) / ((square / (1 - beta2**t)) ** 0.5 + eps)
        slow, last = slow - 2 * lr * now + lr * last, now
        assert w.item() == pytest.approx(slow, abs=1e-12)


def test_negative_momentum_is_allowed_where_torch_refuses_it():
    w = nn.Parameter(torch.tensor([0.0]))
    optimizer = Momentum([w], lr=1.0, beta=-0.5)
    seen = []
    for _ in range(3):
        w.grad = torch.tensor([1.0])
        optimizer.step()
        seen.append(w.item())
    assert seen == [-1.0, -1.5, -2.25]  # m = 1, 0.5, 0.75
    with pytest.raises(ValueError, match="momentum"):
        torch.optim.SGD([w], lr=1.0, momentum=-0.5)


WRONG = {
    "momentum": lambda p: Momentum(p, lr=0.1, beta=1.0),
    "rate": lambda p: Momentum(p, lr=-0.1),
    "betas": lambda p: OptimisticAdam(p, lr=0.1, betas=(-0.5, 0.9)),
    "decay": lambda p: OptimisticAdam(p, lr=0.1, weight_decay=-1),
}


@pytest.mark.parametrize("name", WRONG)
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=r"in \(-1, 1\)|at least 0|in \[0, 1\)"):
        WRONG[name]([nn.Parameter(torch.zeros(1))])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_extragradient_steps_from_where_it_stood_with_the_gradient_from_ahead(name):
    """f = w^4 / 4: look ahead by hand with a copy of the optimizer."""
    w = nn.Parameter(torch.tensor([1.0, -2.0]))
    player = Extragradient(OPTIMIZERS[name]([w], **FULL))
    ahead = nn.Parameter(w.detach().clone())
    slow = OPTIMIZERS[name]([ahead], **FULL)
    for _ in range(4):
        here = ahead.detach().clone()
        ahead.grad = ahead.detach() ** 3
        slow.step()
        ahead.grad = ahead.detach() ** 3
        with torch.no_grad():
            ahead.copy_(here)
        slow.step()
        player.zero_grad()
        w.grad = w.detach() ** 3
        player.extrapolate()
        w.grad = w.detach() ** 3
        player.step()
        assert torch.equal(w, ahead)


def test_extragradient_refuses_phases_out_of_order():
    w = nn.Parameter(torch.ones(1))
    player = Extragradient(Momentum([w], lr=0.1))
    with pytest.raises(RuntimeError, match=r"call extrapolate\(\) first"):
        player.step()
    w.grad = torch.ones(1)
    player.extrapolate()
    with pytest.raises(RuntimeError, match="called twice"):
        player.extrapolate()
    with pytest.raises(RuntimeError, match="save after"):
        player.state_dict()
    player.step()
    player.load_state_dict(player.state_dict())
    assert player.param_groups[0]["lr"] == 0.1


def test_clipping():
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([-4.0])
    assert clip_by_norm([a, b], 10.0).item() == 5.0
    assert a.grad.tolist() == [3.0, 0.0]
    assert clip_by_norm([a, b], 1.0).item() == 5.0
    assert [*a.grad.tolist(), b.grad.item()] == pytest.approx([0.6, 0, -0.8], abs=1e-6)
    clip_by_value([a, b], 0.7)
    assert [*a.grad.tolist(), b.grad.item()] == pytest.approx([0.6, 0, -0.7], abs=1e-6)
    for clip in (clip_by_norm, clip_by_value):
        with pytest.raises(ValueError, match=r"bound = 0: .* above 0"):
            clip([a], 0)
