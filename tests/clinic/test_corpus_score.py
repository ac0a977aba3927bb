"""The rules on every run that the corpus holds: what a change of a rule must not lose."""

import pytest

from benchmarks import diagnosis
from benchmarks.faults import corpus
from benchmarks.faults.library import FAULTS

RUNS = corpus.read()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not RUNS, reason="no packed runs: python -m benchmarks.diagnosis"),
]
# Named first at least so often, of a fault's harmful runs; see docs/NEXT.md for those below.
LEAST = 0.6
BELOW = {"hinge without constraint": 0.5}


@pytest.fixture(scope="module")
def rows():
    return diagnosis.stored(RUNS)


def test_harmful_runs_are_found_and_named(rows):
    found = diagnosis.score(rows, "equipoise")
    assert found["harmful runs"] > 100
    assert found["detected"] >= 0.95
    assert found["named first"] >= 0.9
    assert found["held out"] >= 0.85


def test_healthy_runs_are_left_alone(rows):
    found = diagnosis.score(rows, "equipoise")
    assert found["healthy runs"] > 50
    assert found["false alarms"] <= 1


def test_no_single_fault_is_overlooked(rows):
    table = diagnosis.by_fault(rows)
    for name in FAULTS:
        harmful, named, said = table[name]
        assert named >= BELOW.get(name, LEAST) * harmful, f"{name}: {said}"
