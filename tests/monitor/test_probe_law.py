"""Every probe: what it gives, that it changes nothing, that NaN is said and not raised."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from probe_scenes import images, labelled, points, scene
from toy_loop import noisy_players, plain_players, play

from equipoise.monitor.probes import PROBES, Prober, Scene
from equipoise.record import describe

SCENES = {"points": points, "images": images, "labelled": labelled}
GAMMAS = {"r1": 1.0, "r2": 0.5, "wgan_gp": 1.0}
CASES = [(scene, probe) for scene in SCENES for probe in PROBES]


def ready(kind, probe):
    """A scene in the middle of training: gradients set, some frozen, modes mixed, buffers moved."""
    scene = SCENES[kind](gammas=GAMMAS)
    if PROBES[probe].missing(scene):
        pytest.skip(f"needs {sorted(PROBES[probe].missing(scene))}")
    for network in scene.networks.values():
        for parameter in network.module.parameters():
            parameter.grad = torch.randn_like(parameter)
        next(network.module.parameters()).requires_grad_(False)
        list(network.module.modules())[-1].eval()
    return scene


def state(scene):
    parts = {}
    for player, network in scene.networks.items():
        module = network.module
        for name, parameter in module.named_parameters():
            parts[f"{player}.{name}"] = (id(parameter), parameter.detach().clone())
            parts[f"{player}.{name}.version"] = parameter._version
            parts[f"{player}.{name}.grad"] = (id(parameter.grad), parameter.grad.clone())
            parts[f"{player}.{name}.requires_grad"] = parameter.requires_grad
        for name, buffer in module.named_buffers():
            parts[f"{player}.{name}"] = (id(buffer), buffer.clone())
        for name, part in module.named_modules():
            parts[f"{player}.{name}.training"] = part.training
            parts[f"{player}.{name}.hooks"] = len(part._forward_hooks) + len(
                part._forward_pre_hooks
            )
            parts[f"{player}.{name}.names"] = list(vars(part))
        if hasattr(module, "calls"):
            parts[f"{player}.attributes"] = (module.calls, list(module.seen))
    parts["torch"], parts["numpy"] = torch.get_rng_state(), np.random.get_state()[1]
    parts["python"] = random.getstate()
    parts["batches"] = [t.clone() for t in (scene.latents, scene.reals, scene.held_out)]
    return parts


def same(a, b):
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return bool(np.array_equal(a, b))


@pytest.mark.parametrize(("kind", "probe"), CASES)
def test_a_probe_leaves_all_as_it_found_it(kind, probe):
    scene = ready(kind, probe)
    before = state(scene)
    with torch.no_grad():  # as the monitor calls it
        first = PROBES[probe].measure(scene)
        after = state(scene)
        second = PROBES[probe].measure(scene)
    assert [k for k in before if not same(before[k], after[k])] == []
    assert first or probe in ("path_angle", "forgetting"), "it measured"
    for name, value in (first | second).items():
        assert describe(name) is not None, name
        assert value.dim() == 0
        assert not value.requires_grad
        assert math.isfinite(value) or name.startswith("noise_scale/"), name


@pytest.mark.parametrize(("kind", "probe"), CASES)
def test_nan_in_the_weights_is_nan_in_the_reading(kind, probe):
    scene = ready(kind, probe)
    PROBES[probe].measure(scene)
    with torch.no_grad():
        for network in scene.networks.values():
            for parameter in network.module.parameters():
                parameter.fill_(math.nan)
    found = PROBES[probe].measure(scene)
    assert found
    gone = [name for name, value in found.items() if not torch.isnan(value)]
    assert gone == []


@pytest.mark.parametrize("probe", PROBES)
def test_needs_are_words_that_a_scene_knows(probe):
    known = labelled().has | images().has
    assert PROBES[probe].needs <= known
    assert PROBES[probe].cost > 0
    assert PROBES[probe].name == probe


@pytest.mark.parametrize("probe", PROBES)
def test_a_gradient_hook_of_the_user_is_not_called(probe):
    scene = ready("labelled", probe)
    called = []
    for network in scene.networks.values():
        for parameter in network.module.parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda g: called.append(g))
    PROBES[probe].measure(scene)
    assert called == []


@pytest.mark.parametrize("players", [plain_players, noisy_players], ids=["plain", "noisy"])
def test_a_run_is_bitwise_the_same_with_all_probes_between_its_steps(players):
    """Noise, dropout and running statistics go on as if nobody had looked."""

    def outcome(watched):
        seen = set()
        probes = {name: replace(probe, cost=1.0) for name, probe in PROBES.items()}
        prober = Prober(Scene(), lambda seconds: True, probes)

        def attach(generator, discriminator, *_):
            prober.scene = scene(generator, discriminator, 4, (2,), "non_saturating")

        def look(step):
            if watched:
                run = prober.run(1.0)
                seen.update(run.values)

        state = play(36, attach, players, on_step=look)
        assert prober.broken == {}
        tensors = [*state.generator.state_dict().values()]
        tensors += [*state.discriminator.state_dict().values(), torch.get_rng_state()]
        return tensors, seen

    bare, nothing = outcome(False)
    watched, seen = outcome(True)
    assert same(bare, watched)
    assert not nothing
    assert {"rotation", "duality_gap", "noise_scale/generator", "forgetting"} <= seen
    assert {"path_angle/at", "curvature_max/generator", "leak/batch"} <= seen
