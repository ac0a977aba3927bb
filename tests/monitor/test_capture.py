"""What probes look at is taken from the loop's own calls."""

import pytest
import torch
from probe_scenes import Conditional, numbers
from torch import nn

from equipoise.monitor import Monitor
from equipoise.monitor.probing import DEFAULT, JUDGED, interval

EACH = {"schedule": "fixed", "stride": 1, "tick": 1, "probes": DEFAULT}
ADAM = torch.optim.Adam


class Labelled(Conditional):
    """As `Conditional`, its label a keyword behind a plain number."""

    def forward(self, x, scale=1.0, *, label):
        return scale * super().forward(x, label)


class Pairwise(nn.Module):
    """Judges reals and fakes in one call, as vocoders do."""

    def __init__(self):
        super().__init__()
        self.judge = nn.Linear(2, 1)

    def forward(self, real, fake):
        return self.judge(real), self.judge(fake)


class Styled(nn.Module):
    """Never called as a whole."""

    def __init__(self):
        super().__init__()
        self.mapping, self.synthesis = nn.Linear(4, 8), nn.Linear(8, 2)


def watched(generator, discriminator, iteration, steps=12, **options):
    """The scene after some iterations of `iteration() -> what observe is shown`."""
    monitor = Monitor(generator, discriminator, **{**EACH, **options})
    for _ in range(steps):
        monitor.observe(**iteration())
    return monitor, monitor._probing._prober.scene


def test_a_plain_loop_gives_latents_reals_and_what_each_optimizer_holds():
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    discriminator.bias.requires_grad_(False)
    z, real = numbers(80, 4), numbers(80, 2, seed=1)

    def iteration():
        fake = generator(z)
        discriminator(fake), discriminator(real)
        return {"real": real, "fake": fake.detach()}

    optimizer = ADAM([discriminator.weight])
    monitor, scene = watched(generator, discriminator, iteration, discriminator_optimizer=optimizer)
    assert torch.equal(scene.latents, z[:64])
    assert torch.equal(scene.reals, real[:64])
    assert scene.labels is None
    assert scene.discriminators["discriminator"].learns == {"weight"}
    assert scene.generators["generator"].learns is None
    assert not {"condition/effect", "checkerboard/ratio"} & monitor.diagnose().missing.keys()
    assert not generator._forward_hooks.keys() - monitor_hooks(generator), "taken away again"
    assert {"lipschitz/largest", "rank/generator", "sensitivity/generator"} <= set(
        monitor.trace().signals
    )


def monitor_hooks(module):
    """Hooks other than the capture's."""
    return {k for k, h in module._forward_hooks.items() if "capture" not in str(h.__module__)}


@pytest.mark.parametrize("keyword", [False, True])
def test_labels_are_found_behind_the_input(keyword):
    torch.manual_seed(0)
    kind = Labelled if keyword else Conditional
    generator, discriminator = kind(4, 2), kind(2, 1)
    y, shown = torch.arange(12) % 3, torch.arange(12).flip(0) % 3
    z, real = numbers(12, 4), numbers(12, 2, seed=1)

    def call(network, x, label):
        return network(x, 2.0, label=label) if keyword else network(x, label)

    def iteration():
        fake = call(generator, z, y)
        call(discriminator, fake, y), call(discriminator, real, shown)
        return {"real": real, "fake": fake}

    monitor, scene = watched(generator, discriminator, iteration)
    where = "label" if keyword else 0
    assert [n.condition for n in scene.networks.values()] == [where, where]
    assert torch.equal(scene.labels, shown), "those of the reals"
    assert monitor.trace().series("condition/effect").last > 0
    assert monitor.trace().series("condition/judged").last > 0


def test_of_several_networks_those_count_that_made_and_judged_the_batch():
    torch.manual_seed(0)
    there, back = nn.Linear(2, 2), nn.Linear(2, 2)
    judges = {"near": nn.Linear(2, 1), "far": nn.Linear(2, 1)}
    a, b = numbers(16, 2), numbers(16, 2, seed=1)

    def iteration():
        fake_a, fake_b = back(b), there(a)
        judges["near"](a), judges["near"](fake_a), judges["far"](b), judges["far"](fake_b)
        return {"real": b, "fake": fake_b}

    _, scene = watched({"back": back, "there": there}, judges, iteration)
    assert list(scene.generators) == ["there"]
    assert torch.equal(scene.latents, a)
    assert list(scene.discriminators) == ["far"]


def test_a_second_batch_of_samples_is_no_label():
    generator, discriminator = nn.Linear(4, 2), Pairwise()
    z, real = numbers(16, 4), numbers(16, 2, seed=1)

    def iteration():
        fake = generator(z)
        discriminator(real, fake)
        return {"real": real, "fake": fake}

    monitor, scene = watched(generator, discriminator, iteration)
    assert scene.labels is None
    assert monitor.trace().series("lipschitz/largest").last == pytest.approx(
        float(discriminator.judge.weight.detach().norm()), rel=1e-5
    )


def test_a_network_never_called_as_a_whole_is_played_by_a_callable():
    generator, discriminator = Styled(), nn.Linear(2, 1)
    z, real = numbers(16, 4), numbers(16, 2, seed=1)

    def generate(latents):
        return generator.synthesis(generator.mapping(latents))

    def iteration():
        discriminator(real)
        return {"real": real, "fake": generate(z)}

    monitor, scene = watched(generator, discriminator, iteration)
    assert scene.generators == {}
    assert "rank/generator" in monitor.diagnose().missing
    monitor, scene = watched(generator, discriminator, iteration, generate=generate, latents=z)
    assert list(scene.generators) == ["generator"]
    assert monitor.trace().series("rank/generator").last > 1


@pytest.mark.parametrize(("held_out", "kept"), [(None, 64), (numbers(8, 2, seed=2), 4096)])
def test_reals_are_gathered_where_fakes_are_compared_with_them(held_out, kept):
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    batches = iter(range(100))

    def iteration():
        real, fake = numbers(500, 2, seed=next(batches)), generator(numbers(500, 4))
        discriminator(real), discriminator(fake)
        return {"real": real, "fake": fake}

    _, scene = watched(generator, discriminator, iteration, held_out=held_out)
    assert len(scene.reals) == kept
    given = numbers(9, 2, seed=7)
    batches = iter(range(100))
    _, scene = watched(generator, discriminator, iteration, held_out=held_out, training=given)
    assert scene.reals is given


def test_a_probe_that_fails_is_told_and_the_others_go_on():
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    z, real = numbers(16, 4), numbers(16, 2, seed=1)

    def unfit(samples):
        raise RuntimeError("only batches of 8")

    def iteration():
        discriminator(real)
        return {"real": real, "fake": generator(z)}

    monitor, _ = watched(generator, discriminator, iteration, discriminate=unfit)
    facts = monitor.trace().facts
    assert facts["probe_failed/lipschitz"] == "RuntimeError: only batches of 8"
    assert monitor.trace().series("rank/generator").last > 0


def test_before_the_adversarial_start_the_generator_alone_is_known():
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    z, real = numbers(16, 4), numbers(16, 2, seed=1)
    steps = iter(range(100))

    def iteration():
        fake = generator(z)
        if next(steps) >= 8:
            discriminator(real)
        return {"real": real, "fake": fake}

    monitor, scene = watched(generator, discriminator, iteration, steps=20)
    assert list(scene.discriminators) == ["discriminator"]
    assert monitor.trace().series("rank/generator").steps[0] < 8
    assert monitor.trace().series("lipschitz/largest").steps[0] > 8


def test_sharded_players_are_not_probed():
    sharded = type("FSDPLinear", (nn.Linear,), {})
    generator, discriminator = sharded(4, 2), nn.Linear(2, 1)
    z, real = numbers(16, 4), numbers(16, 2, seed=1)

    def iteration():
        discriminator(real)
        return {"real": real, "fake": generator(z)}

    monitor, scene = watched(generator, discriminator, iteration)
    assert not scene.networks
    assert not any(name.startswith("lipschitz") for name in monitor.trace().signals)


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ("noise", r"probes = 'noise': a list of names, e.g. \['noise'\]"),
        (["noice"], "noice.*did you mean.*noise|noice"),
    ],
)
def test_probes_are_named_rightly(probes, message):
    with pytest.raises(ValueError, match=message):
        Monitor(nn.Linear(1, 1), None, probes=probes)


def test_only_the_probes_named_run():
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    z, real = numbers(16, 4), numbers(16, 2, seed=1)

    def iteration():
        discriminator(real)
        return {"real": real, "fake": generator(z)}

    monitor, _ = watched(generator, discriminator, iteration, probes=["leak"], steps=4)
    assert monitor.trace().series("leak/batch").steps.tolist() == [1, 2, 3, 4]
    assert "lipschitz/largest" not in monitor.trace().signals


@pytest.mark.parametrize(("tick", "every"), [(1, 28), (8, 4), (25, 2), (100, 1)])
def test_on_a_fixed_schedule_probes_cost_a_share_of_the_steps(tick, every):
    assert interval(JUDGED, tick) == every


def test_on_a_fixed_schedule_what_rules_read_is_probed_and_thinned():
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    z, real = numbers(16, 4), numbers(16, 2, seed=1)

    def iteration():
        discriminator(real)
        return {"real": real, "fake": generator(z)}

    monitor, _ = watched(generator, discriminator, iteration, probes=None, steps=60)
    steps = {int(s) for n in monitor.trace().signals if n.startswith("sigma/")
             for s in monitor.trace().series(n).steps}  # fmt: skip
    assert steps
    assert all(step % 28 == 0 for step in steps)
    assert "rank/generator" not in monitor.trace().signals
