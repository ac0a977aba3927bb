"""Pages that are made from the code are what the code says today."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from equipoise import game
from equipoise.recipe.edits import _field
from equipoise.recipe.schema import Recipe

ROOT = Path(__file__).resolve().parent.parent


def test_the_readmes_tree_is_that_of_the_package():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "readme_tree.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_results_says_what_the_benchmarks_stored(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import results

    assert results.PAGE.read_text(encoding="utf-8") == results.page()


@pytest.mark.parametrize("link", ["benchmarks/RESULTS.md", "docs/NEXT.md", "CONTRIBUTING.md"])
def test_what_the_readme_points_to_is_there(link):
    assert f"]({link})" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / link).is_file()


def test_the_first_lines_of_the_readme_are_the_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line.split("#")[0].strip() for line in lines[1:3]]
    assert commands == ["make demo", "make test"]


def techniques():
    """Rows of docs/TECHNIQUES.md: what it is, the parts, the paths in a recipe."""
    text = (ROOT / "docs" / "TECHNIQUES.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and not cells[0].startswith(("**", "---", "technique")):
            yield cells[0], *(re.findall(r"`([^`]+)`", cell) for cell in cells[1:])


@pytest.mark.parametrize("row", list(techniques()), ids=lambda row: row[0])
def test_every_technique_is_a_part_or_a_path_that_exists(row):
    _, parts, paths = row
    assert parts or paths
    for part in parts:
        module, _, name = part.rpartition(".")
        assert hasattr(importlib.import_module(module) if module else game, name)
    for path in paths:
        assert field_exists(path), path


def field_exists(path):
    """Whether an edit could set the path: the schema knows it."""
    kind = Recipe
    for name in path.split("."):
        kind = _field(kind, name, path)
    return True


def test_every_public_part_of_the_game_is_among_the_techniques_or_serves_one():
    named = {part for _, parts, _ in techniques() for part in parts}
    families = {name for name in game.__all__ if name.isupper()} - {"PLAIN", "SCHEDULES"}
    tables = {"ADA_PARTS", "AUGMENTATIONS", "CONSTRAINTS", "DIFFAUGMENT_PARTS", "INITIALIZERS"}
    tables |= {"MINIBATCH_LAYERS", "WEIGHTINGS", "WEIGHT_PENALTIES"}
    assert families - tables <= named
