"""`check`: a recipe looked over before the first step."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape

from equipoise.cli.play import refuse_absent_images
from equipoise.cli.say import console, diagnosis_markdown, say_diagnosis
from equipoise.clinic.preflight import preflight, recipe_facts
from equipoise.errors import RecipeError
from equipoise.recipe import Recipe
from equipoise.record import Diagnosis

LARGEST = 50_000  # reals looked at


def check_recipe(recipe: Recipe, as_json: bool, as_markdown: bool) -> str:
    """Build what the recipe describes, judge it, print that, and return the verdict.

    Raises:
        RecipeError: parts that do not fit, no folder of images, or both ways of printing asked for.
        DataError: the data cannot be read.
    """
    if as_json and as_markdown:
        raise RecipeError("--json and --markdown: one answer has one form; give one of the two")
    refuse_absent_images(recipe)
    diagnosis = preflight(_facts(recipe), recipe.to_dict())
    if as_json:
        sys.stdout.write(json.dumps(diagnosis.to_dict(), indent=1) + "\n")
    elif as_markdown:
        sys.stdout.write(_markdown(diagnosis))
    else:
        _say(console(), diagnosis)
    return diagnosis.verdict


def _facts(recipe: Recipe) -> dict[str, Any]:
    """The live objects described, beside what the recipe settles by itself."""
    from equipoise.monitor.describe import describe
    from equipoise.training import build

    game = build(recipe)
    size = game.source.size
    found = describe(
        game.generator,
        game.discriminator,
        game.source.batch(recipe.seed, 0, recipe.batch).to(game.device),
        data=None if size is None else game.source.reals(min(size, LARGEST), recipe.seed),
        data_size=size,
    )
    return found | recipe_facts(recipe)


def _say(out: Console, diagnosis: Diagnosis) -> None:
    """As a run's diagnosis is said, but notes are advice here, and nothing was to be logged."""
    say_diagnosis(out, _judged(diagnosis))
    for line in _advice(diagnosis):
        out.print(f"[yellow]Advice:[/] {escape(line)}")
    for name, what in diagnosis.missing.items():
        out.print(f"[dim]Not checked:[/] {escape(what)} ({escape(name)} is not known)")


def _markdown(diagnosis: Diagnosis) -> str:
    lines = [diagnosis_markdown(_judged(diagnosis)).rstrip(), ""]
    lines += [f"- Advice: {line}" for line in _advice(diagnosis)]
    lines += [f"- Not checked: {what} (`{n}`)" for n, what in diagnosis.missing.items()]
    return "\n".join(lines).rstrip() + "\n"


def _judged(diagnosis: Diagnosis) -> Diagnosis:
    return replace(diagnosis, notes=(), missing={})


def _advice(diagnosis: Diagnosis) -> Iterator[str]:
    for note in diagnosis.notes:
        yield f"{note.summary} {note.reason}".rstrip()
