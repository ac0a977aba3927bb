"""The rooms that read, judge and tell load without torch or anything optional."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning_fabric", "ray", "plotly", "scipy", "sklearn", "PIL", "jinja2")
MODULES = ("", ".record", ".recipe", ".clinic", ".logs", ".report")


@pytest.mark.parametrize("module", [f"equipoise{name}" for name in MODULES])
def test_importing_it_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
