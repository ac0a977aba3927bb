"""Whose turn it is, what fits, what breaks; and what a pass leaves behind."""

import dataclasses
import itertools
import random
import time
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from probe_scenes import Slope, images, numbers, points, scene
from torch import nn

from equipoise.monitor.probes import PROBES, Network, Probe, Prober, Scene, staged
from equipoise.monitor.pull import Pull


def probe(name, cost, needs=(), act=lambda scene: {}):
    return Probe(name, act, cost, frozenset(needs))


def table(**costs):
    return {name: probe(name, cost) for name, cost in costs.items()}


def names(prober, count):
    return [run.name for run in (prober.run(1.0) for _ in range(count)) if run]


def test_intervals_grow_as_the_root_of_the_cost():
    prober = Prober(Scene(), lambda seconds: True, table(a=1.0, b=4.0, c=16.0))
    counts = Counter(names(prober, 700))
    assert counts["a"] == pytest.approx(2 * counts["b"], abs=2)
    assert counts["b"] == pytest.approx(2 * counts["c"], abs=2)
    assert counts["c"] == pytest.approx(100, abs=1)


def test_cheap_probes_begin_and_no_probe_starves():
    prober = Prober(points(), lambda seconds: True, PROBES)
    order = names(prober, 150)
    assert order[0] == "spectral"
    lacks = set(prober.missing)
    assert set(order) == set(PROBES) - lacks
    assert lacks == {"condition", "checkerboard"}


def test_a_probe_that_does_not_fit_waits_and_nobody_passes_it():
    fits = {"now": False}
    asked = []

    def budget(seconds):
        asked.append(seconds)
        return fits["now"]

    prober = Prober(Scene(), budget, table(a=0.25, b=1.0))
    assert prober.run(2.0) is None
    assert prober.run(4.0) is None
    assert asked == [0.5, 1.0], "cost in steps x time of a step"
    fits["now"] = True
    assert prober.run(1.0).name == "a"


def test_a_probe_is_expected_to_take_what_it_took(monkeypatch):
    clock = itertools.count(0, 3)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    asked = []
    prober = Prober(Scene(), lambda s: asked.append(s) or True, table(a=1.0))
    runs = [prober.run(0.5), prober.run(0.5)]
    assert [run.seconds for run in runs] == [3, 3]
    assert asked == [0.5, 3]


def test_a_probe_that_raises_is_named_and_left_out():
    def fail(scene):
        raise RuntimeError("derivative is not implemented")

    probes = {"a": probe("a", 1.0, act=fail), "b": probe("b", 1.0)}
    prober = Prober(Scene(), lambda seconds: True, probes)
    assert prober.run(1.0).values == {}
    assert prober.broken == {"a": "RuntimeError: derivative is not implemented"}
    assert set(names(prober, 5)) == {"b"}


def test_a_scene_without_anything_has_nothing_to_run():
    prober = Prober(Scene(), lambda seconds: True)
    assert prober.run(1.0) is None
    assert set(prober.missing) == set(PROBES)


def test_a_late_comer_has_its_turn_and_no_more():
    probes = table(a=1.0) | {"late": probe("late", 1.0, {"reals"})}
    prober = Prober(Scene(), lambda seconds: True, probes)
    assert names(prober, 20) == ["a"] * 20
    prober.scene = dataclasses.replace(prober.scene, reals=torch.zeros(2, 2))
    assert Counter(names(prober, 10)) == {"a": 5, "late": 5}


def test_the_order_goes_on_after_a_resume():
    costs = dict(zip("abcd", (0.2, 1.0, 3.0, 9.0), strict=True))
    whole = names(Prober(Scene(), lambda seconds: True, table(**costs)), 40)
    first = Prober(Scene(), lambda seconds: True, table(**costs))
    part = names(first, 17)
    second = Prober(Scene(), lambda seconds: True, table(**costs))
    second.load_state_dict(first.state_dict())
    assert part + names(second, 23) == whole


def test_a_replaced_scene_keeps_its_memory():
    what = points()
    PROBES["spectral"].measure(what)
    replaced = dataclasses.replace(what, reals=what.reals + 1)
    assert replaced.memory is what.memory
    assert replaced.memory


class Restless(nn.Module):
    """Changes everything that a forward pass can change."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.last = torch.zeros(2)
        self.log, self.by_name, self.calls = [], {"a": 1}, 0
        self.register_buffer("kept", torch.zeros(2))

    def forward(self, x):
        self.last += x[0]
        self.kept = self.kept + x[1]
        self.log.append(len(x))
        self.by_name["b"] = 2
        self.calls += 1
        self.fresh = x
        x = x + torch.rand_like(x) + random.random() + float(np.random.rand())
        return self.layer(x)


def test_what_a_forward_pass_changes_is_put_back():
    module = Restless()
    last, kept, log = module.last, module.kept, module.log
    what = scene(nn.Linear(4, 2), module, 4, (2,), "hinge")
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    with staged(what) as stage:
        stage.discriminate(stage.take(what.reals))
        assert module.calls == 1
    assert module.last is last
    assert module.kept is kept
    assert module.log is log
    assert not last.any()
    assert not kept.any()
    assert (log, module.by_name, module.calls) == ([], {"a": 1}, 0)
    assert not hasattr(module, "fresh")
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_it_is_put_back_after_an_error_too():
    what = images()
    module = what.discriminators["discriminator"].module

    def break_off():
        with staged(what, training=False) as stage:
            stage.discriminate(stage.take(what.reals))
            assert not module.training
            raise InterruptedError

    with pytest.raises(InterruptedError):
        break_off()
    assert all(part.training for part in module.modules())
    assert module.calls == 0


def test_hooks_of_the_monitor_are_off_and_the_users_are_not():
    what = points()
    generator = what.generators["generator"].module
    read, called = [], []
    pull = Pull([generator], lambda *reading: read.append(reading[0]), lambda work: work())
    pull.wanted = True
    generator.register_forward_hook(lambda *_: called.append(1))
    PROBES["noise"].measure(what)
    assert read == []
    assert called == [1, 1, 1, 1]
    generator(what.latents).sum().backward()
    assert read == ["pull"], "and on again"
    pull.detach()
    assert len(generator._forward_hooks) == 1


def test_mode_is_set_without_the_modules_own_method():
    class Merging(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("merges weights on eval()")

    merging = Merging(4, 2)
    with staged(scene(merging, Slope(1.0, 1.0), 4, (2,), "hinge"), training=False):
        assert not merging.training
    assert merging.training


@pytest.mark.parametrize("name", sorted(set(PROBES) - {"condition"}))
def test_old_style_spectral_norm_keeps_its_state(name):
    """Its weight is a plain attribute and its vector a buffer, both set in each pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions call it deprecated
        layer = torch.nn.utils.spectral_norm(nn.Linear(2, 8))
    discriminator = nn.Sequential(layer, nn.LeakyReLU(0.2), nn.Linear(8, 1))
    discriminator(numbers(4, 2))
    weight, vector, values = layer.weight, layer.weight_u, layer.weight_u.clone()
    PROBES[name].measure(scene(nn.Linear(4, 2), discriminator, 4, (2,), "hinge"))
    assert layer.weight is weight
    assert layer.weight_u is vector
    assert torch.equal(vector, values)


@pytest.mark.parametrize("name", ["noise", "rotation", "duality", "path_angle", "quantiles"])
def test_a_layer_that_both_players_hold_belongs_to_the_first(name):
    shared = nn.Linear(2, 2)
    generator = nn.Sequential(nn.Linear(4, 2), shared)
    discriminator = nn.Sequential(shared, nn.LeakyReLU(0.2), nn.Linear(2, 1))
    what = scene(generator, discriminator, 4, (2,), "hinge")
    PROBES[name].measure(what)
    assert all(torch.isfinite(v) for v in PROBES[name].measure(what).values())
    with staged(what) as stage:
        assert len(stage.weights("generator")) == 4
        assert len(stage.weights("discriminator")) == 2


def test_only_what_a_player_learns_counts():
    generator = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    generator[0].requires_grad_(False)
    frozen = nn.Linear(2, 1).requires_grad_(False)
    with staged(scene(generator, frozen, 4, (2,), "hinge")) as stage:
        assert stage.names["generator"] == ["parts.0.1.weight", "parts.0.1.bias"]
        assert len(stage.weights("discriminator")) == 2, "frozen as a whole: at the moment"
    named = Network(generator, learns=frozenset({"0.weight"}))
    with staged(scene(named, frozen, 4, (2,), "hinge")) as stage:
        assert stage.names["generator"] == ["parts.0.0.weight"]


def test_probes_draw_the_same_numbers_each_time():
    what = images(gammas={"wgan_gp": 1.0})
    readings = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        readings.append(PROBES["curvature"].measure(what) | PROBES["lipschitz"].measure(what))
    assert readings[0] == readings[1]


@pytest.mark.parametrize("name", PROBES)
def test_a_batch_of_one_does_not_break_a_probe(name):
    what = points()
    few = dataclasses.replace(what, reals=what.reals[:1], latents=what.latents[:1])
    if PROBES[name].missing(few):
        pytest.skip(f"lacks {PROBES[name].missing(few)}")
    assert all(value.numel() == 1 for value in PROBES[name].measure(few).values())


def test_on_turns_the_order_is_that_of_an_endless_budget_and_depends_on_the_turn_alone():
    first, second = (Prober(points(), lambda _: True) for _ in range(2))
    free = [first.run(1.0).name for _ in range(40)]
    assert [second.run_at(turn).name for turn in range(40)] == free
    assert [second.run_at(turn).name for turn in (17, 3)] == [free[17], free[3]]


def test_on_turns_a_probe_starts_afresh_but_one_that_compares_with_its_last_run():
    prober = Prober(points(), lambda _: True, {n: PROBES[n] for n in ("spectral", "forgetting")})
    runs = [prober.run_at(turn) for turn in range(12)]
    sigma = [run.values["sigma/generator/0"] for run in runs if run.name == "spectral"]
    assert len(set(map(float, sigma))) == 1
    told = [bool(run.values) for run in runs if run.name == "forgetting"]
    assert told[0] is False
    assert all(told[1:])
    assert len(told) > 2
