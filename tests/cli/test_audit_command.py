"""`audit`: a loop of the user's is called, audited and ended; exit code, words, JSON."""

import json
import sys

import pytest

LOOP = """
import torch, equipoise
from torch import nn
from torch.nn.functional import softplus

def loop(turn=1.0, steps=10, observe=True, watch=True):
    g, d = nn.Linear(2, 3), nn.Linear(3, 1)
    opt_g, opt_d = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (g, d))
    monitor = equipoise.Monitor(g, d, opt_g, opt_d) if watch else None
    for step in range(steps):
        print("step", step)
        x, y = torch.randn(8, 3), g(torch.randn(8, 2))
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        (softplus(-r) + softplus(f)).mean().backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-turn * d(y)).mean().backward()
        opt_g.step()
        if observe and watch:
            monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)

def well(): loop()
def sick(): loop(turn=-1.0)
def short(): loop(steps=1)
def blind(): loop(observe=False)
def alone(): loop(watch=False)
def broken(): raise KeyError("weights")
def leaving(): loop(); raise SystemExit(0)
number = 3
"""


@pytest.fixture
def audit(here, monkeypatch, equipoise_says):
    """Audit a function of a module that lies in the folder where the command runs."""
    (here / "train_it.py").write_text(LOOP)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield lambda target, *options: equipoise_says("audit", target, *options)
    sys.modules.pop("train_it", None)


VERDICTS = {"well": ("HEALTHY", 0), "sick": ("SICK", 1), "short": ("INCONCLUSIVE", 3)}


@pytest.mark.parametrize("name", VERDICTS)
def test_the_exit_code_is_the_verdict(audit, name):
    said = audit(f"train_it:{name}")
    word, code = VERDICTS[name]
    assert word in said.out
    assert said.code == code
    assert "step" in said.err, "what the loop prints is kept apart"


def test_it_ends_the_loop_and_names_the_line(audit):
    said = audit("train_it:sick", "--steps", "3")
    assert "audited 3 iterations, updates: 3 of the generator, 3 of the discriminator" in said.out
    assert "swapped_labels" in said.out
    line = 1 + LOOP.splitlines().index("        softplus(-turn * d(y)).mean().backward()")
    assert f"(train_it.py:{line})" in said.out
    assert "step 3" not in said.err


def test_json_and_markdown_are_the_diagnosis_alone(audit):
    answer = json.loads(audit("train_it:sick", "--json").out)
    assert [f["failure"] for f in answer["findings"]] == ["swapped_labels"]
    assert answer["steps"] == [1, 2]
    assert audit("train_it:sick", "--markdown").out.startswith("**sick**")


def test_what_was_not_seen_is_said(audit):
    assert "ended before the audit did" in audit("train_it:short").out
    assert audit("train_it:blind").code == 3
    assert audit("train_it:leaving").code == 0


REFUSED = {
    "no colon": ("train_it", "MODULE:FUNCTION"),
    "no module": ("nowhere_at_all:main", "no module 'nowhere_at_all'"),
    "no function": ("train_it:wel", "did you mean 'well'"),
    "no callable": ("train_it:number", "has no function 'number'"),
    "no monitor": ("train_it:alone", "attached no monitor"),
    "its own error": ("train_it:broken", "raised KeyError: 'weights'"),
    "two forms": ("train_it:well --json --markdown", "give one of the two"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_use_is_refused(audit, case):
    arguments, words = REFUSED[case]
    said = audit(*arguments.split())
    assert (said.code, said.out) == (2, "")
    assert words in said.err.splitlines()[-1]
