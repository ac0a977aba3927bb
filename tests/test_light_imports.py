"""The rooms that read, judge and tell load without torch or anything optional."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning_fabric", "ray", "plotly", "scipy", "sklearn", "PIL", "jinja2")
HEAVY += ("wandb", "mlflow", "trackio", "pytorch_lightning", "tensorboard")
MODULES = ("", ".record", ".recipe", ".clinic", ".logs", ".report")


@pytest.mark.parametrize("module", [f"equipoise{name}" for name in MODULES])
def test_importing_it_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_monitor_loads_no_tracker():
    trackers = ("wandb", "mlflow", "trackio", "tensorboard", "pytorch_lightning", "lightning")
    code = "import sys, equipoise.monitor.sinks, equipoise.monitor.adapters"
    code += f"; print(*sorted(set(sys.modules) & set({trackers!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
