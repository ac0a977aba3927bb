"""`diagnose`: exit codes, JSON, Markdown, what it imports, and how commands end that go wrong."""

import json
import os
import subprocess
import sys

import pytest
from conftest import HEALTHY, SICK, SILENT

import equipoise.cli.judge
from equipoise.record import Diagnosis

VERDICTS = {"healthy": (HEALTHY, 0), "sick": (SICK, 1), "inconclusive": (SILENT, 3)}
KEYS = {"schema", "verdict", "findings", "notes", "signals", "missing", "steps"}
FINDING = {"failure", "confidence", "since", "summary", "evidence", "remedies"}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_exit_code_is_the_verdict(equipoise_says, left_run, verdict):
    signals, code = VERDICTS[verdict]
    said = equipoise_says("diagnose", left_run("run", signals))
    assert said.out.startswith(verdict.upper())
    assert (said.code, said.err) == (code, "")


@pytest.mark.parametrize("verdict", VERDICTS)
def test_json_is_the_diagnosis_and_nothing_else(equipoise_says, left_run, verdict):
    signals, code = VERDICTS[verdict]
    said = equipoise_says("diagnose", left_run("run", signals), "--json")
    answer = json.loads(said.out)
    assert answer["verdict"] == verdict
    assert set(answer) == KEYS
    assert all(set(finding) == FINDING for finding in answer["findings"])
    assert len(answer["findings"]) >= (verdict == "sick")
    assert Diagnosis.from_dict(answer).to_dict() == answer
    assert (said.code, said.err) == (code, "")


def test_markdown_holds_finding_evidence_and_remedy(equipoise_says, left_run):
    said = equipoise_says("diagnose", left_run("run", SICK), "--markdown")
    assert said.code == 1
    assert said.out.startswith("**sick**")
    assert "### non_finite, since step 10" in said.out
    assert "| `loss/generator` | nan (first) |" in said.out
    assert "1. **lower-both-rates**" in said.out


def test_a_foreign_log_is_read_and_the_mapping_said(equipoise_says, here):
    lines = [f"{step},{1.2 + step % 2 / 10},0.9,0.5" for step in range(100)]
    (here / "log.csv").write_text("\n".join(["step,loss_D,loss_G,oddity", *lines]))
    said = equipoise_says("diagnose", "log.csv", "--map", "oddity=diversity/pairwise")
    assert said.out.startswith("read as csv: ")
    assert "oddity -> diversity/pairwise" in said.out
    assert "loss_D -> loss/discriminator" in " ".join(said.out.split())
    assert "prove it" not in said.out  # there is no recipe to try a remedy on


def test_a_run_with_its_recipe_is_told_what_comes_next(equipoise_says, left_run):
    run = left_run("run", SICK)
    (run / "recipe.yaml").write_text("base: digits\n")
    said = equipoise_says("diagnose", "run")
    assert said.out.splitlines()[-1] == "look:     equipoise report run"


def test_a_bug_is_70_with_its_traceback(equipoise_says, left_run, monkeypatch):
    def broken(trace):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(equipoise.cli.judge, "diagnose", broken)
    said = equipoise_says("diagnose", left_run("run", HEALTHY))
    assert said.code == 70
    assert "ZeroDivisionError: a bug" in said.err
    assert said.err.splitlines()[-1].startswith("internal error: this is a bug in equipoise")


def test_an_interruption_is_130_without_a_traceback(equipoise_says, left_run, monkeypatch):
    def interrupted(trace):
        raise KeyboardInterrupt

    monkeypatch.setattr(equipoise.cli.judge, "diagnose", interrupted)
    said = equipoise_says("diagnose", left_run("run", HEALTHY))
    assert said.code == 130
    assert "Traceback" not in said.err


def test_a_file_that_the_system_refuses_is_bad_input(equipoise_says, here, monkeypatch):
    def refused(path, mapping):
        raise PermissionError(13, "Permission denied", "secret.log")

    monkeypatch.setattr(equipoise.cli.judge, "read_log", refused)
    said = equipoise_says("diagnose", "secret.log")
    assert (said.code, said.err) == (2, "error: secret.log: Permission denied\n")


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently there")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_that_goes_away_hears_nothing_more(left_run, form):
    """The pipe is closed before a byte is written: no traceback, and no code that is a verdict."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "equipoise", "diagnose", str(left_run("run", SICK)), *form]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_diagnosing_imports_no_torch(left_run):
    run = left_run("run", SICK)
    code = (
        "import sys, equipoise.cli\n"
        f"sys.argv = ['equipoise', 'diagnose', {str(run)!r}]\n"
        "code = equipoise.cli._code()\n"
        "print(code, sorted({'torch', 'scipy', 'sklearn', 'plotly', 'lightning_fabric'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "1 []"


def test_what_the_terminal_cannot_draw_is_escaped(left_run):
    """A console in a narrow encoding still gets the whole answer."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "equipoise", "train", "digits", "--help"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--dry-run" in done.stdout
