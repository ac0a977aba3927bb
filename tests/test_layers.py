"""The architecture, enforced: which room may import which, lazy imports included."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "equipoise"
EVERYTHING = {"everything"}
MAY_IMPORT = {
    # the nouns: numpy and pydantic, no torch
    "record": set(),
    "recipe": set(),
    # read, judge, tell: no torch
    "logs": {"record"},
    "clinic": {"record", "recipe"},
    "report": {"record", "recipe"},
    # pure parts, strangers to one another
    "game": set(),
    "features": set(),
    "data": set(),
    "networks": {"game"},
    "metrics": {"features"},
    # play: takes observers, knows no monitor
    "training": {"recipe", "record", "game", "networks", "features", "data", "metrics"},
    # score samples against samples: from disk or a run, through features, to measures
    "evaluation": {"recipe", "record", "data", "features", "metrics", "training"},
    # watch: penalties serve as instruments
    "monitor": {"record", "recipe", "clinic", "game", "features", "metrics"},
    # try; trial/run.py is one watched run: what `train` calls
    "trial": {"recipe", "record", "clinic", "training", "monitor", "metrics"},
    "cli": EVERYTHING,
}
FOR_ALL = {"errors", "_version"}
EXEMPT = {"__init__.py", "__main__.py"}  # the package's face composes; it holds no logic
WITHOUT_TORCH = ("record", "recipe", "clinic", "logs", "report")
LOADERS = {"import_module", "__import__"}


def imported_names(path, package):
    """Every (line, dotted name) that a file imports, anywhere in it; relative ones absolute."""
    module = (package.name, *path.relative_to(package).with_suffix("").parts)
    here = module[:-1]  # the folder of the file, whether the file is a module or its __init__
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in LOADERS:
            names = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "name")]
            literal = [n.value for n in names if isinstance(n, ast.Constant)]
            yield from ((node.lineno, name) for name in literal if isinstance(name, str))


def _name(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def violations(package):
    """One line per import that the table does not allow, and per room that it does not know."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if len(place.parts) == 1 and path.name in EXEMPT:
            continue
        room = place.parts[0].removesuffix(".py")
        if room not in MAY_IMPORT and room not in FOR_ALL:
            found.append(f"{place}: {room!r} is no room of the table")
            continue
        allowed = MAY_IMPORT.get(room, set()) | FOR_ALL | {room}
        for line, name in imported_names(path, package):
            parts = name.split(".")
            if parts[0] != package.name or allowed >= EVERYTHING:
                continue
            target = parts[1] if len(parts) > 1 else "(the whole package)"
            if target not in allowed:
                found.append(f"{place}:{line}: {room} may not import {target} ({name})")
    return found


def test_every_import_is_in_the_table():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_every_room_of_the_table_is_a_package(room):
    assert (PACKAGE / room / "__init__.py").is_file()


def test_the_table_has_no_circle():
    """The rooms can be put in an order in which each imports only earlier ones."""
    left = {room: set(may) for room, may in MAY_IMPORT.items() if may is not EVERYTHING}
    while left:
        free = {room for room, may in left.items() if not may & set(left)}
        assert free, f"these import one another in a circle: {sorted(left)}"
        left = {room: may for room, may in left.items() if room not in free}


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_rooms_that_read_judge_and_tell_import_no_torch(room):
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert files
    lines = [
        f"{path.name}:{line} {name}"
        for path in files
        for line, name in imported_names(path, PACKAGE)
        if name.split(".")[0] in {"torch", "torchvision", "lightning", "lightning_fabric"}
    ]
    assert lines == []


PLANTED = [
    ("record/a.py", "import equipoise.recipe", "recipe"),
    ("record/a.py", "from equipoise.game import losses", "game"),
    ("record/a.py", "from equipoise import game", "game"),
    ("record/a.py", "import equipoise", "(the whole package)"),
    ("record/a.py", "from .. import training", "training"),
    ("record/a.py", "from ..training.loop import play", "training"),
    ("record/deep/a.py", "from ...clinic import rules", "clinic"),
    ("record/__init__.py", "from ..logs import read_log", "logs"),
    ("record/a.py", "def f():\n    from equipoise.clinic import judge", "clinic"),
    ("record/a.py", "if TYPE_CHECKING:\n    from equipoise.clinic import judge", "clinic"),
    ("record/a.py", "import importlib\nimportlib.import_module('equipoise.cli.main')", "cli"),
    ("record/a.py", "def f():\n    return __import__('equipoise.data')", "data"),
    ("record/a.py", "import importlib\nimportlib.import_module(name='equipoise.data')", "data"),
    ("errors.py", "from equipoise.record import Trace", "record"),
    ("training/a.py", "from equipoise.monitor import Monitor", "monitor"),
    ("attic/a.py", "x = 1", "no room"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "text", "target"), PLANTED, ids=[f"{p[0]}-{p[2]}" for p in PLANTED]
)
def test_a_planted_violation_is_caught(tmp_path, place, text, target):
    path = tmp_path / "equipoise" / place
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = violations(tmp_path / "equipoise")
    assert len(found) == 1
    assert target in found[0]


ALLOWED = [
    ("record/a.py", "from equipoise.errors import RecordError\nfrom equipoise import _version"),
    ("record/a.py", "from equipoise.record.atomic import Lock\nfrom . import atomic"),
    ("record/a.py", "from .atomic import Lock\nfrom ..errors import RecordError\nimport json, os"),
    ("clinic/rules/a.py", "from ...record import Trace\nfrom ..failures import Failure"),
    ("cli/a.py", "import equipoise\nfrom equipoise.training import loop"),
    ("__init__.py", "from equipoise.clinic import judge"),
    ("__main__.py", "from equipoise.cli import main"),
]


@pytest.mark.parametrize(("place", "text"), ALLOWED)
def test_an_allowed_import_is_let_through(tmp_path, place, text):
    path = tmp_path / "equipoise" / place
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert violations(tmp_path / "equipoise") == []
