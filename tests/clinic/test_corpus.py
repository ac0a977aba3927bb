"""Traces of the fault library's runs, packed and read back."""

import math

import numpy as np
import pytest

from benchmarks.faults import corpus
from benchmarks.faults.library import library, place_of, play, played
from equipoise.record import Series, Trace

ROW = {"name": "ring", "seed": 3, "recipe": "a1", "measures": {"mode_kl": "nan"}, "steps": 20}


def a_trace():
    ticks = np.array([10, 20, 30])
    signals = {
        "loss/generator": Series(ticks, np.array([0.123456789, math.nan, -math.inf])),
        "metric/mode_kl": Series(ticks[1:], np.array([12345.678, 1e-9])),
        "updates/generator": Series(ticks, np.array([10.0, 20.0, 30.0])),
    }
    clock = Series(ticks, np.array([1.0, 2.0, 3.0]))
    return Trace({"objective": "hinge"}, {"probe": [1, 2]}, signals, kimg=clock, seconds=clock)


def test_a_run_is_read_back_to_four_digits(tmp_path):
    corpus.write([corpus.packed(ROW, a_trace())], tmp_path)
    line = corpus.read(tmp_path)["ring", 3]
    assert {name: line[name] for name in ROW} == ROW
    trace = corpus.unpacked(line)
    assert (trace.header, trace.facts) == ({"objective": "hinge"}, {"probe": [1, 2]})
    assert trace.last_step == 30
    for name, series in a_trace().signals.items():
        got = trace.series(name)
        assert got.steps.tolist() == series.steps.tolist()
        np.testing.assert_allclose(got.values, series.values, rtol=5e-4)


def test_a_later_run_takes_the_place_of_an_earlier_one(tmp_path):
    corpus.write(
        [corpus.packed(ROW, a_trace()), corpus.packed(ROW | {"seed": 4}, a_trace())], tmp_path
    )
    corpus.write([corpus.packed(ROW | {"recipe": "b2"}, a_trace())], tmp_path)
    found = corpus.read(tmp_path)
    assert {place: line["recipe"] for place, line in found.items()} == {
        ("ring", 3): "b2",
        ("ring", 4): "a1",
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3.jsonl.xz", "4.jsonl.xz"]


def test_a_run_of_other_settings_is_not_taken_from_the_corpus(tmp_path, monkeypatch):
    (case,) = [c for c in library() if c.name == "ring"]
    known = corpus.packed(ROW | {"recipe": case.recipe(3).content_hash()}, a_trace())
    row, trace = play(case, 3, tmp_path, known)
    assert (row["steps"], trace.last_step) == (20, 30)
    monkeypatch.setattr("benchmarks.faults.library.train", lambda *_: pytest.fail("is played"))
    with pytest.raises(pytest.fail.Exception, match="is played"):
        play(case, 3, tmp_path, known | {"recipe": "another"})


def test_what_is_not_finished_is_not_packed(tmp_path):
    (case,) = [c for c in library() if c.name == "ring"]
    place_of(case, 0, tmp_path).mkdir()
    assert list(played(tmp_path)) == []
