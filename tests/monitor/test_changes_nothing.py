"""Law 1: with the monitor on, training is bitwise what it is without."""

import random

import numpy as np
import pytest
import torch
from toy_loop import noisy_players, plain_players, play, ring

from equipoise.monitor import Monitor
from equipoise.monitor.probing import DEFAULT

STEPS = 200


def everything(state):
    """All that a run is: weights, buffers, optimizer state, every random state."""
    parts = {}
    for name in ("generator", "discriminator"):
        module = getattr(state, name)
        parts |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
        parts |= {f"{name}.{k}.training": m.training for k, m in module.named_modules()}
        parts |= {f"{name}.{k}.grad": p.grad for k, p in module.named_parameters()}
    for name in ("optimizer_g", "optimizer_d"):
        saved = getattr(state, name).state_dict()
        parts[f"{name}.groups"] = saved["param_groups"]
        for i, entry in saved["state"].items():
            parts |= {f"{name}.{i}.{k}": v for k, v in entry.items()}
    parts["rng"] = torch.get_rng_state()
    parts["numpy"] = np.random.get_state()[1]
    parts["python"] = random.getstate()
    return parts


def bitwise_equal(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return a == b


def outcome(attach, players):
    random.seed(0)
    np.random.seed(0)
    return everything(play(STEPS, attach, players))


@pytest.fixture(scope="module", params=[plain_players, noisy_players], ids=["plain", "noisy"])
def bare(request):
    torch.set_num_threads(1)
    return request.param, outcome(None, request.param)


@pytest.mark.parametrize("held_out", [False, True], ids=["", "held-out"])
@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "fixed", "stride": 1, "tick": 10, "on_finding": lambda finding: None},
        {"schedule": "fixed", "stride": 7, "tick": 3},
        {"schedule": "adaptive", "overhead": 1.0, "tick": 5},
        {"schedule": "adaptive"},
    ],
    ids=["every-step", "stride", "greedy", "default"],
)
def test_training_is_bitwise_the_same(bare, options, held_out):
    players, expected = bare
    reals = ring(48, torch.Generator().manual_seed(1)) if held_out else None
    monitors = []

    def attach(*given):
        monitors.append(Monitor(*given, held_out=reals, probes=DEFAULT, **options))
        return monitors[0]

    got = outcome(attach, players)
    assert set(got) == set(expected)
    assert [k for k in expected if not bitwise_equal(expected[k], got[k])] == []
    trace = monitors[0].trace()
    assert len(trace.series("auc/discriminator")) > 0, "it did watch"
    if held_out and options["schedule"] == "fixed":
        assert len(trace.series("logits/held_out/mean")) >= 2
        assert "leak/batch" in trace.signals
    assert not [fact for fact in trace.facts if fact.startswith("probe_failed")]


EACH_STEP = {"schedule": "fixed", "stride": 1, "tick": 1}


def test_the_probe_reads_held_out_reals_in_evaluation_mode():
    torch.manual_seed(0)
    generator, discriminator = noisy_players()
    discriminator[1].eval()  # a part that the user froze stays as it was
    held_out = ring(48)
    monitor = Monitor(
        generator, discriminator, held_out=held_out, probes=["overfitting"], **EACH_STEP
    )
    with torch.no_grad():
        discriminator(held_out)
    monitor.observe(real=held_out)
    modes = [part.training for part in discriminator.modules()]
    assert modes == [True, True, False, True, True, True]
    with torch.no_grad():
        expected = discriminator.eval()(held_out).mean()
    read = monitor.trace().series("logits/held_out/mean").last
    assert read == pytest.approx(float(expected), rel=1e-5)


class Noise(torch.nn.Module):
    """Instance noise that does not care about the mode."""

    def forward(self, x):
        return x + torch.randn_like(x)


def test_a_probe_that_draws_random_numbers_gives_them_back():
    generator, discriminator = plain_players()
    noisy = torch.nn.Sequential(Noise(), discriminator)
    reals = ring(8)
    monitor = Monitor(generator, noisy, held_out=ring(8), probes=["overfitting"], **EACH_STEP)
    noisy(reals)
    before = torch.get_rng_state()
    monitor.observe(real=reals)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(monitor.trace().series("logits/held_out/mean")) == 1


def test_nothing_passed_is_kept_alive():
    import gc
    import weakref

    monitor = Monitor(None, None, schedule="fixed", stride=1)
    logits = torch.randn(8, 1, requires_grad=True) * 2
    batch = torch.randn(8, 2)
    alive = [weakref.ref(logits), weakref.ref(batch)]
    given = {"real": batch, "fake": batch, "real_logits": logits, "fake_logits": logits}
    monitor.observe(**given, losses={"d": logits.mean()})
    del given
    del logits, batch
    gc.collect()
    assert [ref() for ref in alive] == [None, None]
