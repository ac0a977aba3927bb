"""Every part that a recipe can name builds, and plays three finite iterations."""

import pytest

from equipoise.errors import RecipeError
from equipoise.game import NORMALIZATIONS, OBJECTIVES, OPTIMIZERS, PENALTIES
from equipoise.recipe import load
from equipoise.training import build
from equipoise.training.step import discriminator_update, generator_update

ALONE = {"penalties.r1.gamma": 0.0, "penalties.r2.gamma": 0.0}
PARTS = [
    *[("ring", {"objective.name": name}) for name in OBJECTIVES],
    *[("digits", {"objective.name": name}) for name in OBJECTIVES],
    *[("ring", {f"penalties.{n}.gamma": 0.1}) for n, p in PENALTIES.items() if not p.needs],
    *[("digits", {f"penalties.{n}.gamma": 0.1}) for n, p in PENALTIES.items() if not p.needs],
    *[("digits", {"generator.normalization": name}) for name in NORMALIZATIONS],
    *[("digits", {"discriminator.normalization": name, **ALONE}) for name in NORMALIZATIONS],
    *[("ring", {"optimizer.generator.name": name}) for name in OPTIMIZERS],
    *[("ring", {"optimizer.discriminator.name": name}) for name in OPTIMIZERS],
]


def said(part):
    return "-".join(str(word) for pair in part[1].items() for word in (part[0], *pair))


@pytest.mark.parametrize(("preset", "edit"), PARTS, ids=map(said, PARTS))
def test_three_finite_iterations(preset, edit):
    small = {"batch": 8, "generator.width": 8, "discriminator.width": 8, "evaluation.metrics": []}
    game = build(load(preset).edit({**small, "evaluation.primary": None, **edit}))
    for step in range(3):
        images = step * 8
        gammas = game.settle(images)
        move, real, _ = discriminator_update(game, images, gammas)
        reply = generator_update(game, images, 0, real)
        assert move.loss.isfinite()
        assert reply.loss.isfinite()
        assert all(p.isfinite().all() for p in game.generator.parameters())
        assert all(p.isfinite().all() for p in game.discriminator.parameters())


@pytest.mark.parametrize("name", [n for n, o in OBJECTIVES.items() if not o.labelled])
def test_smoothing_without_labels_is_refused_when_the_recipe_is_made(name):
    with pytest.raises(RecipeError, match=r"label_smoothing = 0\.1 is undefined"):
        load("ring").edit({"objective.name": name, "objective.label_smoothing": 0.1})
