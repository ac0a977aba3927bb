"""The table's rows come from fresh processes and compare what both tools found."""

import importlib.util

import pytest

from benchmarks import prdc


@pytest.fixture(autouse=True)
def seen_by_children(monkeypatch, request):
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))


def test_each_size_has_a_row_for_each_tool():
    ours, theirs = prdc.rows(sizes=((60, 3),))
    assert ours["tool"] == "equipoise"
    assert 0 < ours["cpu_s"] < 60
    assert ours["added_mib"] >= 0
    assert 0 <= ours["recall"] <= 1
    if importlib.util.find_spec("prdc") is None:
        assert "pip install prdc" in theirs["skipped"]
    else:
        assert theirs["largest_difference"] < 0.01


def test_a_size_that_would_fill_the_memory_is_skipped(monkeypatch):
    monkeypatch.setattr(prdc, "_run", lambda tool, n, d: {"tool": tool})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    _, theirs = prdc.rows(sizes=((50_000, 64),))
    assert theirs["skipped"] == "prdc would need about 33 GiB"


def test_a_child_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(prdc, "CHILD", "raise SystemExit('no such thing')")
    row = next(prdc.rows(sizes=((4, 2),)))
    assert row["failed"] == ["no such thing"]
