"""What the optimizers' own step hooks tell."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from toy_loop import dense, plain_players, play, ring

from equipoise.monitor import Monitor
from equipoise.monitor.player import MOST_MOVED, Player
from equipoise.monitor.tick import Tick


def norm_of(parameters):
    return math.sqrt(sum(float(p.double().square().sum()) for p in parameters))


class Seen:
    """A hook of one's own, beside the monitor's: gradients and movement at each true update."""

    def __init__(self, optimizer):
        self.gradients, self.ratios = [], []
        parameters = optimizer.param_groups[0]["params"]
        before = []

        def pre(*_):
            self.gradients.append(norm_of([p.grad for p in parameters]))
            before[:] = [p.detach().clone() for p in parameters]

        def post(*_):
            moved = norm_of([p.detach() - b for p, b in zip(parameters, before, strict=True)])
            self.ratios.append(moved / norm_of(before))

        optimizer.register_step_pre_hook(pre)
        optimizer.register_step_post_hook(post)


def watched(steps, **options):
    seen = {}

    def attach(g, d, og, od):
        seen.update(generator=Seen(og), discriminator=Seen(od))
        return dense()(g, d, og, od)

    return play(steps, attach, **options).monitor.trace(), seen


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_gradient_and_movement_are_those_of_the_update(player):
    trace, seen = watched(12)
    expected = seen[player]
    gradients = trace.series(f"gradient_norm/{player}").values
    assert gradients == pytest.approx(expected.gradients, rel=1e-5)
    assert trace.series(f"update_ratio/{player}").values == pytest.approx(expected.ratios, rel=1e-3)
    assert trace.series(f"nonfinite/{player}").values.tolist() == [0.0] * 12


def test_five_critic_updates_count_five_times_and_the_first_is_read():
    trace, seen = watched(6, n_critic=5)
    assert trace.series("updates/discriminator").values.tolist() == [5, 10, 15, 20, 25, 30]
    assert trace.series("updates/generator").values.tolist() == [1, 2, 3, 4, 5, 6]
    first = seen["discriminator"].gradients[::5]
    assert trace.series("gradient_norm/discriminator").values == pytest.approx(first, rel=1e-5)


def test_a_generator_that_is_never_stepped_has_no_updates():
    trace, _ = watched(8, generator_steps=False)
    assert set(trace.series("updates/generator").values) == {0.0}
    assert "update_ratio/generator" not in trace
    assert trace.series("updates/discriminator").last == 8


def attached(*modules, fused=False, **options):
    """Players with Adam each, and a monitor that reads everything."""
    optimizers = [torch.optim.Adam(m.parameters(), lr=1e-3, fused=fused) for m in modules]
    return optimizers, dense(**options)(*modules, *optimizers)


def test_accumulated_gradients_are_read_whole():
    generator, discriminator = plain_players()
    (_, optimizer), monitor = attached(generator, discriminator)
    for _ in range(3):
        optimizer.zero_grad()
        for _ in range(4):
            (softplus(-discriminator(ring(8))).mean() / 4).backward()
        expected = norm_of([p.grad for p in discriminator.parameters()])
        optimizer.step()
        monitor.observe()
    trace = monitor.trace()
    assert trace.series("gradient_norm/discriminator").last == pytest.approx(expected, rel=1e-5)
    assert trace.series("updates/discriminator").last == 3


def scaled_step(discriminator, optimizer, scaler, factor=1.0):
    optimizer.zero_grad()
    scaler.scale(softplus(-discriminator(ring(8))).mean() * factor).backward()
    before = [p.grad.clone() / scaler.get_scale() for p in discriminator.parameters()]
    scaler.step(optimizer)
    scaler.update()
    return norm_of(before)


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_a_gradient_scaler_is_seen_through(fused):
    generator, discriminator = plain_players()
    (_, optimizer), monitor = attached(generator, discriminator, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    norms = []
    for factor in (1.0, math.inf, 1.0):  # the infinite one is skipped by the scaler
        norms.append(scaled_step(discriminator, optimizer, scaler, factor))
        monitor.observe()
    trace = monitor.trace()
    read = trace.series("gradient_norm/discriminator")
    assert read.values == pytest.approx([norms[0], norms[2]], rel=1e-4)
    assert read.steps.tolist() == [1, 3]
    assert trace.series("updates/discriminator").values.tolist() == [1, 1, 2]
    assert "non_finite" not in [f.failure for f in monitor.diagnose().findings]


def test_one_optimizer_for_both_is_a_fact_and_reads_both():
    generator, discriminator = plain_players()
    both = [*generator.parameters(), *discriminator.parameters()]
    optimizer = torch.optim.Adam(both, lr=1e-3)
    monitor = dense()(generator, discriminator, optimizer, optimizer)
    for _ in range(6):
        optimizer.zero_grad()
        discriminator(generator(torch.randn(8, 4))).mean().backward()
        optimizer.step()
        monitor.observe()
    trace = monitor.trace()
    assert "one_optimizer" in trace.facts
    for player in ("generator", "discriminator"):
        assert trace.series(f"updates/{player}").last == 6
        assert trace.series(f"update_ratio/{player}").last > 0
    assert monitor.diagnose().findings == ()


def test_two_optimizers_are_no_such_fact():
    assert "one_optimizer" not in play(1, dense()).monitor.trace().facts


def test_a_frozen_player_is_seen_to_stand_still():
    generator, discriminator = plain_players()
    generator.requires_grad_(False)
    (step_g, step_d), monitor = attached(generator, discriminator)
    for _ in range(8):
        softplus(-discriminator(generator(torch.randn(8, 4)))).mean().backward()
        step_d.step()
        step_g.step()
        monitor.observe()
    finding = monitor.diagnose().findings[0]
    assert (finding.failure, finding.evidence[0].signal) == (
        "stalled_player",
        "update_ratio/generator",
    )


def test_the_wrong_optimizer_leaves_its_player_still():
    """optimizer_D made over G's parameters: D never moves, however often it is stepped."""
    generator, discriminator = plain_players()
    own, wrong = (torch.optim.Adam(generator.parameters(), lr=1e-3) for _ in range(2))
    monitor = dense()(generator, discriminator, own, wrong)
    for _ in range(8):
        discriminator(generator(torch.randn(8, 4))).mean().backward()
        wrong.step()
        own.step()
        monitor.observe()
    finding = monitor.diagnose().findings[0]
    assert finding.failure == "stalled_player"
    assert "discriminator" in finding.summary


def test_without_optimizers_gradients_are_read_untagged():
    generator, discriminator = plain_players()
    monitor = dense()(generator, discriminator, None, None)
    discriminator(ring(8)).mean().backward()
    monitor.observe()
    trace = monitor.trace()
    assert trace.facts["gradients"].startswith("untagged")
    expected = norm_of([p.grad for p in discriminator.parameters()])
    assert trace.series("gradient_norm/discriminator").last == pytest.approx(expected, rel=1e-5)
    assert "gradient_norm/generator" not in trace, "no gradient there is not a gradient of 0"
    assert "updates/generator" not in trace
    assert "updates/<player>" in monitor.diagnose().missing


def test_several_discriminators_by_name_and_by_position():
    generator, first = plain_players()
    _, second = plain_players()
    own = torch.optim.Adam(generator.parameters())
    steps = [torch.optim.Adam(d.parameters()) for d in (first, second)]
    shared = torch.optim.Adam([*first.parameters(), *second.parameters()])
    cases = (
        ([first, second], steps, ["discriminator_0", "discriminator_1"]),
        ({"image": first, "video": second}, steps, ["image", "video"]),
        ([first, second], shared, ["discriminator"]),
        ([first], steps[:1], ["discriminator"]),
    )
    for modules, optimizers, names in cases:
        monitor = Monitor(generator, modules, own, optimizers, schedule="fixed", stride=1, tick=1)
        monitor.observe(real_logits=[torch.ones(2)], fake_logits={"a": torch.zeros(2)})
        header = monitor.trace().header
        assert header["players"] == ["generator", *names]
        assert header["roles"] == {"generator": "generator"} | dict.fromkeys(names, "discriminator")
        assert monitor.trace().series("auc/discriminator").last == 1.0
        monitor.close()


def test_named_discriminators_keep_their_own_optimizers():
    generator, first = plain_players()
    _, second = plain_players()
    steps = {
        "video": torch.optim.Adam(second.parameters(), lr=0.1),
        "image": torch.optim.Adam(first.parameters(), lr=0.2),
    }
    monitor = dense()(generator, {"image": first, "video": second}, None, steps)
    monitor.observe()
    trace = monitor.trace()
    assert trace.series("learning_rate/image").last == pytest.approx(0.2)
    assert trace.series("learning_rate/video").last == pytest.approx(0.1)


def test_modules_may_be_none():
    generator, _ = plain_players()
    optimizer = torch.optim.Adam(generator.parameters())
    monitor = dense()(None, None, optimizer, None)
    generator(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    monitor.observe(real_logits=torch.ones(4), fake_logits=torch.zeros(4))
    assert monitor.trace().series("update_ratio/generator").last > 0
    bare = Monitor(None, None)
    bare.observe(losses={"d": 1.0})
    bare.close()
    assert bare.trace().series("loss/discriminator").last == 1.0


class Wrapper(torch.optim.Optimizer):
    """As Accelerate and Fabric wrap: holds the optimizer, has no hooks of its own."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self, closure=None):
        return self.optimizer.step(closure)


def test_wrapped_optimizers_and_modules_are_seen_through():
    generator, discriminator = plain_players()
    optimizer = Wrapper(torch.optim.Adam(generator.parameters()))
    compiled = torch.compile(generator, backend="eager")
    monitor = dense()(compiled, nn.DataParallel(discriminator), optimizer, None)
    generator(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    monitor.observe()
    assert monitor.trace().series("updates/generator").last == 1
    assert monitor.trace().series("update_ratio/generator").last > 0


def ignore(*_):
    """A clock for a player whose readings nobody wants."""


def test_a_huge_player_is_measured_on_its_first_tensors():
    layers = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))
    few = Player("generator", [layers], None, Tick(), ignore)
    assert len(few._moved()) == 3
    big = nn.Linear(MOST_MOVED // 4, 5, bias=False)
    huge = Player("generator", [nn.ModuleList([layers[0], big])], None, Tick(), ignore)
    assert [p.numel() for p in huge._moved()] == [4]


def test_the_learning_rate_is_followed():
    rates = []

    def attach(g, d, og, od):
        schedule = torch.optim.lr_scheduler.StepLR(og, 1, gamma=0.5)
        rates.append(schedule)
        return dense()(g, d, og, od)

    state = play(3, attach, on_step=lambda step: rates[0].step())
    assert state.monitor.trace().series("learning_rate/generator").values == pytest.approx(
        [5e-4, 2.5e-4, 1.25e-4]
    )
