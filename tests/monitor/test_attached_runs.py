"""Whole small runs of hand-written loops, well and sick, and the example that users copy."""

import importlib.util
from pathlib import Path

import pytest
import torch
from toy_loop import play

from equipoise.monitor import Monitor


def watching(**options):
    return lambda *given: Monitor(*given, overhead=1.0, tick=10, **options)


def test_a_generator_whose_optimizer_is_never_stepped_is_named():
    diagnosis = play(200, watching(), generator_steps=False).monitor.diagnose()
    assert diagnosis.verdict == "sick"
    finding = diagnosis.findings[0]
    assert finding.failure == "stalled_player"
    assert "generator" in finding.summary
    assert finding.since == 10
    assert finding.remedies[0].remedy == "step-the-optimizer"


@pytest.mark.parametrize(("n_critic", "steps"), [(1, 600), (5, 250)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_that_learns_is_not_sick(n_critic, steps, seed):
    state = play(steps, watching(), n_critic=n_critic, seed=seed)
    diagnosis = state.monitor.diagnose()
    assert [f.failure for f in diagnosis.findings] == []
    assert diagnosis.verdict == "healthy"
    assert state.monitor.trace().facts["objective"]["name"] == "non_saturating"


@pytest.mark.parametrize("nan_at", [37, 140])
def test_a_planted_nan_is_found_in_its_reading(nan_at):
    diagnosis = play(200, watching(), nan_at=nan_at).monitor.diagnose()
    assert [f.failure for f in diagnosis.findings] == ["non_finite"]
    finding = diagnosis.findings[0]
    assert 0 <= finding.since - nan_at < 10
    assert finding.evidence[0].signal == "nonfinite/discriminator"


def test_a_generator_that_makes_one_point_has_collapsed():
    def attach(g, d, og, od):
        with torch.no_grad():
            g[-1].weight.zero_()
        for group in og.param_groups:
            group["lr"] = 1e-5
        return watching()(g, d, og, od)

    findings = play(300, attach).monitor.diagnose().findings
    assert "mode_collapse" in [f.failure for f in findings]


EXAMPLE = Path(__file__).parents[2] / "examples" / "attach_to_a_loop.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("attach_to_a_loop", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_tells_a_well_loop_from_a_forgotten_generator(example):
    assert example.train(600).verdict != "sick"
    findings = example.train(400, forget_generator=True).findings
    assert [f.failure for f in findings] == ["stalled_player"]


def test_the_example_prints_its_diagnosis(example, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["attach", "--steps", "300", "--forget-generator"])
    example.main()
    said = capsys.readouterr().out
    assert "verdict: sick" in said
    assert "stalled_player" in said


def test_attaching_takes_under_ten_lines_and_the_loop_runs_without_them():
    lines = EXAMPLE.read_text().splitlines()
    marked = [line for line in lines if line.endswith("# equipoise")]
    assert 1 <= len(marked) < 10
    assert all("equipoise" not in line for line in lines[14:] if line not in marked)
    plain = "\n".join(line for line in lines if line not in marked)
    names = {"__name__": "plain"}
    exec(compile(plain, str(EXAMPLE), "exec"), names)
    assert names["train"](2) is None
