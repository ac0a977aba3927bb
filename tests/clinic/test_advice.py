"""Contradicted advice: complete, sourced, and never among what is prescribed."""

import pytest

from equipoise.clinic import FAILURES, REMEDIES
from equipoise.clinic.advice import ADVICE, contradicted


@pytest.mark.parametrize("advice", ADVICE.values(), ids=lambda a: a.id)
def test_it_says_what_is_said_of_what_and_why_not(advice):
    assert advice.said.endswith(".")
    assert advice.why_not.endswith(".")
    assert advice.failures
    assert set(advice.failures) <= set(FAILURES)
    assert any(source.startswith("claim") for source in advice.sources)
    assert ADVICE[advice.id] is advice


@pytest.mark.parametrize("advice", ADVICE.values(), ids=lambda a: a.id)
def test_what_to_do_instead_is_a_remedy_and_the_advice_is_none(advice):
    assert set(advice.instead) <= set(REMEDIES)
    assert advice.id not in REMEDIES


def test_each_failure_finds_its_own():
    for failure in FAILURES:
        assert {a.id for a in contradicted(failure)} == {
            a.id for a in ADVICE.values() if failure in a.failures
        }
    assert {a.id for a in contradicted("oscillation")} >= {"momentum-of-0.9"}


# What evidence contradicts, by the numbers of the claims: none of it may be prescribed.
CONTRADICTED = (2, 10, 16, 20, 22, 23, 25, 37, 39, 41, 43, 47, 56, 64, 69, 96, 97, 102, 103)


@pytest.mark.parametrize("claim", CONTRADICTED)
def test_every_contradicted_claim_about_treatment_is_kept(claim):
    cited = {
        int(number)
        for advice in ADVICE.values()
        for source in advice.sources
        if source.startswith("claim")
        for number in source.removeprefix("claims ").removeprefix("claim ").split(", ")
    }
    assert claim in cited
