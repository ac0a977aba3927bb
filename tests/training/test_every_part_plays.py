"""Whatever a recipe allows builds and takes three finite steps; what it refuses, it says why."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_features import FEATURES, play_three, small

from equipoise.errors import RecipeError
from equipoise.game import OBJECTIVES
from equipoise.recipe import load

ALONE = [(preset, name) for preset, features in FEATURES.items() for name in features]
# Alone in a small game of non-saturating players these contradict something, with these words.
REFUSED_ALONE = {
    ("ring", "generator.normalization=instance"): "after a dense layer",
    ("ring", "discriminator.normalization=instance"): "after a dense layer",
    ("ring", "objective.label_smoothing"): "scores pairs",
    ("ring", "objective.fake_smoothing"): "scores pairs",
    ("ring", "objective.label_flip"): "scores pairs",
    ("ring", "pseudo_real"): "shifted at will",
    ("ring", "balance.hold r_t"): "shifted at will",
}


@pytest.mark.parametrize(("preset", "name"), ALONE)
def test_every_feature_alone_takes_three_finite_steps(preset, name):
    words = REFUSED_ALONE.get((preset, name))
    if words is None:
        play_three(small(preset, FEATURES[preset][name]))
        return
    with pytest.raises(RecipeError, match=words):
        play_three(small(preset, FEATURES[preset][name]))


def plays_or_is_refused(preset, names):
    """True where it plays; False where it is refused with path, reason and way out."""
    try:
        recipe = small(preset, *(FEATURES[preset][name] for name in names))
        play_three(recipe)
    except RecipeError as error:
        said = str(error)
        assert said.startswith("recipe "), said
        assert "\n" not in said
        assert ";" in said or "use " in said, f"no way out: {said}"
        return False
    return True


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_handful_of_features_plays_or_is_refused_with_the_reason(data):
    preset = data.draw(st.sampled_from(sorted(FEATURES)))
    names = st.sampled_from(sorted(FEATURES[preset]))
    plays_or_is_refused(preset, data.draw(st.lists(names, min_size=2, max_size=5, unique=True)))


SHARES = 8


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("preset", sorted(FEATURES))
def test_every_pair_of_features_plays_or_is_refused_with_the_reason(preset, share):
    pairs = list(itertools.combinations(sorted(FEATURES[preset]), 2))[share::SHARES]
    played = sum(plays_or_is_refused(preset, pair) for pair in pairs)
    assert played > 0.7 * len(pairs)


@pytest.mark.parametrize("name", [n for n, o in OBJECTIVES.items() if not o.labelled])
def test_smoothing_without_labels_is_refused_when_the_recipe_is_made(name):
    with pytest.raises(RecipeError, match=r"label_smoothing = 0\.1 is undefined"):
        load("ring").edit({"objective.name": name, "objective.label_smoothing": 0.1})
