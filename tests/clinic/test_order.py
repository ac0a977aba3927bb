"""The order of judgement, on "the discriminator's loss goes to 0 and the generator's rises"."""

import numpy as np
import pytest
from clinic_scenarios import PLANTED, READINGS, SURE, from_onset, planted, run

from equipoise.clinic import RULES, diagnose
from equipoise.clinic.order import FOLLOWS, PROBED, STEP_BELOW, STEPS, VETOED_BY, settled
from equipoise.record import Evidence, Finding

T = np.arange(READINGS)
FEARED = SURE | {
    "loss/discriminator": from_onset(1.0, 0.004),
    "loss/generator": np.where(T < PLANTED, 1.0, 1.0 + 0.1 * (T - PLANTED)),
}
AUDIT = {"since": 3, "until": 5, "iterations": 3, "updates": {}, "over": True, "unseen": []}
BYTES = {
    "lowest": 0.0,
    "highest": 255.0,
    "mean": 120.0,
    "std": 60.0,
    "beyond_1": 0.99,
    "below_0": 0,
}
TANH = {"lowest": -0.9, "highest": 0.9, "mean": 0.0, "std": 0.3, "beyond_1": 0.0, "below_0": 0.5}
MIXED = {
    "layers": 2,
    "fed": {"discriminator": {"real and fake": ""}, "generator": {"fake": ""}},
}
PULL = {"pull/norm": from_onset(1.0, 0.001)}
KNOWN = {"overfitting/auc": from_onset(0.5, 0.95)}
NOT_KNOWN = {"overfitting/auc": np.full(READINGS, 0.52)}
BETTER = {"metric/fid": np.linspace(100, 10, READINGS)}


def audited(**facts):
    return {"audit": AUDIT} | {f"audit/{name}": told for name, told in facts.items()}


BRANCHES = {  # hypothesis: (what else the run shows, what is found, in order)
    "the generator never steps": (
        run(FEARED | {"updates/generator": np.full(READINGS, 10.0)}),
        ["stalled_player"],
    ),
    "the range differs": (
        run(FEARED, facts=audited(range={"activation": "tanh", "real": BYTES, "fake": TANH})),
        ["data_range_mismatch"],
    ),
    "batches give themselves away": (
        run(FEARED | PULL, facts=audited(batch_norm=MIXED)),
        ["batch_norm_leak"],
    ),
    "the generator is dead": (
        run(FEARED | planted("gradient_norm/generator", np.nan, until=READINGS)),
        ["non_finite"],
    ),
    "the discriminator is too strong": (
        run(FEARED | PULL | NOT_KNOWN),
        ["discriminator_dominance", "vanishing_gradient"],
    ),
    "the discriminator knows its data": (
        run(FEARED | KNOWN),
        ["discriminator_overfitting", "discriminator_dominance"],
    ),
    "a large model in good health": (run(FEARED | PULL | BETTER | NOT_KNOWN), []),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_loss_that_goes_to_0_is_told_by_its_cause(name):
    trace, expected = BRANCHES[name]
    diagnosis = diagnose(trace)
    assert [f.failure for f in diagnosis.findings] == expected
    assert diagnosis.verdict == ("sick" if expected else "healthy")


def test_the_healthy_branch_says_why_it_is_none():
    notes = [n.note for n in diagnose(BRANCHES["a large model in good health"][0]).notes]
    assert notes == ["small_discriminator_loss"]


def test_losses_alone_leave_the_question_open_and_say_what_would_settle_it():
    only = run(FEARED, drop=[n for n in run().signals if not n.startswith("loss/")])
    bare = type(only)(
        only.header, {}, {n: s for n, s in only.signals.items() if n.startswith("loss/")}
    )
    diagnosis = diagnose(bare)
    assert (diagnosis.verdict, diagnosis.findings) == ("inconclusive", ())
    assert {"auc/discriminator", "diversity/pairwise"} <= set(diagnosis.missing)


def test_every_rule_stands_in_one_step():
    names = [name for _, step in STEPS for name in step]
    assert sorted(names) == sorted(RULES)


def test_vetoes_and_causes_name_rules_and_no_rule_explains_itself():
    for table in (VETOED_BY, FOLLOWS):
        for failure, others in table.items():
            assert {failure, *others} <= set(RULES)
            assert failure not in others
    causes = {(f, c) for f, others in FOLLOWS.items() for c in others}
    assert not {(c, f) for f, c in causes} & causes
    assert set(PROBED) <= set(RULES)


def finding(failure, confidence, since=100, signal="x"):
    return Finding(failure, confidence, since, "", (Evidence(signal, 1.0, "", (since, 900)),))


@pytest.mark.parametrize(("failure", "cause"), [(f, c) for f, cs in VETOED_BY.items() for c in cs])
def test_a_sure_veto_removes_and_a_weak_one_does_not(failure, cause):
    told = settled([finding(failure, 0.9), finding(cause, 0.8)])
    assert [f.failure for f in told] == [cause]
    told = settled([finding(failure, 0.9), finding(cause, 0.4)])
    assert {f.failure for f in told} == {failure, cause}


@pytest.mark.parametrize(("failure", "cause"), [(f, c) for f, cs in FOLLOWS.items() for c in cs])
def test_a_consequence_stands_below_its_cause(failure, cause):
    told = settled([finding(failure, 0.95), finding(cause, 0.8)])
    assert [f.failure for f in told] == [cause, failure]
    assert told[1].confidence == pytest.approx(0.8 - STEP_BELOW)
    assert settled([finding(failure, 0.95), finding(cause, 0.4)])[0].confidence == 0.95


def test_what_rests_on_a_broken_metric_alone_is_void():
    jump = finding("mode_collapse", 0.85, 400, "metric/fid")
    later, before = (finding("broken_metric", 0.9, s, "metric/fid") for s in (500, 300))
    assert [f.failure for f in settled([jump, later])] == ["broken_metric"]
    assert len(settled([jump, before])) == 2
    other = finding("mode_collapse", 0.85, 400, "diversity/pairwise")
    assert len(settled([other, later])) == 2
