"""`trial`, `ledger` and `report` together, on runs of a second."""

import json

import pytest

from equipoise.record import TrialRow
from equipoise.trial import CellResult

TINY = ("kimg=1", "evaluation.samples=100", "generator.width=4", "discriminator.width=4")
SETTINGS = tuple(word for setting in TINY for word in ("--set", setting))


@pytest.mark.slow  # eleven runs in processes of their own
def test_a_trial_is_decided_entered_shown_and_reported(equipoise_says, here):
    arm = ("--arm", "optimizer.generator.lr=0.0005", "--workers", "2")
    said = equipoise_says("trial", "ring", *SETTINGS, *arm)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert sum(line.startswith("baseline, seed ") for line in lines) == 5
    assert "arm optimizer.generator.lr=0.0005: --set optimizer.generator.lr=0.0005" in lines
    assert lines[-1] == "ledger: runs/ledger.sqlite"

    shown = equipoise_says("ledger", "--json")
    (row,) = map(TrialRow.from_dict, json.loads(shown.out))
    assert row.arm == "optimizer.generator.lr=0.0005"
    assert row.verdict.upper() in said.out
    assert row.verdict in equipoise_says("ledger").out

    again = equipoise_says("trial", "ring", *SETTINGS, *arm, "--json")
    (repeated,) = map(TrialRow.from_dict, json.loads(again.out))
    assert repeated.arm_values == row.arm_values  # nothing was run twice

    played = sorted(path.parent for path in here.glob("runs/trials/**/trace.jsonl"))
    assert len(played) == 10
    run = played[0].relative_to(here)
    reported = equipoise_says("report", run, "--ledger", "runs/ledger.sqlite")
    assert reported.err == ""
    assert reported.out == f"report: {run}/report.html\n"
    assert row.arm in (here / run / "report.html").read_text()


def test_an_interrupted_trial_says_how_it_goes_on(equipoise_says, monkeypatch):
    def interrupted(design, folder, ledger, workers, finished):
        finished(CellResult("baseline", 0, {"mode_kl": 0.5}))
        raise KeyboardInterrupt

    monkeypatch.setattr("equipoise.trial.conduct", interrupted)
    said = equipoise_says("trial", "ring", "--arm", "r1=10")
    assert said.code == 130
    assert said.out == "baseline, seed 0: mode_kl 0.5\n"
    assert said.err == "interrupted; the same command goes on with what is finished\n"
