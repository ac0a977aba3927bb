"""A missing extra is one clear line that names the install command."""

import subprocess
import sys
from pathlib import Path

import pytest

from equipoise.errors import EXTRAS, MissingExtraError, naming_extras

WITHOUT = """
import sys
sys.modules[{module!r}] = None          # as if it were not installed
sys.argv = ["equipoise", *{arguments!r}]
from equipoise.cli import main
main()
"""


def without(module, *arguments, folder):
    code = WITHOUT.format(module=module, arguments=arguments)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=60
    )


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("torch", ("train", "ring"), "train"),
        ("torch", ("demo",), "train"),
        ("torch", ("list", "objectives"), "train"),
        ("plotly", ("report", "train.log"), "report"),
    ],
)
def test_the_command_line_says_what_to_install(tmp_path, module, arguments, extra):
    (tmp_path / "train.log").write_text("step 1 D loss: 0.5 G loss: 0.7\n" * 3)
    done = without(module, *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert repr(module) in done.stderr
    assert f"pip install 'equipoise[{extra}]'" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["train.log"]


def test_a_log_is_judged_without_torch(tmp_path):
    (tmp_path / "train.log").write_text("step 1 D loss: 0.5 G loss: nan\n" * 3)
    assert without("torch", "diagnose", "train.log", folder=tmp_path).returncode == 1


def test_other_failed_imports_are_left_as_they_are():
    with pytest.raises(ModuleNotFoundError) as error, naming_extras():
        import no_such_module_anywhere  # noqa: F401 - its failure is the test
    assert not isinstance(error.value, MissingExtraError)


def test_every_extra_is_one_of_the_packages():
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f"\n{extra} = [" in text for extra in EXTRAS.values())
