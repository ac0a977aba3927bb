"""The command line called in this process: quick, and what it prints is kept apart."""

import sys
from dataclasses import dataclass

import pytest

import equipoise.cli
from equipoise.record import TraceWriter


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def equipoise_says(here, monkeypatch, capsys):
    """Call `equipoise ARGUMENTS` in this process, in the folder `here`, 100 columns wide."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments) -> Said:
        monkeypatch.setattr(sys, "argv", ["equipoise", *map(str, arguments)])
        capsys.readouterr()
        code = equipoise.cli._code()
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return call


HEALTHY = {
    "loss/discriminator": 1.2,
    "loss/generator": 0.9,
    "auc/discriminator": 0.72,
    "accuracy/discriminator": 0.65,
    "logits/gap": 0.7,
    "diversity/pairwise": 0.97,
    "diversity/nearest": 0.9,
    "gradient_norm/generator": 1.0,
    "gradient_norm/discriminator": 1.0,
    "update_ratio/generator": 1e-3,
    "update_ratio/discriminator": 1e-3,
}
SICK = {**HEALTHY, "loss/generator": float("nan")}
SILENT = {"loss/discriminator": 1.2, "loss/generator": 0.9}


@pytest.fixture
def left_run(here):
    """Write the trace of a run of 60 readings with these signals, and give its folder."""

    def write(name, signals):
        folder = here / name
        folder.mkdir()
        with TraceWriter(folder) as trace:
            trace.header(name=name, objective="non_saturating", batch=64)
            for step in range(10, 610, 10):
                trace.row(step, step * 0.064, step * 0.01, signals)
        return folder

    return write
