"""Every example runs, costs its loop under ten lines, and tells its well loop from its sick one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARK = "# equipoise"
# Script, module that it needs, steps until its mistake is seen, and the failure that it amounts to.
SCRIPTS = [
    ("lightning_gan", "pytorch_lightning", 60, "stalled_player"),
    ("accelerate_gan", "accelerate", 20, "gradient_leak"),
    ("integrations/latent_diffusion", "torch", 130, "gradient_leak"),
    ("integrations/diffusers_autoencoder", "accelerate", 150, "stalled_player"),
    ("integrations/llamagen", "torch", 20, "swapped_labels"),
    ("integrations/hifi_gan", "torch", 200, "stalled_player"),
    ("integrations/stylegan", "torch", 20, "gradient_leak"),
    ("integrations/dmd2", "torch", 20, "no_gradient_to_generator"),
]
NAMES = [name for name, *_ in SCRIPTS]
# Warnings are errors, but for one that Lightning earns by its own use of torch.
STRICT = ["-W", "error", "-W", "ignore:`isinstance(treespec"]


def path(name):
    return ROOT / "examples" / f"{name}.py"


def run(*command, strict=True):
    places = os.pathsep.join([str(ROOT), str(ROOT / "examples" / "integrations")])
    environment = os.environ | {"PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *(STRICT if strict else []), *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def verdict(said):
    """The verdict, and the failures in order, whichever way the script prints them."""
    first, *rest = said.splitlines()
    words = first.removeprefix("verdict: ").split()
    listed = [line[2:].partition(" ")[0] for line in rest if line.startswith("- ")]
    return words[0], words[1:] or listed


def test_every_script_is_in_the_table():
    scripts = [p for p in (ROOT / "examples").rglob("*.py") if p.name != "parts.py"]
    found = {p.relative_to(ROOT / "examples").with_suffix("").as_posix() for p in scripts}
    assert found == {*NAMES, "attach_to_a_loop"}


@pytest.mark.parametrize("name", [*NAMES, "attach_to_a_loop"])
def test_equipoise_costs_a_loop_under_ten_lines(name):
    lines = path(name).read_text().splitlines()
    marked = [line for line in lines if line.endswith(MARK)]
    assert 1 <= len(marked) < 10
    body = lines[[i for i, line in enumerate(lines) if '"""' in line][1] + 1 :]
    words = ("equipoise", "monitor.", "tell(")
    assert [w for line in body if line not in marked for w in words if w in line] == []


@pytest.mark.parametrize(("name", "module"), [row[:2] for row in SCRIPTS], ids=NAMES)
def test_the_loop_runs_without_these_lines(tmp_path, name, module):
    pytest.importorskip(module)
    lines = path(name).read_text().splitlines()
    plain = "\n".join(line for line in lines if not line.endswith(MARK))
    script = tmp_path / "plain.py"
    script.write_text(plain)
    assert "verdict" not in run(script, "--steps", "3", strict=False)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "module"), [row[:2] for row in SCRIPTS], ids=NAMES)
def test_the_well_loop_is_healthy(name, module):
    pytest.importorskip(module)
    assert verdict(run(path(name))) == ("healthy", [])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "module", "steps", "failure"), SCRIPTS, ids=NAMES)
def test_the_planted_mistake_is_named(name, module, steps, failure):
    pytest.importorskip(module)
    said = run(path(name), "--bug", "--steps", steps)
    assert verdict(said) == ("sick", [failure])
