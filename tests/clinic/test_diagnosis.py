"""Verdicts, notes, what is missing, and that judging never fails."""

import json

import hypothesis.strategies as st
import numpy as np
import pytest
from clinic_scenarios import (
    PLANTED,
    READINGS,
    SURE,
    UNDIVERSE,
    beside,
    falling,
    planted,
    run,
    waving,
)
from hypothesis import example, given, settings

from equipoise.clinic import FAILURES, diagnose
from equipoise.record import SIGNALS, Diagnosis, Series, Trace

LOSSES = {"loss/discriminator", "loss/generator"}


def only(names, changes=None, **kinds):
    return run(changes, drop=[n for n in run().signals if n not in names], **kinds)


def test_a_balanced_run_is_healthy():
    diagnosis = diagnose(run())
    assert diagnosis.verdict == "healthy"
    assert diagnosis.findings == ()
    assert diagnosis.steps == (10, 1000)
    assert diagnosis.signals["updates/generator"] == 1000


def test_before_any_player_has_learned_only_exact_rules_speak():
    t = np.arange(READINGS)
    few = {f"updates/{p}": t + 1.0 for p in ("generator", "discriminator")}
    assert diagnose(run(SURE | UNDIVERSE | few)).verdict == "sick"  # 100 updates at the end
    young = {f"updates/{p}": 0.5 * (t + 1) for p in ("generator", "discriminator")}
    assert diagnose(run(SURE | UNDIVERSE | young)).findings == ()
    dead = young | planted("loss/generator", np.nan)
    assert [f.failure for f in diagnose(run(SURE | dead)).findings] == ["non_finite"]


@pytest.mark.parametrize("loss", [1e-6, 0.02, 1.386, 40.0])
def test_losses_alone_never_decide(loss):
    diagnosis = diagnose(only(LOSSES, {"loss/discriminator": np.full(READINGS, loss)}))
    assert diagnosis.verdict == "inconclusive"
    assert diagnosis.findings == ()


def test_missing_says_what_to_log_and_why():
    missing = diagnose(only(LOSSES)).missing
    telling = {"auc/discriminator", "diversity/pairwise", "update_ratio/<player>"}
    assert telling <= set(missing)
    assert missing["diversity/pairwise"] == SIGNALS["diversity/pairwise"].would_show
    assert "auc/discriminator" not in diagnose(run()).missing
    assert "update_ratio/<player>" not in diagnose(run()).missing


def test_nothing_at_all_is_inconclusive():
    diagnosis = diagnose(Trace())
    assert (diagnosis.verdict, diagnosis.findings, diagnosis.steps) == ("inconclusive", (), (0, 0))


def test_four_readings_are_too_few_to_call_it_healthy():
    assert diagnose(run(count=4)).verdict == "inconclusive"
    counts = ["updates/generator", "updates/discriminator"]
    assert diagnose(run(count=5, drop=counts)).verdict == "healthy"
    assert diagnose(run(count=5)).verdict == "inconclusive", "after 50 updates no rule was asked"


def test_a_lead_that_teaches_is_a_note_and_no_finding():
    better = {"metric/frechet_digits_cnn": np.linspace(100, 10, READINGS)}
    diagnosis = diagnose(run(SURE | better))
    assert diagnosis.verdict == "healthy"
    assert [n.note for n in diagnosis.notes] == ["small_discriminator_loss"]
    assert "frechet_digits_cnn" in diagnosis.notes[0].reason


def test_a_metric_that_gets_worse_is_no_improvement():
    worse = {"metric/frechet_digits_cnn": np.linspace(10, 100, READINGS)}
    diagnosis = diagnose(run(SURE | worse))
    first, second = diagnosis.findings
    assert (first.failure, second.failure) == ("discriminator_dominance", "mode_collapse")
    assert first.confidence > second.confidence
    assert diagnosis.notes == ()


def test_equilibrium_with_good_samples_is_healthy_and_noted():
    level = {
        "auc/discriminator": np.full(READINGS, 0.5),
        "loss/discriminator": np.full(READINGS, 1.38),
    }
    diagnosis = diagnose(run(level))
    assert diagnosis.verdict == "healthy"
    assert [n.note for n in diagnosis.notes] == ["loss_at_chance"]


def test_common_drift_under_a_relativistic_objective_is_noted():
    drift = np.linspace(0, 50, READINGS)
    columns = {"logits/real/mean": drift + 1, "logits/fake/mean": drift - 1}
    said = [n.note for n in diagnose(run(columns, header={"objective": "relativistic"})).notes]
    assert said == ["common_logit_drift"]
    assert diagnose(run(columns, header={"objective": "hinge"})).notes == ()
    told = {"objective": {"name": "relativistic", "how": "inferred", "scale": 1.0}}
    notes = diagnose(run(columns, header={"objective": None}, facts=told)).notes
    assert [n.note for n in notes] == ["common_logit_drift"]


def test_findings_stand_in_order_of_confidence():
    findings = diagnose(run(SURE | UNDIVERSE)).findings
    assert [f.confidence for f in findings] == sorted(
        (f.confidence for f in findings), reverse=True
    )


@pytest.mark.parametrize(
    "trace",
    [run(), run(SURE | UNDIVERSE), run(planted("loss/generator", float("nan"))), Trace()],
    ids=["well", "sick", "not-finite", "empty"],
)
def test_a_diagnosis_is_json_and_comes_back(trace):
    diagnosis = diagnose(trace)
    text = json.dumps(diagnosis.to_dict(), allow_nan=False)
    plain = json.loads(text)
    assert set(plain) >= {"verdict", "findings", "notes", "signals", "missing"}
    for finding in plain["findings"]:
        keys = {"failure", "confidence", "since", "summary", "evidence", "remedies"}
        assert set(finding) == keys
        assert finding["failure"] in FAILURES
        assert finding["remedies"]
    assert json.dumps(Diagnosis.from_dict(plain).to_dict(), allow_nan=False) == text


NAMES = sorted(
    {n.replace("<player>", p) for n in SIGNALS for p in ("generator", "discriminator")}
    | {"metric/unknown", "something/else", "updates/ema", "metric/coverage_other"}
)
VALUES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1.0, 0.5, 1e-13, float("nan"), float("inf"), -float("inf")]),
)


@st.composite
def series(draw):
    steps = sorted(draw(st.sets(st.integers(0, 10_000), max_size=14)))
    constant = draw(VALUES) if draw(st.booleans()) else None
    values = [draw(VALUES) if constant is None else constant for _ in steps]
    return Series(np.array(steps, np.int64), np.array(values, np.float64))


@st.composite
def traces(draw):
    signals = draw(st.dictionaries(st.sampled_from(NAMES), series(), max_size=8))
    objective = draw(st.sampled_from([None, "hinge", "relativistic", "other"]))
    start = draw(st.sampled_from([None, 0, 500]))
    recipe = draw(st.sampled_from([None, {}, {"name": "x"}, "a name", {"unknown": 1}]))
    header = {"objective": objective, "adversarial_start": start, "recipe": recipe}
    clock = draw(series())
    return Trace(header, {}, signals, kimg=clock, seconds=clock)


@settings(max_examples=300)
@given(traces())
@example(Trace({}, {"objective": "said as text"}))
@example(run(count=1))
@example(run(planted("loss/discriminator", 1e308, until=READINGS)))
def test_judging_never_fails_and_always_serializes(trace):
    diagnosis = diagnose(trace)
    assert diagnosis.verdict in ("healthy", "sick", "inconclusive")
    json.dumps(diagnosis.to_dict(), allow_nan=False)
    assert (diagnosis.verdict == "sick") == any(f.confidence >= 0.5 for f in diagnosis.findings)


def test_the_adversarial_share_is_missed_beside_another_loss_alone():
    assert "adversarial_share" not in diagnose(run()).missing
    other = {"loss/reconstruction": np.full(READINGS, 0.2)}
    assert "monitor.terms" in diagnose(run(other)).missing["adversarial_share"]
    assert "adversarial_share" not in diagnose(beside()).missing


def test_a_dip_at_the_adversarial_start_that_recovers_is_noted():
    after = np.maximum(np.arange(READINGS) - PLANTED, 0)
    acts = np.arange(READINGS) >= PLANTED
    dips = falling() + np.where(acts, 0.3 * np.exp(-after / 10), 0.0)
    diagnosis = diagnose(beside({"loss/reconstruction": dips}))
    assert diagnosis.verdict == "healthy"
    assert [n.note for n in diagnosis.notes] == ["reconstruction_dip_at_start"]
    broken = beside({"loss/reconstruction": np.where(acts, 0.6, falling())})
    assert diagnose(broken).notes == ()
    assert diagnose(beside()).notes == ()


def test_a_large_adaptive_weight_is_noted_where_the_share_is_right():
    acts = np.arange(READINGS) >= PLANTED
    summed = {"adaptive_weight": waving(6000.0) * acts}
    assert [n.note for n in diagnose(beside(summed)).notes] == ["large_adaptive_weight"]
    clamped = summed | {"adaptive_weight/at_largest": 0.3 * acts}
    drowns = summed | {"adversarial_share": waving(40.0) * acts}
    for columns in (clamped, drowns):
        diagnosis = diagnose(beside(columns))
        assert diagnosis.notes == ()
        assert [f.failure for f in diagnosis.findings] == ["adaptive_weight_explosion"]


@pytest.mark.parametrize(("start", "judged"), [(0, True), (700, True), (710, False), (2000, False)])
def test_before_the_adversarial_start_there_is_no_game_to_judge(start, judged):
    """The late part of this run begins at step 703."""
    trace = run(SURE | UNDIVERSE, header={"adversarial_start": start})
    found = {finding.failure for finding in diagnose(trace).findings}
    assert ("discriminator_dominance" in found) == judged
    late = planted("loss/generator", float("nan"))
    assert diagnose(run(late, header={"adversarial_start": start})).verdict == "sick"
