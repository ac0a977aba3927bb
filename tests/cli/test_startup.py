"""Starting is quick: help and version load neither torch nor numpy."""

import resource
import subprocess
import sys

HEAVY = ("torch", "numpy", "pydantic", "yaml")


def test_help_is_cheap():
    """Under 1 s of CPU (0.25 s measured) and without the heavy libraries."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-X", "importtime", "-m", "equipoise", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "diagnose" in done.stdout
    assert imported & set(HEAVY) == set()
    assert after.ru_utime - before.ru_utime < 1.0


def test_version(equipoise_says):
    from equipoise import __version__

    said = equipoise_says("--version")
    assert (said.code, said.out, said.err) == (0, f"equipoise {__version__}\n", "")


def test_every_command_has_a_help_page(equipoise_says):
    import typer

    from equipoise.cli.app import app

    commands = typer.main.get_command(app).commands
    assert len(commands) >= 9
    for name in commands:
        said = equipoise_says(name, "--help")
        assert (said.code, said.err) == (0, "")
        assert f"equipoise {name}" in said.out
