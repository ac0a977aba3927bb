"""Judgements and trial rows survive the way to JSON and back."""

import json
import math
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from equipoise.record import Diagnosis, Evidence, Finding, Note, Prescription, TrialRow

TEXT = st.text(max_size=8)
FLOATS = st.floats(allow_nan=False)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
STEPS = st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))
EVIDENCE = st.builds(Evidence, TEXT, FLOATS, TEXT, STEPS, TEXT)
VALUES = st.one_of(FINITE, TEXT, st.booleans())
REMEDIES = st.builds(Prescription, TEXT, TEXT, TEXT, st.dictionaries(TEXT, VALUES, max_size=2))
FINDINGS = st.builds(
    Finding,
    TEXT,
    st.floats(0, 1),
    st.integers(0, 10**9),
    TEXT,
    st.lists(EVIDENCE, max_size=2).map(tuple),
    st.lists(REMEDIES, max_size=2).map(tuple),
)
DIAGNOSES = st.builds(
    Diagnosis,
    st.sampled_from(["healthy", "sick", "inconclusive"]),
    st.lists(FINDINGS, max_size=2).map(tuple),
    st.lists(st.builds(Note, TEXT, TEXT, TEXT), max_size=2).map(tuple),
    st.dictionaries(TEXT, TEXT, max_size=2),
    st.dictionaries(TEXT, FLOATS, max_size=3),
    STEPS,
)


def strict(value):
    """The way through JSON as other languages know it, without NaN and Infinity."""
    return json.loads(json.dumps(value, allow_nan=False))


@given(DIAGNOSES)
def test_a_diagnosis_comes_back_from_strict_json(diagnosis):
    assert Diagnosis.from_dict(strict(diagnosis.to_dict())) == diagnosis


def test_a_diagnosis_says_its_schema_and_spells_what_is_not_finite():
    data = Diagnosis("healthy", signals={"a": math.nan, "b": -math.inf}).to_dict()
    assert data["schema"] == 1
    assert data["signals"] == {"a": "nan", "b": "-inf"}
    back = Diagnosis.from_dict(strict(data))
    assert math.isnan(back.signals["a"])
    assert back.signals["b"] == -math.inf


def test_the_published_keys_are_there():
    data = Diagnosis("sick", findings=(Finding("non_finite", 1.0, 3, "x"),)).to_dict()
    assert set(data) >= {"verdict", "findings", "notes", "signals", "missing"}
    keys = {"failure", "confidence", "since", "summary", "evidence", "remedies"}
    assert set(data["findings"][0]) == keys


@given(
    st.lists(FINITE, max_size=4).map(tuple),
    st.dictionaries(TEXT, FINITE, max_size=2),
    st.tuples(FLOATS, FLOATS),
)
def test_a_trial_row_comes_back(values, edit, interval):
    row = TrialRow(
        trial="t",
        created="now",
        baseline="ring",
        baseline_hash="0",
        arm="a",
        edit=edit,
        metric="m",
        better="lower",
        minimal_effect=0.0,
        seeds=tuple(range(len(values))),
        baseline_values=values,
        arm_values=values,
        improvement=0.0,
        interval=interval,
        p_value=1.0,
        verdict="keep",
        reason="r",
        environment={"torch": "2"},
        failures=("a/1: nan",),
    )
    assert TrialRow.from_dict(json.loads(json.dumps(row.to_dict()))) == row
    assert row.to_dict() == asdict(row)
