"""The checklist: each line on a case that it must see and on a near miss, and on whole games."""

import json

import pytest

from equipoise.clinic import FAILURES
from equipoise.clinic.preflight import CHECKS, preflight, recipe_facts
from equipoise.recipe import load, preset_names
from equipoise.record import Diagnosis

WELL = {
    "real/shape": [3, 32, 32], "real/count": 16, "real/nonfinite": 0.0,
    "real/low": -1.0, "real/high": 1.0, "real/mean": 0.0, "real/std": 0.5,
    "data/examined": 5000, "data/distinct": 5000, "data/blank": 0, "data/size": 5000,
    "classes/count": 10, "classes/seen": 10, "classes/samples": 5000, "classes/smallest": 400,
    "classes/smallest_label": 3,
    "generator/parameters": 1_000_000, "generator/frozen": False, "generator/batch_norms": ["1"],
    "generator/batch_norm_last": False, "generator/max_pooling": [], "generator/hidden_dense": [],
    "generator/transposed": [("3", 4, 2)], "generator/dead": ("2", 0.1), "generator/takes": "z",
    "generator/z_dim": 64, "generator/labels": True, "generator/shape": [3, 32, 32],
    "generator/nonfinite": 0.0, "generator/low": -0.9, "generator/high": 0.9,
    "generator/bound_low": -1.0, "generator/bound_high": 1.0, "generator/saturated": 0.0,
    "generator/reached": 1.0, "generator/varies": True, "generator/label_matters": True,
    "generator/deaf_layers": [],
    "discriminator/parameters": 1_000_000, "discriminator/frozen": False,
    "discriminator/batch_norms": [], "discriminator/batch_norm_first": False,
    "discriminator/max_pooling": [], "discriminator/hidden_dense": [],
    "discriminator/rectifiers": "leaky", "discriminator/dead": None, "discriminator/labels": True,
    "discriminator/outputs": 1, "discriminator/logits_per_sample": 1.0,
    "discriminator/nonfinite": 0.0, "discriminator/sees": None, "discriminator/bound_low": None,
    "discriminator/bound_high": None, "discriminator/refuses_fakes": "",
    "discriminator/label_matters": True, "discriminator/deaf_layers": [],
    "discriminator/held": True,
    "optimizer/generator/lr": 2e-4, "optimizer/generator/beta1": 0.5,
    "optimizer/generator/name": "adam", "optimizer/generator/covers": 1.0,
    "optimizer/discriminator/lr": 2e-4, "optimizer/discriminator/beta1": 0.5,
    "optimizer/discriminator/name": "adam", "optimizer/discriminator/covers": 1.0,
    "objective": "hinge", "penalties": {"r1": 1.0}, "batch/size": 64,
    "balance/discriminator_steps": 1, "balance/generator_steps": 1, "augmentation": "none",
    "latent/mean": 0.0, "latent/std": 1.0, "latent/noise": 0.0,
}  # fmt: skip

TINY = {"real/shape": [1, 8, 8], "generator/shape": [1, 8, 8]}
SQUASHED = {"discriminator/bound_low": 0.0, "discriminator/bound_high": 1.0}
CASES = {  # check: (what it must see, a near miss)
    "finite_reals": ({"real/nonfinite": 1e-6}, {"real/nonfinite": 0.0}),
    "equal_shapes": ({"generator/shape": [1, 32, 32]}, {}),
    "pixel_range": ({"real/low": 0.0, "real/high": 1.0}, {"real/low": -0.2, "real/high": 1.05}),
    "distinct_reals": ({"data/distinct": 2400}, {"data/distinct": 2500}),
    "repeated_reals": ({"data/distinct": 4700}, {"data/distinct": 4800}),
    "blank_images": ({"data/blank": 300}, {"data/blank": 250}),
    "few_images": ({"data/size": 900}, {"data/size": 900, "augmentation": "ada"}),
    "rare_classes": ({"classes/smallest": 49}, {"classes/smallest": 50}),
    "one_class": (
        {"classes/seen": 1, "classes/count": 1},
        {"classes/seen": 1, "classes/count": 1, "classes/samples": 16},
    ),
    "finite_outputs": ({"generator/nonfinite": 0.1}, {"generator/nonfinite": 0.0}),
    "fakes_fit": (
        {"discriminator/refuses_fakes": "expected Half"},
        {"discriminator/refuses_fakes": ""},
    ),
    "reached_generator": ({"generator/reached": 0.0}, {"generator/reached": 0.02}),
    "latents_matter": ({"generator/varies": False}, {"generator/varies": True}),
    "covered_players": (
        {"optimizer/discriminator/covers": 0.0},
        {"optimizer/discriminator/covers": 0.3},
    ),
    "live_units": ({"generator/dead": ("2", 0.95)}, {"generator/dead": ("2", 0.6)}),
    "unsaturated_output": ({"generator/saturated": 0.6}, {"generator/saturated": 0.3}),
    "logits_not_probabilities": (SQUASHED, SQUASHED | {"objective": "least_squares"}),
    "probabilities": (
        SQUASHED | {"objective": None},
        {"objective": None, "discriminator/bound_low": 0.0},
    ),
    "penalty_sees_samples": (
        {"discriminator/batch_norms": ["3"]},
        {"discriminator/batch_norms": ["3"], "penalties": {"r1": 0.0}},
    ),
    "batch_norm_in_discriminator": (
        {"discriminator/batch_norms": ["3"], "penalties": {}},
        {"generator/batch_norms": ["3"], "penalties": {}},
    ),
    "batch_norm_at_the_ends": ({"generator/batch_norm_last": True}, {}),
    "kernel_by_stride": (
        {"generator/transposed": [("3", 4, 2), ("6", 3, 2)], "generator/last_weighted": "6"},
        {"generator/transposed": [("3", 4, 2), ("6", 3, 1)], "generator/last_weighted": "6"},
    ),
    "max_pooling": ({"discriminator/max_pooling": ["1"]}, {}),
    "rectifiers": ({"discriminator/rectifiers": "relu"}, {"discriminator/rectifiers": "mixed"}),
    "hidden_dense": (
        {"discriminator/hidden_dense": ["4"]},
        {"discriminator/hidden_dense": ["4"]} | TINY,
    ),
    "receptive_field": ({"discriminator/sees": 7}, {"discriminator/sees": 8}),
    "capacity": ({"discriminator/parameters": 10_000}, {"discriminator/parameters": 50_000}),
    "latent_size": ({"generator/z_dim": 2}, {"generator/z_dim": 3}),
    "frozen": ({"discriminator/frozen": True}, {}),
    "labels_matter": ({"generator/label_matters": False}, {"generator/label_matters": True}),
    "labels_judged": (
        {"discriminator/labels": False},
        {"discriminator/labels": False, "discriminator/outputs": 2},
    ),
    "deaf_layers": ({"generator/deaf_layers": ["4"]}, {}),
    "pace": (
        {"balance/discriminator_steps": 5, "discriminator/held": False},
        {"balance/discriminator_steps": 4, "discriminator/held": False},
    ),
    "far_pace": ({"optimizer/generator/lr": 2e-3}, {"optimizer/generator/lr": 8e-4}),
    "beta1": ({"optimizer/generator/beta1": 0.9}, {"optimizer/generator/beta1": 0.8}),
    "batch_size": ({"batch/size": 2}, {"batch/size": 2, "generator/takes": "images"}),
    "few_samples": ({"batch/size": 8}, {"batch/size": 16}),
    "penalty_scale": ({"penalties": {"r1": 1e-5}}, {"penalties": {"r1": 1e-3}}),
    "held": ({"discriminator/held": False}, {"discriminator/held": True}),
    "latent_law": ({"latent/mean": 0.5, "latent/std": 0.29}, {"latent/mean": 0.1}),
    "latent_noise": ({"latent/noise": 0.1}, {}),
}


def judged(changes):
    """The well game with `changes`; a change to None takes the fact away."""
    return preflight({k: v for k, v in (WELL | changes).items() if v is not None})


def said(diagnosis):
    return {f.remedies[0].remedy for f in diagnosis.findings} | {n.note for n in diagnosis.notes}


def test_a_well_game_is_healthy_with_nothing_to_say():
    diagnosis = preflight(WELL)
    assert (diagnosis.verdict, diagnosis.findings, diagnosis.notes) == ("healthy", (), ())
    assert diagnosis.missing == {}


def test_every_check_has_its_two_cases():
    assert set(CASES) == set(CHECKS)


@pytest.mark.parametrize("name", CASES)
def test_a_check_sees_what_it_must_and_alone(name):
    diagnosis = judged(CASES[name][0])
    assert said(diagnosis) == {name}
    failure = CHECKS[name].failure
    assert diagnosis.verdict == ("sick" if failure else "healthy")
    assert [f.failure for f in diagnosis.findings] == ([failure] if failure else [])
    assert failure is None or failure in FAILURES


@pytest.mark.parametrize("name", CASES)
def test_a_check_lets_a_near_miss_pass(name):
    assert name not in said(judged(CASES[name][1]))


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_what_it_looks_at_from_when_whence_and_what_to_do(name):
    check = CHECKS[name]
    assert all((check.looks_at, check.threshold, check.source, check.way_out))
    assert set(check.needs) <= set(WELL)


RANGES = [  # reals, generator's bounds, failure expected
    ((0, 255), (-1, 1), True),
    ((0, 1), (-1, 1), True),
    ((0.1, 0.9), (-1, 1), True),
    ((-1, 1), (0, 1), True),
    ((0, 255), (0, 1), True),
    ((-2.1, 2.6), (-1, 1), True),
    ((0, 1 / 255), (0, 1), True),
    ((0, 255), (None, None), True),
    ((-2, 2), (0, None), True),
    ((-1, 1), (-1, 1), False),
    ((-1, 0.2), (-1, 1), False),
    ((-0.97, 1.04), (-1, 1), False),
    ((0, 1), (0, 1), False),
    ((-3, 4), (None, None), False),
    ((0, 5), (0, None), False),
]  # fmt: skip


@pytest.mark.parametrize(("reals", "bounds", "wrong"), RANGES)
def test_pixel_ranges_against_outputs(reals, bounds, wrong):
    names = ("real/low", "real/high", "generator/bound_low", "generator/bound_high")
    facts = WELL | dict(zip(names, (*map(float, reals), *bounds), strict=True))
    failures = [f.failure for f in preflight(facts).findings]
    assert failures == (["data_range_mismatch"] if wrong else [])


@pytest.mark.parametrize(
    ("reals", "bounds", "formula"),
    [
        ((0, 255), (-1, 1), "x / 255 * 2 - 1"),
        ((0, 1), (-1, 1), "x / 1 * 2 - 1"),
        ((-1, 1), (0, 1), "(x + 1) / 2"),
        ((0, 255), (0, 1), "x / 255"),
    ],
)
def test_the_way_out_of_a_wrong_range_is_right(reals, bounds, formula):
    names = ("real/low", "real/high", "generator/bound_low", "generator/bound_high")
    facts = WELL | dict(zip(names, (*map(float, reals), *bounds), strict=True))
    assert preflight(facts).findings[0].remedies[0].title == f"scale the reals: x = {formula}"
    ends = [eval(formula, {"x": float(x)}) for x in reals]
    assert ends == list(bounds)


@pytest.mark.parametrize("name", WELL)
def test_any_fact_may_be_absent(name):
    """A well game of which less is known is never sick."""
    for absent in ({name}, {n for n in WELL if n.startswith(name.partition("/")[0])}):
        diagnosis = preflight({k: v for k, v in WELL.items() if k not in absent})
        assert diagnosis.verdict in ("healthy", "inconclusive")
        assert diagnosis.findings == ()


@pytest.mark.parametrize("name", CASES)
def test_a_sick_case_is_judged_with_any_one_fact_absent(name):
    facts = {k: v for k, v in (WELL | CASES[name][0]).items() if v is not None}
    for absent in facts:
        diagnosis = preflight({k: v for k, v in facts.items() if k != absent})
        assert {f.failure for f in diagnosis.findings} <= {CHECKS[name].failure}


def test_what_is_not_finite_vetoes_what_follows_from_it():
    """NaNs are all alike bitwise, and a network fed with them repeats itself."""
    lost = {"real/nonfinite": 1.0, "data/distinct": 1, "generator/varies": False}
    assert [f.failure for f in judged(lost).findings] == ["non_finite"]


def test_what_is_not_known_is_missing_and_what_was_refused_makes_it_inconclusive():
    known = {k: v for k, v in WELL.items() if not k.startswith(("generator/", "optimizer/"))}
    diagnosis = preflight(known | {"generator/refused": "no such size"})
    assert diagnosis.verdict == "inconclusive"
    assert "no such size" in diagnosis.missing["generator"]
    assert "beta1 of Adam" in diagnosis.missing["optimizer/generator/lr"]
    assert preflight({}).verdict == "inconclusive"


def test_evidence_is_recomputed_from_the_facts():
    for fired, _ in CASES.values():
        diagnosis = judged(fired)
        for e in (e for f in diagnosis.findings for e in f.evidence):
            assert diagnosis.signals.get(e.signal, e.observed) == e.observed


def test_a_diagnosis_is_json_and_comes_back():
    text = json.dumps(judged(CASES["pace"][0]).to_dict(), allow_nan=False)
    assert json.dumps(Diagnosis.from_dict(json.loads(text)).to_dict()) == text


def test_the_recipe_fills_in_the_edits_of_the_remedies():
    recipe = load("digits-sick")
    facts = WELL | recipe_facts(recipe)
    finding = preflight(facts, recipe.to_dict()).findings[0]
    assert finding.failure == "discriminator_dominance"
    assert finding.remedies[1].edit == {"penalties.r1.gamma": 0.3, "penalties.r2.gamma": 0.3}


@pytest.mark.parametrize("name", preset_names())
def test_settings_alone_condemn_the_sick_preset_and_no_other(name):
    recipe = load(name)
    found = [f.failure for f in preflight(recipe_facts(recipe)).findings]
    assert found == (["discriminator_dominance"] if name == "digits-sick" else [])


HOLDS = [
    {"penalties.r1.gamma": 1.0},
    {"discriminator.normalization": "spectral"},
    {"constraint": "weight_clipping", "objective": "wasserstein"},
    {"balance.hold": {"low": 0.4, "high": 0.9}},
]


@pytest.mark.parametrize("edit", HOLDS, ids=lambda edit: next(iter(edit)))
def test_what_holds_the_discriminator_lets_it_go_fast(edit):
    recipe = load("digits-sick")
    assert not recipe_facts(recipe)["discriminator/held"]
    assert recipe_facts(recipe.edit(edit))["discriminator/held"]


def test_a_recipes_own_warnings_are_passed_on():
    recipe = load("digits").edit({"penalties.r1.every": 16})
    notes = [n for n in preflight(recipe_facts(recipe)).notes if n.note == "recipe_warning"]
    assert [n.summary for n in notes] == list(recipe.warnings())
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("kernel", "stride", "last", "confidence", "words"),
    [
        (3, 2, "6", 0.6, "writes 1 time to some pixels and 4 times to others"),
        (5, 2, "6", 0.6, "writes 4 times to some pixels and 9 times to others"),
        (3, 2, "8", 0.4, "unless the layers behind it even that out"),
        (2, 3, "8", 0.9, "leaves pixels that nothing is written to"),
    ],
)
def test_how_unevenly_a_kernel_writes(kernel, stride, last, confidence, words):
    """Odena et al. 2016: overlap is uneven where the kernel is no multiple of the stride."""
    layers = {"generator/transposed": [("6", kernel, stride)], "generator/last_weighted": last}
    diagnosis = judged(layers)
    assert [f.confidence for f in diagnosis.findings] == [confidence]
    assert words in diagnosis.findings[0].summary
    assert diagnosis.verdict == ("healthy" if confidence < 0.5 else "sick")
