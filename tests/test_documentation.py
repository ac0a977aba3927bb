"""Pages that are made from the code are what the code says today."""

import subprocess
import sys
from pathlib import Path

import pytest

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
