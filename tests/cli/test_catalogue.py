"""`list` and `explain`: every part can be found by its name."""

import pytest

from equipoise.cli.catalogue import LISTS
from equipoise.clinic import FAILURES, REMEDIES, RULES
from equipoise.clinic.advice import ADVICE
from equipoise.clinic.preflight import CHECKS
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


@pytest.mark.parametrize("name", [*FAILURES, *REMEDIES, *ADVICE, *CHECKS, *SIGNALS])
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


def test_no_two_things_that_are_explained_share_a_name():
    names = [*FAILURES, *REMEDIES, *ADVICE, *CHECKS]
    assert len(names) == len(set(names))
    assert not {*REMEDIES, *ADVICE, *CHECKS} & set(SIGNALS)


def test_a_failure_names_the_advice_that_is_not_prescribed(equipoise_says):
    said = " ".join(equipoise_says("explain", "mode_collapse").out.split())
    told = [a for a in ADVICE.values() if "mode_collapse" in a.failures]
    assert told
    assert all(f"Not prescribed ({a.id}): {a.said}" in said for a in told)


def test_contradicted_advice_says_why_and_what_instead(equipoise_says):
    said = " ".join(equipoise_says("explain", "two-sided-smoothing").out.split())
    assert "numerator" in said
    assert "Instead: label-smoothing, gradient-penalty." in said
    assert "arXiv 1606.03498" in said


def test_a_check_says_when_it_speaks_and_what_it_finds(equipoise_says):
    said = " ".join(equipoise_says("explain", "batch_size").out.split())
    assert "finds gradient_noise" in said
    assert "Speaks at: under 4." in said
    assert "Way out: raise the batch" in said
    early = equipoise_says("explain", "gradient_noise").out
    assert "Checked before the first step: batch_size" in early


def test_an_unknown_name_lists_where_to_look(equipoise_says):
    said = equipoise_says("explain", "two-sided-smothing")
    assert said.code == 2
    assert "did you mean 'two-sided-smoothing'" in " ".join(said.err.split())
