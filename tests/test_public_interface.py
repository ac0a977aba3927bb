"""The package's face: names, laziness, and that what it offers is documented."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise
from equipoise.record import TraceWriter

ROOT = Path(__file__).parents[1]
HOMES = {
    "Diagnosis": "equipoise.record",
    "Finding": "equipoise.record",
    "Trace": "equipoise.record",
    "Recipe": "equipoise.recipe",
    "load": "equipoise.recipe",
    "Monitor": "equipoise.monitor",
    "Run": "equipoise.trial",
    "EquipoiseError": "equipoise.errors",
    "StopTraining": "equipoise.errors",
}
FUNCTIONS = ("check", "diagnose", "train")


@pytest.mark.parametrize("name", HOMES)
def test_a_name_leads_home(name):
    found = getattr(equipoise, name)
    assert found.__module__.startswith(HOMES[name])
    assert found is getattr(sys.modules[HOMES[name]], name)


def test_every_public_name_is_listed_and_nothing_else():
    public = {"__version__", *FUNCTIONS, *HOMES}
    assert set(equipoise.__all__) == public
    assert set(dir(equipoise)) == public


def test_importing_loads_no_room_until_a_name_is_asked_for():
    code = (
        "import sys, equipoise\n"
        "rooms = [m for m in sys.modules if m.startswith('equipoise.')]\n"
        "print(rooms, 'torch' in sys.modules, 'numpy' in sys.modules)\n"
        "equipoise.Trace, equipoise.Recipe, equipoise.EquipoiseError\n"
        "print('torch' in sys.modules)\n"
        "equipoise.Monitor\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "['equipoise._version', 'equipoise.errors'] False False",
        "False",
        "True",
    ]


def test_an_unknown_name_is_an_attribute_error_that_suggests():
    with pytest.raises(AttributeError, match="module 'equipoise' has no attribute 'Monitr'"):
        equipoise.Monitr  # noqa: B018 - the look-up is the test
    with pytest.raises(AttributeError, match="did you mean 'Monitor'"):
        equipoise.Monitr  # noqa: B018 - the look-up is the test
    assert not hasattr(equipoise, "__wrapped__")


def test_it_says_its_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", equipoise.__version__)


@pytest.fixture
def run(tmp_path):
    """A run directory whose loss went NaN at step 30."""
    with TraceWriter(tmp_path) as trace:
        trace.header(objective="hinge")
        for step in range(10, 110, 10):
            loss = 1.0 if step < 30 else float("nan")
            trace.row(step, step / 10, step / 5, {"loss/generator": loss})
    return tmp_path


@pytest.mark.parametrize("form", ["folder", "text", "file", "trace"])
def test_diagnose_takes_a_folder_a_file_and_a_trace(run, form):
    sources = {
        "folder": run,
        "text": str(run),
        "file": run / "trace.jsonl",
        "trace": equipoise.Trace.read(run),
    }
    diagnosis = equipoise.diagnose(sources[form])
    assert isinstance(diagnosis, equipoise.Diagnosis)
    assert diagnosis.verdict == "sick"
    (finding,) = diagnosis.findings
    assert isinstance(finding, equipoise.Finding)
    assert (finding.failure, finding.since) == ("non_finite", 30)
    assert finding.remedies
    assert finding.evidence
    assert diagnosis.to_dict()["findings"][0]["failure"] == "non_finite"


def test_diagnose_reads_a_foreign_log(tmp_path):
    lines = [f"step {n} loss_D: {1.3 - n / 1000} loss_G: 0.8" for n in range(50)]
    (tmp_path / "train.log").write_text("\n".join(lines))
    assert equipoise.diagnose(tmp_path / "train.log").verdict == "inconclusive"


def test_diagnose_refuses_what_is_not_there(tmp_path):
    with pytest.raises(equipoise.EquipoiseError, match="check the path"):
        equipoise.diagnose(tmp_path / "nowhere.log")


def test_check_judges_networks_and_a_batch():
    import torch
    from torch import nn

    generator = nn.Sequential(nn.Linear(8, 64), nn.Unflatten(1, (1, 8, 8)), nn.Tanh())
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    reals = torch.linspace(-1, 1, 512).view(8, 1, 8, 8)
    assert equipoise.check(generator, discriminator, reals).verdict == "healthy"
    sick = equipoise.check(generator, discriminator, reals * 127.5 + 127.5)
    assert sick.verdict == "sick"
    assert [f.failure for f in sick.findings] == ["data_range_mismatch"]


TINY = {"kimg": 0.5, "evaluation.samples": 50, "generator.width": 4, "discriminator.width": 4}


@pytest.mark.parametrize("form", ["recipe", "file"])
def test_train_takes_a_recipe_or_its_name(tmp_path, form):
    recipe = equipoise.load("ring").edit(TINY)
    (tmp_path / "mine.yaml").write_text("base: ring\n" + "".join(_yaml(TINY)))
    asked = recipe if form == "recipe" else tmp_path / "mine.yaml"
    run = equipoise.train(asked, run_dir=tmp_path / "run")
    assert isinstance(run, equipoise.Run)
    assert run.recipe == recipe
    assert run.outcome.finished
    assert "mode_kl" in run.outcome.metrics
    assert run.diagnosis == equipoise.diagnose(tmp_path / "run")
    assert run.trace.last_step == recipe.iterations


def _yaml(edit):
    for path, value in edit.items():
        part, _, name = path.rpartition(".")
        yield f"{part}: {{{name}: {value}}}\n" if part else f"{name}: {value}\n"


def test_train_refuses_before_anything_is_left(tmp_path):
    with pytest.raises(equipoise.EquipoiseError, match="did you mean 'ring'"):
        equipoise.train("rng", run_dir=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def commands():
    import typer

    from equipoise.cli.app import app

    return tuple(typer.main.get_command(app).commands)


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"equipoise {command}\b", readme), f"README.md lacks: equipoise {command}"
