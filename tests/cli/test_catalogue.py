"""`list` and `explain`: every part can be found by its name."""

import pytest

from equipoise.cli.catalogue import LISTS
from equipoise.clinic import FAILURES, REMEDIES, RULES
from equipoise.record import SIGNALS


@pytest.mark.parametrize("family", LISTS)
def test_each_family_lists_every_entry_with_its_meaning(equipoise_says, family):
    said = equipoise_says("list", family)
    entries = LISTS[family]()
    assert (said.code, said.err) == (0, "")
    assert entries
    for name, meaning in entries.items():
        assert name in said.out
        assert len(meaning.split()) >= 2, f"{family} {name} has no docstring"


def test_a_failure_without_a_rule_says_so(equipoise_says):
    lines = " ".join(equipoise_says("list", "failures").out.split())
    unruled = [name for name in FAILURES if name not in RULES]
    assert lines.count("(named; no rule yet)") == len(unruled)


@pytest.mark.parametrize("name", [*FAILURES, *REMEDIES, *SIGNALS])
def test_everything_named_is_explained(equipoise_says, name):
    said = equipoise_says("explain", name)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(name)
    assert len(said.out.splitlines()) >= 3


def test_a_players_signal_is_explained_under_its_own_name(equipoise_says):
    said = equipoise_says("explain", "loss/generator")
    assert said.out.startswith("loss/generator: ")
    assert "Unit: nats or objective's own." in said.out


def test_a_failure_names_its_remedies_by_rank(equipoise_says):
    said = equipoise_says("explain", "mode_collapse")
    treating = [r for r in REMEDIES.values() if "mode_collapse" in r.treats]
    assert all(f"{r.treats['mode_collapse']}. {r.title}" in said.out for r in treating)
