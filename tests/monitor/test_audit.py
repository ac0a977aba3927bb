"""The wiring audit: every planted fault named, no healthy loop flagged, nothing changed."""

import sys
from pathlib import Path

import pytest
import torch
from test_changes_nothing import bitwise_equal, everything
from torch import nn
from toy_loop import noisy_players, plain_players, play, ring

from equipoise.errors import StopTraining
from equipoise.monitor import Monitor
from equipoise.monitor.audit import MOST_ITERATIONS, Audit
from equipoise.monitor.audit.pulls import FAR, pull
from equipoise.monitor.audit.shapes import accidental
from equipoise.record import Trace

sys.path.insert(0, str(Path(__file__).parents[2]))  # the library of loops lies beside the package

from benchmarks.faults.wiring.healthy import HEALTHY
from benchmarks.faults.wiring.score import played
from benchmarks.faults.wiring.sick import FAULTS

NEVER = {"generator_never_stepped": "generator", "discriminator_never_stepped": "discriminator"}


@pytest.mark.parametrize("loop", FAULTS, ids=lambda loop: loop.__name__)
def test_a_planted_fault_is_named_within_two_updates_of_each_player(loop):
    row = played(loop, FAULTS[loop])
    assert row.passed, row
    assert len(row.found) == 1, "one cause, one finding"
    still = NEVER.get(row.name)
    assert row.iterations <= (MOST_ITERATIONS if still else 2)
    assert [player for player, count in row.updates.items() if count == 0] == [still] * bool(still)


@pytest.mark.parametrize("loop", HEALTHY, ids=lambda loop: loop.__name__)
def test_no_correct_loop_is_flagged(loop):
    row = played(loop, ())
    assert row.passed, row
    assert min(row.updates.values()) >= 2


def audited(steps=2):
    def attach(*players):
        monitor = Monitor(*players, schedule="fixed", stride=1)
        monitor.audit(steps)
        return monitor

    return attach


@pytest.mark.parametrize("players", [plain_players, noisy_players])
def test_training_is_bitwise_the_same_under_the_audit(players):
    states = [play(6, attach, players) for attach in (None, audited(), audited(4))]
    bare, *watched = [everything(state) for state in states]
    for got in watched:
        assert [k for k in bare if not bitwise_equal(bare[k], got[k])] == []
    assert states[1].monitor.trace().facts["audit"]["over"]


def hooks(state):
    """How many hooks the players carry."""
    modules = [m for p in (state.generator, state.discriminator) for m in p.modules()]
    parameters = [p for m in (state.generator, state.discriminator) for p in m.parameters()]
    return (
        sum(len(m._forward_hooks) for m in modules)
        + sum(len(p._backward_hooks or {}) for p in parameters)
        + sum(len(p._post_accumulate_grad_hooks or {}) for p in parameters)
    )


def test_hooks_come_and_go():
    during = []
    state = play(1, lambda *p: during.append(audited()(*p)) or during[0])
    bare = play(1, lambda *p: Monitor(*p))
    bare.monitor.close()
    assert hooks(state) > hooks(bare) == 0
    assert not during[0].trace().facts["audit"]["over"]
    during[0].close()
    assert hooks(state) == 0
    state = play(3, audited())
    steps = [len(o._optimizer_step_pre_hooks) for o in (state.optimizer_g, state.optimizer_d)]
    bare = play(3, lambda *p: Monitor(*p, schedule="fixed", stride=1))
    assert hooks(state) == hooks(bare)
    assert steps == [len(o._optimizer_step_pre_hooks) for o in (bare.optimizer_g, bare.optimizer_d)]


def test_arming_again_starts_anew():
    counts = []

    def on_step(step):
        counts.append(monitors[0].trace().facts.get("audit", {}).get("iterations"))
        if step == 3:
            monitors[0].audit(3)

    monitors = []
    play(8, lambda *p: monitors.append(audited()(*p)) or monitors[0], on_step=on_step)
    assert counts == [None, 1, 2, 1, 2, 3, 4, 4], "armed in the third, after its updates"


def test_an_error_inside_is_said_once_and_never_reaches_the_loop(monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr("equipoise.monitor.audit.arrivals._sort", broken)
    state = play(5, audited())
    assert state.done == 5
    said = capsys.readouterr().err
    assert said.count("the wiring audit failed and is off") == 1
    assert said.count("in broken") == 1
    state.monitor.close()
    assert len(state.monitor.trace().series("auc/discriminator")) == 1, "the rest went on"


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2"])
def test_a_senseless_number_of_steps_is_refused(steps):
    monitor = Monitor(*plain_players())
    with pytest.raises(ValueError, match="updates of each player"):
        monitor.audit(steps)


def test_it_ends_the_loop_where_asked():
    monitors = []

    def attach(*players):
        monitors.append(Monitor(*players))
        monitors[0].audit(3, stop=True)
        return monitors[0]

    with pytest.raises(StopTraining, match="audit is over"):
        play(9, attach)
    assert monitors[0].trace().facts["audit"]["updates"] == {"generator": 3, "discriminator": 3}


def test_without_optimizers_it_says_what_it_cannot_see():
    monitor = Monitor(*plain_players())
    monitor.audit()
    for _ in range(MOST_ITERATIONS):
        monitor.observe()
    state = monitor.trace().facts["audit"]
    assert state["over"]
    text = " ".join(state["unseen"])
    assert all(
        w in text for w in ("optimizer of each player", "calls of the discriminator", "real")
    )
    assert monitor.diagnose().findings == ()


def test_before_the_adversarial_start_a_still_discriminator_is_normal():
    def attach(g, d, opt_g, opt_d):
        for group in opt_d.param_groups:
            group["lr"] = 0.0
        monitor = Monitor(g, d, opt_g, opt_d, adversarial_start=start)
        monitor.audit()
        return monitor

    start = 100
    assert play(3, attach).monitor.diagnose().findings == ()
    start = 0
    assert play(3, attach).monitor.diagnose().findings[0].failure == "stalled_player"


def test_findings_are_in_the_trace_on_disk(tmp_path):
    def attach(g, d, opt_g, opt_d):
        monitor = Monitor(g, d, opt_d, opt_g, run_dir=tmp_path)  # each the other's optimizer
        monitor.audit()
        return monitor

    play(2, attach).monitor.close()
    leaks = Trace.read(tmp_path).facts["audit/leaks"]
    assert {told["check"] for told in leaks} == {"parameters"}


def test_no_graph_and_no_batch_is_kept_alive():
    import gc
    import weakref

    generator, discriminator = plain_players()
    monitor = Monitor(generator, discriminator)
    monitor.audit()
    fake = generator(torch.randn(8, 4))
    logits = discriminator(fake)
    alive = [weakref.ref(fake), weakref.ref(logits)]
    monitor.observe(real=ring(8), fake=fake, fake_logits=logits, losses={"g": -logits.mean()})
    del fake, logits
    gc.collect()
    assert [ref() for ref in alive] == [None, None]


@pytest.mark.parametrize("compiled", [False, True])
def test_a_module_compiled_in_place_is_left_alone(compiled):
    generator, discriminator = plain_players()
    if compiled:
        discriminator._compiled_call_impl = discriminator._call_impl
    Monitor(generator, discriminator, probes=[]).audit()
    assert len(discriminator._forward_hooks) == int(not compiled)


def test_least_squares_are_driven_to_their_label():
    a = torch.linspace(-0.3, 0.5, 9)
    told = pull(a, 2 * (a - 0.9) / 9)
    assert told["target"] == pytest.approx(0.9)
    assert told["logit"] == pytest.approx(0.1)
    assert told["coherence"] == pytest.approx(1.0)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_cross_entropy_is_driven_beyond_the_logits(label):
    a = torch.linspace(-0.1, 0.1, 33, dtype=torch.float64)
    told = pull(a, torch.sigmoid(a) - label)
    assert told["target"] == pytest.approx(2.0 if label else -2.0, abs=0.01)


def test_losses_without_a_minimum_are_driven_far():
    a = torch.linspace(-1, 1, 9)
    assert pull(a, torch.full((9,), -0.1))["target"] == pytest.approx(FAR)
    assert pull(a, -torch.sigmoid(a))["target"] == pytest.approx(FAR), "minimax bends the other way"
    assert pull(a[:1], torch.tensor([0.3]))["target"] == pytest.approx(a[0] - FAR)


@pytest.mark.parametrize("gradient", [0.0, float("nan"), float("inf")])
def test_no_finite_gradient_says_nothing(gradient):
    assert pull(torch.randn(4), torch.full((4,), gradient)) is None


COLUMN, ROW, FLAT = (6, 1), (1, 6), (6,)


@pytest.mark.parametrize(
    ("left", "right", "learns", "found"),
    [
        (COLUMN, FLAT, True, True),
        (FLAT, COLUMN, True, True),
        (COLUMN, FLAT, False, True),
        (COLUMN, ROW, True, False),
        (COLUMN, COLUMN, True, False),
        (FLAT, FLAT, False, False),
        (COLUMN, (1,), True, False),
    ],
)
def test_only_ranks_that_differ_broadcast_by_accident(left, right, learns, found):
    a = torch.randn(left, requires_grad=True) * 1
    b = torch.randn(right, requires_grad=learns) * 1
    loss = nn.functional.softplus(a - b).mean()
    assert accidental(loss) == ((6, 6) if found else None)
    loss.backward()
    assert accidental(loss) == ((6, 6) if found else None), "the graph is freed, its shapes are not"


@pytest.mark.parametrize("loss", [None, 0.3, torch.tensor(1.0)])
def test_a_loss_without_a_graph_shows_no_shapes(loss):
    assert accidental(loss) is None


def test_the_audit_is_public_by_the_monitor_alone():
    assert Monitor(None, None)._audit is None
    assert Audit.__module__.startswith("equipoise.monitor.audit")


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own, of any such input
def test_modules_compiled_whole_are_hooked_from_outside():
    """A hook inside such a graph would end training with an error of the compiler's."""
    generator, discriminator = (
        torch.compile(module, backend="eager", fullgraph=True) for module in plain_players()
    )
    optimizers = [torch.optim.SGD(m.parameters(), 0.1) for m in (generator, discriminator)]
    monitor = Monitor(generator, discriminator, *optimizers)
    monitor.audit(1)
    fake = generator(torch.randn(8, 4))
    logits = discriminator(fake)
    logits.mean().backward()
    for optimizer in optimizers:
        optimizer.step()
    monitor.observe(fake=fake, fake_logits=logits)
    state = monitor.trace().facts["audit"]
    assert state["over"]
    assert state["unseen"] == ["samples: pass real and fake to observe"]
