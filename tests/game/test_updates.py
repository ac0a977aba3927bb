"""Optimizers against torch's plain ones, and the freezing of a player."""

import copy

import pytest
import torch
from torch import nn

from equipoise.game import OPTIMIZERS, frozen, generator_loss, objective
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
