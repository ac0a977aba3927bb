# ruff: noqa: E501 - one case, one line
"""One table for all rules: sick, well, too short, and what each is confused with."""

import copy
import json

import numpy as np
import pytest
import rule_rows_levels as levels
import rule_rows_probed as probed
from clinic_scenarios import (
    BLIND,
    ONSET,
    PLANTED,
    READINGS,
    STEPS,
    SURE,
    UNDIVERSE,
    beside,
    cosine,
    falling,
    from_onset,
    planted,
    rising_until,
    run,
    waving,
    well_columns,
)

from equipoise.clinic import RULES, diagnose
from equipoise.clinic.rules import EXACT
from equipoise.record import Series, Trace

NAN = float("nan")
INF = float("inf")
STILL = np.zeros(READINGS)
AFTER = STEPS >= ONSET
BROKEN = {"loss/reconstruction": np.where(AFTER, 2.6 * falling(), falling())}
DIPS = falling() + np.where(AFTER, 0.3 * np.exp(-(np.arange(READINGS) - PLANTED) / 10), 0.0)
SUMMED = {"adaptive_weight": waving(6000.0) * AFTER}
IMPROVING = {"metric/frechet_digits_cnn": np.linspace(100, 10, READINGS)}

SICK = [
    ("discriminator_dominance", "sure-and-undiverse", run(SURE | UNDIVERSE)),
    ("discriminator_dominance", "sure-with-a-wide-gap", run(SURE)),
    ("discriminator_dominance", "accuracy-alone", run(SURE, drop=["auc/discriminator"])),
    ("discriminator_dominance", "from-the-start", run({k: np.full(READINGS, v[-1]) for k, v in SURE.items()})),
    ("generator_dominance", "blind-and-undiverse", run(BLIND | UNDIVERSE)),
    ("generator_dominance", "blind-and-far-from-the-data", run(BLIND | {"metric/coverage_pixels": from_onset(0.6, 0.1)})),
    ("mode_collapse", "undiverse-batches", run(UNDIVERSE)),
    ("mode_collapse", "undiverse-and-low-recall", run({"diversity/pairwise": UNDIVERSE["diversity/pairwise"], "metric/recall_pixels": from_onset(0.9, 0.05)})),
    ("mode_collapse", "lost-modes-of-a-known-mixture", run({"metric/mode_coverage": from_onset(1.0, 0.5)})),
    ("mode_collapse", "precise-but-narrow", run({"metric/precision_pixels": np.full(READINGS, 0.96), "metric/recall_pixels": from_onset(0.9, 0.19)})),
    ("mode_collapse", "a-distance-that-doubles-while-losses-stay", run({"metric/fid": from_onset(20.0, 90.0)})),
    ("mode_collapse", "a-distance-that-doubles-and-wavers", run({"metric/fid": np.where(np.arange(READINGS) % 3 == 0, from_onset(20.0, 36.0), from_onset(20.0, 60.0))[np.r_[0:PLANTED, PLANTED + 1:READINGS, PLANTED]]})),
    ("divergence", "a-distance-that-gets-worse", run({"metric/fid": from_onset(20.0, 30.0)})),
    ("divergence", "beside-a-reconstruction-that-is-lost", beside(BROKEN | {"metric/frechet_patches": from_onset(0.1, 0.15)})),
    ("divergence", "logits-that-grow-without-bound", run({"logits/extreme": np.where(np.arange(READINGS) < PLANTED, 5.0, 20.0 * 1.15 ** (np.arange(READINGS) - PLANTED + 1))})),
    ("divergence", "samples-beyond-the-data", run({"batch/fake/extreme": np.where(np.arange(READINGS) < PLANTED, 1.0, 3.1 * 1.2 ** (np.arange(READINGS) - PLANTED)), "batch/real/extreme": np.ones(READINGS)})),
    ("stagnation", "flat-and-far", run({"metric/fid": np.where(np.arange(READINGS) < PLANTED, np.linspace(300, 200, READINGS), 160.0)})),
    ("stagnation", "from-the-start", run({"metric/frechet_digits_cnn": np.full(READINGS, 90.0) + np.sin(np.arange(READINGS))})),
    ("vanishing_gradient", "the-pull-is-gone", run({"pull/norm": from_onset(1.0, 0.002), "auc/discriminator": np.full(READINGS, 0.98)})),
    ("vanishing_gradient", "the-norm-is-gone", run({"gradient_norm/generator": from_onset(1.0, 0.003), "auc/discriminator": np.full(READINGS, 0.95)})),
    ("exploding_gradient", "jumps-again-and-again", run({"gradient_norm/discriminator": np.where((np.arange(READINGS) >= PLANTED) & (np.arange(READINGS) % 5 == 0), 50.0, 1.0)})),
    ("runaway_logits", "hinge", run({"logits/extreme": np.where(np.arange(READINGS) < PLANTED, 3.0, 12.0 * 1.02 ** (np.arange(READINGS) - PLANTED))}, header={"objective": "hinge"})),
    ("saturated_output", "fakes-at-the-ends", run({"saturation/fake": from_onset(0.05, 0.9), "saturation/real": np.full(READINGS, 0.05)})),
    ("broken_metric", "negative", run({"metric/fid": np.where(np.arange(READINGS) == PLANTED, -3.0, 20.0)})),
    ("broken_metric", "beyond-anything", run({"metric/fid": from_onset(20.0, 1e57)})),
    ("broken_metric", "a-share-above-one", run({"metric/recall_pixels": from_onset(0.5, 1.7)})),
    ("adversarial_cliff", "told", beside(BROKEN)),
    ("adversarial_cliff", "seen-in-the-weight", beside(BROKEN, told=False)),
    ("adversarial_cliff", "of-a-log", run({"loss/mel": BROKEN["loss/reconstruction"]}, header={"adversarial_start": ONSET})),
    ("adversarial_cliff", "rises-on", beside({"loss/reconstruction": np.where(AFTER, 0.4 + np.arange(READINGS) / 100, falling())})),
    ("adversarial_cliff", "all-that-was-learned-is-lost", beside({"loss/reconstruction": np.where(AFTER, 20 * np.exp(-(np.arange(READINGS) - PLANTED) / 15) + 0.25, falling())})),
    ("adaptive_weight_explosion", "drowns-the-reconstruction", beside({"adversarial_share": waving(40.0) * AFTER})),
    ("adaptive_weight_explosion", "at-its-clamp-now-and-then", beside({"adaptive_weight/at_largest": from_onset(0.0, 0.3)})),
    ("adaptive_weight_explosion", "at-its-clamp-for-good", beside({"adaptive_weight": np.where(AFTER, 8000.0, 0.0), "adaptive_weight/at_largest": from_onset(0.0, 1.0)})),
    ("adaptive_weight_explosion", "at-its-clamp-in-a-log", run({"loss/reconstruction": falling(), "adaptive_weight": np.where(AFTER & (np.arange(READINGS) % 3 == PLANTED % 3), 8000.0, waving(3000.0))})),
    ("adaptive_weight_explosion", "epsilon-decides", beside({"adaptive_weight/epsilon_share": from_onset(0.01, 0.7)})),
    ("adaptive_weight_explosion", "grows-without-end", beside({"adaptive_weight": waving(0.3) * np.where(AFTER, 1e4, 1.0)}, start=0)),
    ("adversarial_term_off", "too-weak", beside({"adversarial_share": waving(2e-4) * AFTER})),
    ("adversarial_term_off", "weight-of-0", beside({"adversarial_share": STILL, "adaptive_weight": STILL})),
    ("adversarial_term_off", "does-not-reach", beside({"adversarial_share": STILL, "term_gradient/adversarial": STILL})),
    ("adversarial_term_off", "from-the-start", beside({"adversarial_share": waving(2e-4)}, start=0)),
    ("adversarial_term_off", "goes-out", beside({"adversarial_share": np.where(AFTER, 0.0, 0.5)}, start=0)),
    *levels.SICK,
    ("non_finite", "loss", run(planted("loss/discriminator", NAN, until=READINGS))),
    ("non_finite", "single-nan", run(planted("logits/fake/mean", NAN))),
    ("non_finite", "infinite-gradient", run(planted("gradient_norm/generator", INF, until=READINGS))),
    ("non_finite", "flag", run({"nonfinite/generator": from_onset(0.0, 1.0)})),
    ("stalled_player", "generator-never-stepped-again", run({"updates/generator": rising_until(PLANTED)})),
    ("stalled_player", "beside-a-scaler-that-skips-nothing", run({"updates/generator": rising_until(PLANTED), "loss_scale/all": np.full(READINGS, 65536.0)})),
    ("stalled_player", "discriminator-frozen", run({"update_ratio/discriminator": from_onset(1e-3, 0.0)})),
    ("stalled_player", "dead-learning-rate", run({"learning_rate/generator": from_onset(2e-4, 0.0)})),
    ("stalled_player", "after-the-adversarial-start", run({"update_ratio/discriminator": STILL}, header={"adversarial_start": ONSET})),
    ("stalled_player", "role-of-a-named-player", run({"update_ratio/image": STILL}, header={"adversarial_start": ONSET, "roles": {"image": "discriminator"}})),
]  # fmt: skip

WELL = [
    *[(rule, "balanced", run()) for rule in RULES],
    *levels.WELL,
    ("discriminator_dominance", "ahead-but-quality-improves", run(SURE | IMPROVING)),
    ("discriminator_dominance", "sure-for-a-while", run({k: np.where(np.arange(READINGS) < 60, v, well_columns()[k]) for k, v in SURE.items()})),
    ("discriminator_dominance", "sure-only-at-the-end", run({k: from_onset(v[0], v[-1], at=85) for k, v in SURE.items()})),
    ("discriminator_dominance", "small-loss-alone", run({"loss/discriminator": np.full(READINGS, 0.02)})),
    ("generator_dominance", "equilibrium", run({"auc/discriminator": np.full(READINGS, 0.5), "loss/discriminator": np.full(READINGS, 1.386)})),
    ("generator_dominance", "blind-because-it-stands-still", run(BLIND | UNDIVERSE | {"update_ratio/discriminator": STILL})),
    ("mode_collapse", "early-undiverse-that-recovers", run({k: v[::-1] for k, v in UNDIVERSE.items()})),
    ("mode_collapse", "one-weak-sign", run({"diversity/pairwise": UNDIVERSE["diversity/pairwise"]})),
    ("mode_collapse", "all-modes-in-the-end", run({"metric/mode_coverage": from_onset(0.3, 1.0)})),
    ("mode_collapse", "three-bad-evaluations-at-the-end", run({"metric/mode_coverage": from_onset(1.0, 0.5, at=97)})),
    ("mode_collapse", "a-mode-that-comes-back", run({"metric/mode_coverage": np.where(np.arange(READINGS) % 3 == 0, 0.9, 1.0)})),
    ("mode_collapse", "modes-still-being-found", run({"metric/mode_coverage": np.linspace(0.1, 0.9, READINGS)})),
    ("mode_collapse", "low-recall-alone", run({"metric/recall_pixels": from_onset(0.9, 0.1)})),
    ("mode_collapse", "low-recall-and-low-precision", run({"metric/recall_pixels": from_onset(0.9, 0.1), "metric/precision_pixels": np.full(READINGS, 0.3)})),
    ("mode_collapse", "beside-a-reconstruction-that-holds", beside({"metric/frechet_patches": from_onset(0.1, 0.3)})),
    ("divergence", "beside-a-reconstruction-that-holds", beside({"metric/frechet_patches": from_onset(0.1, 0.15)})),
    ("mode_collapse", "a-bad-evaluation-in-between", run({"metric/fid": np.where(np.arange(READINGS) == 70, 90.0, 20.0)})),
    ("mode_collapse", "bad-evaluations-at-the-very-end-alone", run({"metric/fid": from_onset(20.0, 90.0, at=READINGS - 1)})),
    ("divergence", "a-critic-whose-scale-is-free", run({"logits/extreme": 30 * 1.1 ** np.arange(READINGS)}, header={"objective": "wasserstein"})),
    ("divergence", "large-and-level", run({"logits/extreme": np.full(READINGS, 80.0)})),
    ("divergence", "a-slow-rise-within-the-noise-of-healthy-runs", run({"metric/fid": np.linspace(50, 58, READINGS)})),
    ("stagnation", "flat-at-its-floor", run({"metric/fid": np.where(np.arange(READINGS) < 50, np.linspace(300, 20, READINGS), 9.0)})),
    ("stagnation", "a-reconstruction-that-still-learns", beside({"metric/frechet_patches": np.full(READINGS, 0.4), "metric/reconstruction_l1": np.linspace(0.4, 0.1, READINGS)})),
    ("stagnation", "far-and-falling", run({"metric/fid": np.linspace(300, 120, READINGS)})),
    ("vanishing_gradient", "converged", run({"pull/norm": from_onset(1.0, 0.002), "auc/discriminator": np.full(READINGS, 0.55)})),
    ("vanishing_gradient", "sure-but-pulling", run({"pull/norm": np.full(READINGS, 1.0), "auc/discriminator": np.full(READINGS, 0.999)})),
    ("vanishing_gradient", "sure-and-improving", run({"pull/norm": from_onset(1.0, 0.002), "auc/discriminator": np.full(READINGS, 0.98)} | IMPROVING)),
    ("exploding_gradient", "one-spike-that-heals", run({"gradient_norm/discriminator": np.where(np.arange(READINGS) == 80, 500.0, 1.0)})),
    ("exploding_gradient", "spikes-long-ago", run({"gradient_norm/discriminator": np.where((np.arange(READINGS) < 60) & (np.arange(READINGS) % 5 == 0), 50.0, 1.0)})),
    ("runaway_logits", "large-and-level", run({"logits/extreme": np.full(READINGS, 15.0)}, header={"objective": "hinge"})),
    ("runaway_logits", "drift-of-both-under-a-relativistic-loss", run({"logits/extreme": 12.0 * 1.02 ** np.arange(READINGS)}, header={"objective": "relativistic"})),
    ("saturated_output", "black-and-white-data", run({"saturation/fake": np.full(READINGS, 0.9), "saturation/real": np.full(READINGS, 0.85)})),
    ("saturated_output", "early-saturation-that-passes", run({"saturation/fake": from_onset(0.9, 0.1), "saturation/real": np.full(READINGS, 0.05)})),
    ("broken_metric", "a-real-collapse", run({"metric/fid": from_onset(20.0, 400.0)})),
    ("broken_metric", "a-kernel-distance-about-zero", run({"metric/kid": from_onset(0.01, -1e-3)})),
    *[(rule, "beside-a-reconstruction", beside()) for rule in RULES],
    *[(rule, "before-the-start", beside({"adversarial_share": STILL, "adaptive_weight": STILL}, start=int(STEPS[-1]) + 1)) for rule in RULES],
    ("adversarial_cliff", "a-dip-that-recovers", beside({"loss/reconstruction": DIPS})),
    ("adversarial_cliff", "a-spike-that-heals-at-once", beside({"loss/reconstruction": np.where(AFTER & (STEPS < ONSET + 50), 5.0, falling())})),
    ("adversarial_cliff", "the-price-of-sharper-samples", beside({"loss/reconstruction": np.where(AFTER, 1.25 * falling(), falling())})),
    ("adversarial_cliff", "breaks-long-after-the-start", beside({"loss/reconstruction": np.where(np.arange(READINGS) >= 80, 0.6, falling())}, start=60)),
    ("adversarial_cliff", "no-start", run(BROKEN)),
    ("adversarial_cliff", "no-other-loss", run({"loss/generator": BROKEN["loss/reconstruction"]}, header={"adversarial_start": ONSET})),
    ("adaptive_weight_explosion", "large-under-a-sum", beside(SUMMED)),
    ("adaptive_weight_explosion", "another-term-holds-the-generator", beside({"adversarial_share": waving(40.0) * AFTER, "term_gradient/perceptual": waving(2.0)})),
    ("adaptive_weight_explosion", "fixed", beside({"adaptive_weight": np.where(AFTER, 0.1, 0.0), "adaptive_weight/at_largest": from_onset(0.0, 1.0), "adaptive_weight/epsilon_share": np.full(READINGS, 0.5)})),
    ("adaptive_weight_explosion", "fixed-in-a-log", run({"loss/reconstruction": falling(), "adaptive_weight": np.full(READINGS, 0.75)})),
    ("adaptive_weight_explosion", "large-in-a-log", run({"loss/reconstruction": falling(), "adaptive_weight": waving(6000.0)})),
    ("adaptive_weight_explosion", "one-reading-that-drowns", beside({"adversarial_share": np.where(np.arange(READINGS) == 70, 500.0, 0.5)})),
    ("adaptive_weight_explosion", "a-plain-gan", run({"adaptive_weight": waving(1.0) * np.where(AFTER, 1e4, 1.0)})),
    ("adversarial_term_off", "small-and-acting", beside({"adversarial_share": waving(0.03) * AFTER})),
    ("adversarial_term_off", "off-for-a-while", beside({"adversarial_share": np.where((np.arange(READINGS) > 50) & (np.arange(READINGS) < 70), 0.0, 0.5)})),
    ("adversarial_term_off", "not-measured", run(BROKEN, header={"adversarial_start": ONSET})),
    ("non_finite", "metric-that-failed", run({"metric/fid": from_onset(20.0, NAN)})),
    ("non_finite", "huge-but-finite", run(planted("loss/discriminator", 1e30, until=READINGS))),
    ("stalled_player", "cosine-that-ends-at-0", run({"learning_rate/generator": cosine(), "learning_rate/discriminator": cosine()})),
    ("stalled_player", "still-before-the-adversarial-start", run({"updates/discriminator": STILL, "update_ratio/discriminator": STILL}, header={"adversarial_start": int(STEPS[-1]) + 1})),
    ("stalled_player", "waits-for-the-adversarial-start", run({"updates/discriminator": np.maximum(np.arange(READINGS) - PLANTED, 0) * 10.0, "update_ratio/discriminator": from_onset(0.0, 1e-3)}, header={"adversarial_start": ONSET})),
    ("stalled_player", "updates-that-a-scaler-skips", run({"updates/generator": rising_until(PLANTED), "loss_scale/all": 2.0 ** np.minimum(16, 16 + PLANTED - np.arange(READINGS))})),
    ("stalled_player", "slow-cadence", run({"updates/generator": np.arange(READINGS) // 5})),
    ("stalled_player", "average", run({"updates/ema": STILL, "update_ratio/ema": STILL})),
    ("stalled_player", "both-stopped", run({"updates/generator": rising_until(PLANTED), "updates/discriminator": rising_until(PLANTED)})),
]  # fmt: skip

SHORT = [
    *levels.SHORT,
    ("discriminator_dominance", run({k: np.full(READINGS, v[-1]) for k, v in SURE.items()}, count=4)),
    ("generator_dominance", run({k: np.full(READINGS, v[-1]) for k, v in (BLIND | UNDIVERSE).items()}, count=4)),
    ("mode_collapse", run({k: np.full(READINGS, v[-1]) for k, v in UNDIVERSE.items()}, count=4)),
    ("divergence", run({"metric/fid": np.where(np.arange(READINGS) < 2, 20.0, 30.0)}, count=4)),
    ("stagnation", run({"metric/fid": np.full(READINGS, 200.0)}, count=4)),
    ("vanishing_gradient", run({"pull/norm": np.where(np.arange(READINGS) < 1, 1.0, 0.002), "auc/discriminator": np.full(READINGS, 0.98)}, count=8)),
    ("exploding_gradient", run({"gradient_norm/discriminator": np.where(np.arange(READINGS) % 5 == 0, 50.0, 1.0)}, count=20)),
    ("runaway_logits", run({"logits/extreme": 12.0 * 1.2 ** np.arange(READINGS)}, count=4, header={"objective": "hinge"})),
    ("saturated_output", run({"saturation/fake": np.full(READINGS, 0.9), "saturation/real": np.full(READINGS, 0.05)}, count=4)),
    ("broken_metric", run({"metric/fid": from_onset(20.0, 1e57)}, count=PLANTED)),
    ("adversarial_cliff", beside(BROKEN, count=PLANTED + 6)),
    ("adaptive_weight_explosion", beside({"adversarial_share": waving(40.0) * AFTER}, count=PLANTED + 4)),
    ("adversarial_term_off", beside({"adversarial_share": STILL}, count=PLANTED + 4)),
    ("non_finite", run(planted("loss/discriminator", NAN), count=PLANTED)),
    ("stalled_player", run({"updates/generator": STILL, "update_ratio/generator": STILL}, count=2)),
]  # fmt: skip


SICK, WELL, SHORT = SICK + probed.SICK, WELL + probed.WELL, SHORT + probed.SHORT
SEEN = SICK + levels.SICK_OVER


def ids(cases):
    return [f"{case[0]}-{case[1]}" for case in cases]


@pytest.mark.parametrize(("rule", "name", "trace"), SICK, ids=ids(SICK))
def test_the_rule_sees_it_and_when_it_began(rule, name, trace):
    finding = RULES[rule](trace)
    assert finding is not None
    assert finding.failure == rule
    start = int(STEPS[0]) if name == "from-the-start" else ONSET
    assert abs(finding.since - start) <= 10, "within one reading of the planted onset"
    assert 0.5 <= finding.confidence <= 1
    assert finding.evidence
    assert str(finding.since) in finding.summary


@pytest.mark.parametrize(("rule", "name", "trace"), levels.SICK_OVER, ids=ids(levels.SICK_OVER))
def test_the_rule_sees_what_a_run_leaves_that_is_over(rule, name, trace):
    finding = RULES[rule](trace)
    assert finding is not None
    assert finding.failure == rule
    assert 0.5 <= finding.confidence <= 1
    assert str(finding.since) in finding.summary
    told = diagnose(trace)
    assert (told.verdict, told.findings[0].failure) == ("sick", rule)


@pytest.mark.parametrize(("rule", "name", "trace"), WELL, ids=ids(WELL))
def test_the_rule_keeps_quiet(rule, name, trace):
    assert RULES[rule](trace) is None


@pytest.mark.parametrize(("rule", "trace"), SHORT, ids=[case[0] for case in SHORT])
def test_too_short_says_nothing(rule, trace):
    assert RULES[rule](trace) is None


AUDITED = {  # judged from the wiring audit's facts: tables of their own in test_wiring_rules.py
    "batch_norm_leak", "data_range_mismatch", "gradient_leak", "no_gradient_to_generator",
    "precision_underflow", "swapped_labels",
}  # fmt: skip


def test_the_tables_cover_every_rule():
    for table in (SICK, WELL, SHORT):
        assert {case[0] for case in table} | AUDITED == set(RULES)


STATISTICS = {
    "median": np.median,
    "maximum": np.max,
    "last": lambda values: values[-1],
    "first": lambda values: values[0],
    "half the range": lambda values: np.ptp(values) / 2,
}


@pytest.mark.parametrize(("rule", "name", "trace"), SEEN, ids=ids(SEEN))
def test_every_number_can_be_recomputed_from_the_trace(rule, name, trace):
    for evidence in RULES[rule](trace).evidence:
        first, last = evidence.window
        part = trace.series(evidence.signal).since(first).until(last)
        values = part.values if evidence.statistic == "first" else part.finite().values
        assert STATISTICS[evidence.statistic](values) == pytest.approx(
            evidence.observed, nan_ok=True
        )
        assert int(part.steps[0]) == first
        assert int(part.steps[-1]) == last
        assert evidence.expected


@pytest.mark.parametrize(("rule", "name", "trace"), SEEN, ids=ids(SEEN))
def test_rules_are_pure(rule, name, trace):
    before = copy.deepcopy({k: (s.steps, s.values) for k, s in trace.signals.items()})
    once, twice = diagnose(trace).to_dict(), diagnose(trace).to_dict()
    assert json.dumps(once) == json.dumps(twice)
    for key, (steps, values) in before.items():
        np.testing.assert_array_equal(trace.series(key).steps, steps)
        np.testing.assert_array_equal(trace.series(key).values, values)


def test_rules_do_not_need_to_write():
    trace = run(SURE | UNDIVERSE | BLIND | planted("loss/generator", NAN))
    for series in trace.signals.values():
        series.steps.flags.writeable = series.values.flags.writeable = False
    for rule in RULES.values():
        rule(trace)
    assert diagnose(trace).verdict == "sick"


def test_non_finite_names_the_first_and_most_telling_signal():
    both = planted("loss/generator", NAN) | planted("gradient_norm/generator", INF)
    finding = RULES["non_finite"](run(both))
    assert finding.evidence[0].signal == "gradient_norm/generator"
    later = planted("loss/generator", NAN) | planted("gradient_norm/generator", INF, PLANTED + 1)
    assert RULES["non_finite"](run(later)).evidence[0].signal == "loss/generator"


def test_stalled_player_names_the_player_and_the_cause():
    updates = {"updates/generator": rising_until(PLANTED)}
    assert "generator" in RULES["stalled_player"](run(updates)).summary
    rate = {"learning_rate/discriminator": from_onset(1e-4, 0.0)}
    assert "learning rate" in RULES["stalled_player"](run(rate)).summary


def test_a_slow_player_that_stops_is_found_after_three_of_its_pauses():
    slow = np.minimum(np.arange(READINGS) // 5, 10)
    finding = RULES["stalled_player"](run({"updates/generator": slow}))
    assert finding.since == STEPS[50]


def test_generator_dominance_is_surer_when_the_loss_is_above_chance():
    blind = {"auc/discriminator": BLIND["auc/discriminator"]} | UNDIVERSE
    plain = RULES["generator_dominance"](run(blind))
    above = RULES["generator_dominance"](run(BLIND | UNDIVERSE))
    assert above.confidence > plain.confidence
    assert above.evidence[-1].signal == "loss/discriminator"


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_chance_is_taken_from_the_objective_that_the_monitor_told(scale):
    fact = {"objective": {"name": "non_saturating", "how": "inferred", "scale": scale}}
    columns = BLIND | UNDIVERSE | {"loss/discriminator": np.full(READINGS, 1.0)}
    trace = run(columns, header={"objective": None}, facts=fact)
    signals = [e.signal for e in RULES["generator_dominance"](trace).evidence]
    assert ("loss/discriminator" in signals) == (scale == 0.5)  # chance is 1.386 x scale


def test_exact_findings_veto_the_statistical_ones():
    columns = SURE | UNDIVERSE | planted("loss/generator", NAN, until=READINGS)
    assert {f.failure for f in diagnose(run(columns)).findings} == {"non_finite"}
    columns = SURE | UNDIVERSE | {"updates/generator": rising_until(10)}
    assert {f.failure for f in diagnose(run(columns)).findings} == {"stalled_player"}
    assert set(RULES) >= EXACT


def test_dominance_is_named_before_the_collapse_that_it_causes():
    findings = diagnose(run(SURE | UNDIVERSE)).findings
    assert [f.failure for f in findings] == ["discriminator_dominance", "mode_collapse"]


def test_one_noisy_reading_does_not_move_the_onset_far():
    columns = copy.deepcopy(UNDIVERSE)
    for column in columns.values():
        column[70] = 0.95
    assert RULES["mode_collapse"](run(columns)).since == ONSET


def test_signals_may_come_at_steps_of_their_own():
    trace = run(SURE | UNDIVERSE)
    sparse = trace.series("diversity/pairwise")
    signals = dict(trace.signals) | {
        "diversity/pairwise": Series(sparse.steps[::3], sparse.values[::3])
    }
    thin = Trace(trace.header, trace.facts, signals, trace.kimg, trace.seconds)
    assert RULES["discriminator_dominance"](thin) is not None
