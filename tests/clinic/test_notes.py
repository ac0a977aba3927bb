# ruff: noqa: E501 - one case, one line
"""What looks wrong and is normal: each note where it fits, where it does not, and too short."""

import numpy as np
import pytest
from clinic_scenarios import READINGS, SURE, UNDIVERSE, run

from equipoise.clinic import diagnose
from equipoise.clinic.notes import NOTES

T = np.linspace(0, 1, READINGS)
LN2 = 0.6931471805599453
DRIFT = {"logits/real/mean": 50 * T + 1, "logits/fake/mean": 50 * T - 1}
BETTER = {"metric/fid": np.linspace(100, 10, READINGS)}
WORSE = {"metric/fid": np.linspace(10, 30, READINGS)}


def losses(values, objective="non_saturating", more=None, **kinds):
    column = np.broadcast_to(np.asarray(values, float), READINGS)
    header = {"objective": objective} | kinds.pop("header", {})
    return run({"loss/discriminator": column} | (more or {}), header=header, **kinds)


CHANCE = [
    ("hinge", 2.0), ("hinge", 1.0), ("non_saturating", 2 * LN2), ("non_saturating", LN2),
    ("minimax", 2 * LN2), ("least_squares", 0.5), ("least_squares", 0.25), ("relativistic", LN2),
    ("relativistic_hinge", 1.0), ("relativistic_average", 2 * LN2),
]  # fmt: skip
FITS = [
    *[("loss_at_chance", f"{name}-{value:g}", losses(value, name)) for name, value in CHANCE],
    ("loss_at_chance", "its-own-scale", losses(0.31, "hinge", header={"chance": 0.3})),
    ("rising_discriminator_loss", "cross-entropy", losses(0.4 + 0.7 * T)),
    ("rising_discriminator_loss", "hinge", losses(0.2 + 1.5 * T, "hinge")),
    ("small_discriminator_loss", "by-auc", run(SURE | BETTER)),
    ("small_discriminator_loss", "by-loss-alone", losses(0.02, more=BETTER, drop=["auc/discriminator"])),
    ("negative_wasserstein_loss", "shrinking", losses(-9 + 6 * T, "wasserstein")),
    ("negative_wasserstein_loss", "level", losses(-3, "wasserstein")),
    ("common_logit_drift", "up", run(DRIFT, header={"objective": "relativistic"})),
    ("common_logit_drift", "hinge-form", run(DRIFT, header={"objective": "relativistic_hinge"})),
]  # fmt: skip
SILENT = [
    *[(name, "balanced", run()) for name in NOTES],
    *[(name, "nothing-known", losses(0.9, None)) for name in NOTES],
    ("loss_at_chance", "halfway", losses(0.9)),
    ("loss_at_chance", "chance-of-another-objective", losses(0.25, "hinge")),
    ("loss_at_chance", "halved-where-the-scale-is-known", losses(1.0, "hinge", header={"chance": 2.0})),
    ("loss_at_chance", "a-critic-at-0", losses(0.0, "wasserstein")),
    ("rising_discriminator_loss", "falling", losses(1.3 - 0.7 * T)),
    ("rising_discriminator_loss", "beyond-chance", losses(1.0 + 1.0 * T)),
    ("rising_discriminator_loss", "hardly", losses(0.9 + 0.05 * T)),
    ("rising_discriminator_loss", "with-poor-samples", losses(0.4 + 0.7 * T, more=UNDIVERSE)),
    ("rising_discriminator_loss", "with-worse-samples", losses(0.4 + 0.7 * T, more=WORSE)),
    ("rising_discriminator_loss", "a-critic", losses(-3 + T, "wasserstein")),
    ("small_discriminator_loss", "no-metric", run(SURE)),
    ("small_discriminator_loss", "worse", run(SURE | WORSE)),
    ("small_discriminator_loss", "undiverse", run(SURE | BETTER | UNDIVERSE)),
    ("small_discriminator_loss", "loss-of-unknown-scale", losses(0.02, None, more=BETTER)),
    ("negative_wasserstein_loss", "positive", losses(3.0, "wasserstein")),
    ("negative_wasserstein_loss", "grows-without-bound", losses(-np.exp(9 * T), "wasserstein")),
    ("negative_wasserstein_loss", "hinge", losses(-3.0, "hinge")),
    ("negative_wasserstein_loss", "poor-samples", losses(-3.0, "wasserstein", more=UNDIVERSE)),
    ("common_logit_drift", "hinge", run(DRIFT, header={"objective": "hinge"})),
    ("common_logit_drift", "apart", run(DRIFT | {"logits/fake/mean": -50 * T}, header={"objective": "relativistic"})),
]  # fmt: skip
SHORT = [
    ("loss_at_chance", losses(2.0, "hinge", count=4)),
    ("rising_discriminator_loss", losses(np.r_[0.4, 1.1, np.full(98, 1.1)], count=9)),
    ("small_discriminator_loss", run(SURE | BETTER, count=2)),
    ("negative_wasserstein_loss", losses(-3, "wasserstein", count=4)),
    ("common_logit_drift", run({k: 20 * v for k, v in DRIFT.items()}, count=4, header={"objective": "relativistic"})),
]  # fmt: skip


def ids(cases):
    return [f"{case[0]}-{case[1]}" for case in cases]


@pytest.mark.parametrize(("name", "case", "trace"), FITS, ids=ids(FITS))
def test_the_note_is_said_with_its_reason(name, case, trace):
    note = NOTES[name](trace)
    assert note is not None
    assert note.note == name
    assert note.reason.endswith(".")
    assert note in diagnose(trace).notes


@pytest.mark.parametrize(("name", "case", "trace"), SILENT, ids=ids(SILENT))
def test_the_note_is_not_said(name, case, trace):
    assert NOTES[name](trace) is None


@pytest.mark.parametrize(("name", "trace"), SHORT, ids=[case[0] for case in SHORT])
def test_too_short_for_a_note(name, trace):
    assert NOTES[name](trace) is None


def test_the_tables_cover_every_note():
    for table in (FITS, SILENT, SHORT):
        assert {case[0] for case in table} == set(NOTES)


def test_what_is_normal_is_no_finding():
    for name, _, trace in FITS:
        if name != "small_discriminator_loss":
            assert diagnose(trace).findings == (), name
