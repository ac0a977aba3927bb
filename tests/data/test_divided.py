"""Less data, and data kept aside."""

import pytest
import torch

from equipoise.data import divided, open_source
from equipoise.errors import DataError
from equipoise.recipe import load
from equipoise.training import build


def rows(samples):
    return {tuple(row) for row in samples.flatten(1).tolist()}


def test_without_a_setting_the_source_is_itself():
    source = open_source("digits")
    assert divided(source) == (source, None)


@pytest.mark.parametrize("limit", [None, 50])
def test_a_finite_source_is_split_without_overlap(limit):
    source = open_source("digits")
    kept, aside = divided(source, limit, 0.25, seed=3)
    assert len(aside) == round(1797 * 0.25)
    assert kept.size == (limit or 1797 - len(aside))
    assert not rows(kept.samples) & rows(aside)
    again, same = divided(source, limit, 0.25, seed=3)
    assert torch.equal(again.samples, kept.samples)
    assert torch.equal(same, aside)
    other, _ = divided(source, limit, 0.25, seed=4)
    assert not torch.equal(other.samples, kept.samples)


def test_an_endless_source_is_drawn_from_and_keeps_its_density():
    source = open_source("grid")
    kept, aside = divided(source, 64, 0.5, seed=1)
    assert (kept.size, len(aside)) == (64, 256)
    assert kept.mixture is source.mixture
    assert rows(kept.batch(0, 0, 64)) == rows(kept.samples)
    assert divided(source, 64)[1] is None


def test_an_endless_source_holds_nothing_out():
    with pytest.raises(DataError, match=r"held_out = 0.1: .* set data.limit"):
        divided(open_source("ring"), None, 0.1)


def test_something_must_be_left():
    source = divided(open_source("digits"), limit=1)[0]
    with pytest.raises(DataError, match="leaves none"):
        divided(source, None, 1.0)


def test_metrics_judge_against_everything():
    recipe = load("digits").edit({"data.limit": 40, "data.held_out": 0.2, "batch": 16})
    game, whole = build(recipe), build(load("digits").edit({"batch": 16}))
    assert game.source.size == 40
    assert len(game.held_out) == round(0.2 * 1797)
    fake = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert [e(fake) for e in game.evaluators] == [e(fake) for e in whole.evaluators]
