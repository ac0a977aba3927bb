"""The fault library's scorer, on rows written by hand."""

import pytest

from benchmarks import diagnosis
from benchmarks.faults.library import FAULTS, Case, library, place_of

FAULT = "discriminator too slow"
RIGHT = FAULTS[FAULT].right


def row(value, said=(), fault="", held_out=False, confidence=None, since=0, preset="ring"):
    sure = {"confidence": confidence, "since": since} if said else {}
    return {
        "name": "a", "preset": preset, "fault": fault, "severity": 0, "seed": 0,
        "measures": {"mode_kl": repr(value)}, "steps": 100, "held_out": held_out,
        "said": {"equipoise": list(said)}, **sure,
    }  # fmt: skip


ROWS = [
    row(0.01),
    row(0.02),
    row(0.03, ["mode_collapse"], confidence=0.75),
    row(0.02, ["mode_collapse"], FAULT, confidence=0.7),  # harmless: inside of the healthy band
    row(0.5, [RIGHT[0], "mode_collapse"], FAULT, held_out=True, confidence=0.95, since=20),
    row(float("nan"), ["mode_collapse", RIGHT[1]], FAULT, held_out=True, confidence=0.95),
    row(0.5, [], FAULT),
    row(9.0, [], FAULT, preset="grid"),  # no healthy run of its preset: nothing is known
]


def test_only_what_harms_counts():
    found = diagnosis.score(ROWS, "equipoise")
    assert found == {
        "harmful runs": 3,
        "detected": pytest.approx(2 / 3),
        "named first": pytest.approx(1 / 3),
        "held out": 0.5,
        "named in three": pytest.approx(2 / 3),
        "healthy runs": 3,
        "false alarms": 1,
        "per 1,000 steps": pytest.approx(1000 / 300),
    }


def test_the_table_counts_what_was_said_first():
    harmful, named, said = diagnosis.by_fault(ROWS)[FAULT]
    assert (harmful, named) == (3, 1)
    assert said == {RIGHT[0]: 1, "mode_collapse": 1, "nothing": 1}


def test_confidence_is_held_against_being_right():
    assert diagnosis.calibration(ROWS) == [
        ("0.7 to 0.8", 2, pytest.approx(0.725), 0.0),
        ("0.9 to 1.0", 2, pytest.approx(0.95), 0.5),
    ]
    assert diagnosis.onset(ROWS) == 0.2


def test_the_section_is_a_table_of_every_fault():
    stored = {"date": "today", "machine": "here", "rows": ROWS}
    text = diagnosis.section(stored)
    assert all(f"| {name} |" in text for name in FAULTS)


def test_every_case_has_a_place_of_its_own_and_two_names_at_most(tmp_path):
    cases = library()
    places = {place_of(case, seed, tmp_path) for case in cases for seed in range(3)}
    assert len(places) == 3 * len(cases)
    assert all(1 <= len(fault.right) <= 2 for fault in FAULTS.values())
    assert sum(not case.fault for case in cases) >= 15
    assert len(FAULTS) >= 30


@pytest.mark.parametrize("seed", range(6))
def test_every_recipe_of_the_library_can_be_made(seed):
    cases = [case for case in library() if case.preset in ("ring", "grid", "digits")]
    hashes = {case.recipe(seed).content_hash() for case in cases if case.fault}
    assert len(hashes) > 0.9 * sum(bool(case.fault) for case in cases)
    held = {case.held_out(seed) for case in cases if case.fault}
    assert held == {seed != 0}


def test_a_tokenizers_case_is_its_own_librarys():
    (case,) = [c for c in library() if c.name == "tokenizer: weight too small / tokenizer / strong"]
    assert case.tokenizer.settings().weight < 1e-3
    assert isinstance(case, Case)
