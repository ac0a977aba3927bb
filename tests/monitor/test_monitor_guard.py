"""The monitor's manners: arguments, failures, announcements, closing, resuming."""

import json

import pytest
import torch
from toy_loop import dense, plain_players, play

from equipoise.clinic import diagnose
from equipoise.errors import RecordError, StopTraining
from equipoise.monitor import Monitor
from equipoise.record import Trace

BAD = [
    ({"overhead": 0}, "overhead = 0"),
    ({"overhead": 1.5}, "overhead = 1.5"),
    ({"tick": 0}, "tick = 0"),
    ({"stride": 0}, "stride = 0"),
    ({"schedule": "often"}, "schedule = 'often'"),
    ({"on_finding": "shout"}, "on_finding = 'shout'"),
    ({"objective": "hinge loss"}, "did you mean 'hinge'"),
    ({"adversarial_start": -1}, "adversarial_start = -1"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[message for _, message in BAD])
def test_arguments_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Monitor(None, None, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("G", None), "generator is str: pass an nn.Module"),
        ((None, [3]), "discriminator is int"),
        ((None, None, 0.1), "generator_optimizer is float: pass a torch.optim.Optimizer"),
        (({"net": torch.nn.Linear(1, 1)}, {"net": torch.nn.Linear(1, 1)}), "share a name"),
    ],
)
def test_what_is_no_player_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Monitor(*given)


def broken(*_, **__):
    raise RuntimeError("planted")


@pytest.mark.parametrize(
    "place",
    [
        "observation.pair_readings",
        "observation.diversity_readings",
        "update.update_readings",
        "probing.Prober.run_at",
        "capture._call",
        "monitor.diagnose",
    ],
)
def test_an_error_inside_is_said_once_and_never_reaches_the_loop(monkeypatch, capsys, place):
    monkeypatch.setattr(f"equipoise.monitor.{place}", broken)
    attach = dense(held_out=torch.randn(8, 2), on_finding="stop", probes=["overfitting"])
    state = play(20, attach)
    said = capsys.readouterr().err
    assert state.done == 20
    assert said.count("the monitor failed and is off; training goes on") == 1
    assert "planted" in said
    assert state.optimizer_g._optimizer_step_pre_hooks == {}, "it left the loop alone afterwards"


def test_an_error_between_the_hooks_leaves_the_optimizer_well(monkeypatch, capsys):
    monkeypatch.setattr("equipoise.monitor.update.Update.end", broken)
    state = play(5, dense())
    assert state.done == 5
    assert capsys.readouterr().err.count("the monitor failed") == 1


@pytest.mark.parametrize(
    "junk",
    [
        {"real": 3},
        {"fake": "batch", "real": torch.zeros(4, 2)},
        {"real_logits": object()},
        {"losses": 3.0},
        {"losses": torch.ones(3)},
        {"losses": {"d": "high"}},
        {"fid": "low"},
        {"step": "now"},
        {"adaptive_weight": [1]},
    ],
    ids=lambda junk: next(iter(junk)),
)
def test_junk_never_reaches_the_loop(capsys, junk):
    monitor = dense()(None, None, None, None)
    for _ in range(3):
        monitor.observe(**junk)
    assert capsys.readouterr().err.count("the monitor failed") == 1


def test_unreduced_losses_count_by_their_mean():
    monitor = dense()(None, None, None, None)
    monitor.observe(losses={"d": torch.tensor([1.0, 3.0]), "g": None}, penalty=torch.tensor(2))
    assert monitor.trace().series("loss/discriminator").last == 2.0
    assert monitor.trace().series("penalty").last == 2.0
    assert "loss/generator" not in monitor.trace()


def sick(**options):
    """A run whose discriminator's loss is NaN from step 7 on."""
    return play(12, dense(**options), nan_at=7)


def test_stop_is_raised_from_observe_when_something_is_found():
    steps = []
    with pytest.raises(StopTraining, match="step 7: non_finite"):
        play(12, dense(on_finding="stop"), nan_at=7, on_step=steps.append)
    assert steps[-1] == 7


def test_a_callable_hears_of_each_failure_once():
    heard = []
    state = sick(on_finding=heard.append)
    assert state.done == 12
    assert [f.failure for f in heard] == ["non_finite"]
    assert heard[0].since == 7
    assert [e["failure"] for e in state.monitor.trace().events] == ["non_finite"]


def test_what_the_callable_raises_is_the_loops_own():
    with pytest.raises(RuntimeError, match="planted"):
        sick(on_finding=broken)


def test_warn_prints_one_line(capsys):
    sick(on_finding="warn")
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("equipoise: step 7: A number stopped being finite")


def test_nothing_is_said_unasked(capsys):
    sick()
    assert capsys.readouterr().err == ""


def columns(trace):
    return {n: (s.steps.tolist(), s.values.tolist()) for n, s in trace.signals.items()}


def test_the_file_holds_what_the_monitor_knows(tmp_path):
    state = play(12, dense(run_dir=tmp_path, objective="non_saturating", header={"batch": 32}))
    known = state.monitor.trace()
    state.monitor.close()
    read = Trace.read(tmp_path)
    assert columns(read) == columns(known)
    assert read.facts == known.facts
    assert read.header == known.header | {"schema": 1}
    assert read.header["batch"] == 32
    assert read.kimg.last == pytest.approx(12 * 32 / 1000)
    assert read.damaged == 0
    assert diagnose(read).to_dict() == state.monitor.diagnose().to_dict()


def test_nan_survives_the_file(tmp_path):
    state = sick(run_dir=tmp_path, on_finding=lambda finding: None)
    state.monitor.close()
    read = Trace.read(tmp_path)
    assert diagnose(read).findings[0].since == 7
    assert [e["kind"] for e in read.events] == ["finding"]


def test_closing_twice_is_closing_once(tmp_path):
    state = play(3, dense(run_dir=tmp_path, tick=2))
    assert len(state.monitor.trace().series("updates/generator")) == 1
    state.monitor.close()
    state.monitor.close()
    assert state.monitor.trace().series("updates/generator").steps.tolist() == [2, 3]
    for optimizer in (state.optimizer_g, state.optimizer_d):
        assert optimizer._optimizer_step_pre_hooks == {}
        assert optimizer._optimizer_step_post_hooks == {}
    text = (tmp_path / "trace.jsonl").read_text()
    state.monitor.observe(losses={"d": 1.0})
    assert (tmp_path / "trace.jsonl").read_text() == text, "a closed monitor writes nothing more"


def test_it_is_a_context_manager():
    generator, discriminator = plain_players()
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
    with Monitor(generator, discriminator, optimizer) as monitor:
        assert len(optimizer._optimizer_step_pre_hooks) == 1
    assert optimizer._optimizer_step_pre_hooks == {}
    assert monitor.diagnose().verdict == "inconclusive"


def test_state_goes_round_through_json():
    first = play(5, dense()).monitor
    state = json.loads(json.dumps(first.state_dict()))
    probes = state.pop("probes")
    assert probes["turn"].keys() >= {"leak", "spectral"}
    assert state == {
        "step": 5,
        "observed": 5,
        "images": 160,
        "updates": {"generator": 5, "discriminator": 5},
    }

    def resumed(*given):
        monitor = dense()(*given)
        monitor.load_state_dict(state | {"probes": probes})
        return monitor

    trace = play(2, resumed).monitor.trace()
    assert trace.series("updates/generator").steps.tolist() == [6, 7]
    assert trace.series("updates/generator").values.tolist() == [6.0, 7.0]
    assert trace.kimg.last == pytest.approx(7 * 32 / 1000)


def test_resuming_in_the_same_directory_goes_on_with_its_trace(tmp_path):
    first = play(6, dense(run_dir=tmp_path)).monitor
    state = {**first.state_dict(), "step": 4, "observed": 4}  # the checkpoint was two steps back
    first.close()

    def resumed(*given):
        monitor = dense(run_dir=tmp_path)(*given)
        monitor.load_state_dict(state)
        return monitor

    second = play(1, resumed).monitor
    second.close()
    for trace in (second.trace(), Trace.read(tmp_path)):
        assert trace.series("loss/generator").steps.tolist() == [1, 2, 3, 4, 5]
    assert columns(Trace.read(tmp_path)) == columns(second.trace())


def test_a_new_run_in_an_old_directory_voids_the_old_rows(tmp_path):
    play(9, dense(run_dir=tmp_path, objective="hinge")).monitor.close()
    play(3, dense(run_dir=tmp_path), seed=1).monitor.close()
    read = Trace.read(tmp_path)
    assert read.series("loss/generator").steps.tolist() == [1, 2, 3]
    assert read.header["objective"] is None


def test_a_run_directory_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"run_dir = .*give a directory"):
        Monitor(None, None, run_dir=tmp_path / "file")


def test_the_loop_may_count_its_steps_itself():
    monitor = dense()(None, None, None, None)
    for step in (0, 100, 200):
        monitor.observe(losses={"d": float(step)}, step=step)
    assert monitor.trace().series("loss/discriminator").steps.tolist() == [0, 100, 200]


def test_the_adversarial_start_reaches_the_rules():
    def attach(g, d, og, od):
        for group in od.param_groups:
            group["lr"] = 0.0
        return dense(adversarial_start=100)(g, d, og, od)

    state = play(20, attach)
    assert state.monitor.trace().header["adversarial_start"] == 100
    assert state.monitor.diagnose().findings == ()
