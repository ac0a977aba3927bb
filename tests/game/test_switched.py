"""One optimizer, then another behind the same face."""

import copy

import pytest
import torch
from torch import nn

from equipoise.game import Momentum, Switched


def both(weight):
    return torch.optim.Adam([weight], lr=0.1), Momentum([weight], 0.5, -0.5)


def descend(optimizer, weight, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        (weight.square().sum() / 2).backward()
        optimizer.step()


def test_each_half_is_the_plain_optimizer():
    weight, plain = (nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    switched, (adam, momentum) = Switched(*both(weight)), both(plain)
    descend(switched, weight, 3)
    descend(adam, plain, 3)
    assert torch.equal(weight, plain)
    switched.turn(True)
    descend(switched, weight, 3)
    descend(momentum, plain, 3)
    assert torch.equal(weight, plain)


def test_it_saves_and_goes_on_with_the_one_that_is_on():
    ends = []
    for turned in (False, True):
        weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        switched = Switched(*both(weight))
        switched.turn(turned)
        descend(switched, weight, 2)
        again = nn.Parameter(weight.detach().clone())
        restored = Switched(*both(again))
        restored.turn(turned)
        restored.load_state_dict(copy.deepcopy(switched.state_dict()))  # torch shares tensors
        descend(switched, weight, 2)
        descend(restored, again, 2)
        assert torch.equal(weight, again)
        assert restored.param_groups is restored._on.param_groups
        ends.append(weight.detach())
    assert not torch.equal(*ends)


def test_hooks_see_the_steps_of_either():
    weight, seen = nn.Parameter(torch.ones(2)), []
    switched = Switched(*both(weight))
    switched.register_step_post_hook(lambda *_: seen.append(switched.second_is_on))
    descend(switched, weight)
    switched.turn(True)
    descend(switched, weight)
    assert seen == [False, True]


def test_a_rate_that_is_set_reaches_the_one_that_is_on():
    weight = nn.Parameter(torch.tensor([1.0]))
    switched = Switched(*both(weight))
    switched.turn(True)
    switched.param_groups[0]["lr"] = 0.0
    descend(switched, weight)
    assert weight.item() == 1.0


def test_other_parameters_are_refused():
    one, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="the same ones in the same order"):
        Switched(both(one)[0], both(other)[1])
