"""Settings that exclude one another are refused with the reason; near misses are allowed."""

import pytest

from equipoise.errors import RecipeError
from equipoise.recipe import load
from equipoise.recipe.contradictions import CHECKS

GROWTH = {"start": 4, "stage_kimg": 1.0, "fade_kimg": 1.0}
ADA = {"augmentation.name": "ada", "augmentation.p": 0.5}
CONTRADICTIONS = {
    "_batch_norm_with_gradient_penalty": [
        ("digits", {"discriminator.normalization": "batch"}, "gradient"),
        (
            "digits",
            {"discriminator.normalization": "batch", "penalties": {"r2": {"gamma": 1}}},
            "penalties.r2.gamma",
        ),
    ],
    "_endless_data_hold_nothing_out": [
        ("ring", {"data.held_out": 0.2}, "set data.limit"),
        ("grid", {"data.held_out": 0.5}, "endless"),
    ],
    "_equalized_draws_its_own_weights": [
        (
            "ring",
            {"generator.equalized": True, "generator.normalization": "spectral"},
            "divides the scale out",
        ),
        (
            "ring",
            {"discriminator.equalized": True, "discriminator.initializer": "he"},
            "discriminator.initializer = 'he'",
        ),
    ],
    "_packs_are_whole": [
        ("ring", {"discriminator.pack": 3}, "2 whole packs"),
        ("ring", {"discriminator.pack": 128}, "2 whole packs"),
        ("ring", {"discriminator.pack": 4, "accumulate": 32}, "in 32 parts"),
    ],
    "_groups_are_whole": [
        ("digits", {"discriminator.minibatch": "deviation", "batch": 66}, "66 judgements"),
        (
            "digits",
            {"discriminator.minibatch": "deviation", "discriminator.pack": 2, "batch": 60},
            "30 judgements",
        ),
    ],
    "_clipping_reaches_the_weights": [
        (
            "ring",
            {"constraint": "weight_clipping", "discriminator.normalization": "spectral"},
            "normalization = 'spectral'",
        ),
        (
            "ring",
            {"constraint": "weight_clipping", "discriminator.equalized": True},
            "discriminator.equalized",
        ),
    ],
    "_growth_starts_small": [
        ("images", {"growth": {**GROWTH, "start": 12}}, "sizes are 4, 8, 16"),
        ("images", {"growth": {**GROWTH, "start": 32}}, "nothing to grow"),
    ],
    "_smoothing_undefined": [
        ("ring", {"objective": {"name": name, field: 0.1}}, words)
        for field in ("label_smoothing", "fake_smoothing", "label_flip")
        for name, words in (("hinge", "margins"), ("wasserstein", "no labels"))
    ],
    "_labels_are_of_least_squares": [
        ("ring", {"objective": {"name": "hinge", "labels": [0, 1, 1]}}, "only 'least_squares'"),
        ("ring", {"objective": {"name": "least_squares", "labels": [1, 1, 1]}}, "are equal"),
    ],
    "_sign_needs_a_zero": [
        ("digits", {**ADA, "augmentation.target": 0.6, "objective.name": name}, "shifted at will")
        for name in ("wasserstein", "relativistic")
    ]
    + [
        ("ring", {"pseudo_real.target": 0.6}, "pseudo_real.target"),
        ("ring", {"balance.hold": {"signal": "r_t", "low": -1, "high": 1}}, "'r_t'"),
    ],
    "_augmentation_is_whole": [
        ("digits", {"augmentation.name": "ada"}, "needs a strength"),
        ("digits", {"augmentation.name": "diffaugment", "augmentation.p": 0.5}, "of 'ada'"),
        ("digits", {"augmentation.target": 0.6}, "of 'ada', not of 'none'"),
        ("digits", {"augmentation.policy": "flip"}, "without augmentation.name"),
    ],
    "_weighting_needs_another_term": [
        ("ring", {"weighting": "adaptive"}, "set feature_matching.gamma"),
        ("ring", {"feature_matching.gamma": 1, "weighting.largest": 10}, "not 'fixed'"),
        (
            "ring",
            {"feature_matching.gamma": 1, "weighting": {"name": "balancer", "weight": 0}},
            "leave the game out",
        ),
    ],
    "_folder_needs_path": [
        ("digits", {"data.kind": "folder"}, "--data PATH"),
        ("digits", {"data.path": "images"}, "only read by"),
        ("digits", {"data.resolution": 32}, "own size"),
    ],
    "_points_are_not_images": [
        ("ring", {"generator.family": "dcgan"}, "generator.family"),
        ("ring", {"discriminator.family": "dcgan"}, "discriminator.family"),
        ("grid", {"data.augment.flip": True}, "points"),
        ("grid", {"growth": GROWTH}, "growth is about images"),
        ("grid", ADA, "augmentation.name = 'ada'"),
        ("grid", {"consistency.policy": "flip"}, "consistency.policy = 'flip'"),
        ("grid", {"compute.channels_last": True}, "compute.channels_last"),
        ("grid", {"slopes.per_pixel": True}, "slopes.per_pixel"),
    ],
    "_primary_is_measured": [("ring", {"evaluation.metrics": []}, "never measured")],
    "_exponential_to_zero": [
        ("ring", {f"{path}.schedule": {"shape": "exponential", **ends}}, "never reaches 0")
        for path in (
            "penalties.r1",
            "generator_penalties.orthogonal",
            "optimizer.generator",
            "optimizer.discriminator",
            "noise.input",
            "noise.latent",
        )
        for ends in ({"end": 0.0}, {"start": 0.0})
    ],
    "_negative_momentum": [
        ("ring", {"optimizer.generator.beta1": -0.5}, "set the name to 'sgd'"),
        (
            "ring",
            {"optimizer.generator.switch": {"kimg": 1, "name": "adamw", "beta1": -0.1}},
            "optimizer.generator.switch.beta1 = -0.1",
        ),
    ],
    "_second_moment": [
        (
            "ring",
            {
                "optimizer.generator.name": "sgd",
                "optimizer.generator.beta2_burn_in": {"start": 0.9, "kimg": 1},
            },
            "'sgd' has none",
        ),
        ("ring", {"optimizer.discriminator.beta2_burn_in": {"start": 2, "kimg": 1}}, "below 1"),
    ],
    "_half_life_of_nothing": [
        ("ring", {"ema.half_life_kimg": None, "ema.rampup": 0.05}, "need an average"),
    ],
    "_one_round": [
        (
            "ring",
            {"balance.order": "extragradient", "balance.discriminator_steps": 2},
            "discriminator_steps = 2",
        ),
        (
            "ring",
            {"balance.order": "simultaneous", "balance.hold": {"low": 0.4, "high": 0.8}},
            "balance.hold",
        ),
    ],
    "_consensus_is_simultaneous": [
        ("ring", {"balance.consensus": 1.0}, "balance.order = 'alternating'"),
        ("ring", {"balance.consensus": 1.0, "balance.order": "extragradient"}, "extragradient"),
        (
            "ring",
            {
                "balance.consensus": 1.0,
                "balance.order": "simultaneous",
                "balance.unroll": {"lr": 0.1},
            },
            "balance.unroll",
        ),
    ],
    "_half_precision_steps_once": [
        (
            "ring",
            {"compute.precision": "16-mixed", "balance.order": "extragradient"},
            "use 'bf16-mixed'",
        ),
    ],
    "_accumulated_parts_are_apart": [
        ("ring", {"accumulate": 3}, "whole parts"),
        ("ring", {"accumulate": 128}, "parts of 2"),
        ("digits", {"accumulate": 2}, "generator.normalization = 'batch'"),
        ("ring", {"accumulate": 2, "objective": "relativistic_average"}, "relativistic_average"),
        ("ring", {"accumulate": 2, "balance.top_k": {"epoch_kimg": 1}}, "balance.top_k"),
        ("ring", {"accumulate": 2, "feature_matching.gamma": 1}, "feature_matching"),
    ],
    "_compiled_once": [
        ("ring", {"compute.compile": ["discriminator"]}, "penalties.r1"),
        (
            "ring",
            {"compute.compile": ["generator"], "generator_penalties.path_length.gamma": 1},
            "path_length",
        ),
        ("ring", {"compute.compile": ["generator"], "noise.hidden.sigma": 1}, "noise.hidden"),
    ],
    "_hold_has_a_band": [
        ("ring", {"balance.hold": {"low": 0.8, "high": 0.8}}, "low must be below high"),
    ],
}
CASES = [(check, *case) for check, cases in CONTRADICTIONS.items() for case in cases]


def test_every_contradiction_has_a_case():
    assert set(CONTRADICTIONS) == {check.__name__ for check in CHECKS}


@pytest.mark.parametrize(("check", "name", "changes", "words"), CASES)
def test_contradictions_are_refused_with_the_reason(check, name, changes, words):
    with pytest.raises(RecipeError, match="recipe") as error:
        load(name).edit(changes)
    assert words in str(error.value)
    assert [c(load(name)) for c in CHECKS if c.__name__ == check] == [None]


ALLOWED = [
    ("digits", {"discriminator.normalization": "batch", "penalties": {"r1": {"gamma": 0}}}),
    ("digits", {"objective.label_smoothing": 0.1}),
    ("digits", {**ADA, "augmentation.target": 0.6}),
    ("digits", {"augmentation.name": "diffaugment", "augmentation.policy": "color"}),
    ("digits", {"discriminator.minibatch": "deviation"}),
    ("ring", {"discriminator.pack": 4, "accumulate": 16, "batch": 128}),
    ("ring", {"compute.compile": ["generator"]}),
    ("ring", {"optimizer.generator": {"name": "sgd", "beta1": -0.5}}),
    ("ring", {"balance.consensus": 1.0, "balance.order": "simultaneous"}),
    ("ring", {"weighting": "adaptive", "feature_matching.gamma": 1.0}),
    ("images", {"growth": {"start": 8, "stage_kimg": 1.0, "fade_kimg": 1.0}}),
    ("digits", {"data": {"kind": "folder", "path": "images", "resolution": 32}}),
    ("ring", {"evaluation.metrics": [], "evaluation.primary": None}),
]


@pytest.mark.parametrize(("name", "changes"), ALLOWED)
def test_what_only_resembles_a_contradiction_is_allowed(name, changes):
    assert load(name).edit(changes) != load(name)
