"""The live display: what a terminal shows, and that nothing else is drawn on."""

import io
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

import equipoise.cli.progress
from equipoise.cli.progress import LiveProgress, clock
from equipoise.recipe import load
from equipoise.record import Trace

TINY = ("--set", "kimg=8", "--set", "evaluation.samples=100")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def drawn(folder, *arguments):
    """All that `equipoise ARGUMENTS` writes to a terminal of 80 columns, without its colours."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "CI")}
    process = subprocess.Popen(
        [sys.executable, "-m", "equipoise", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**environment, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(theirs)
    text = b""
    while chunk := _read(ours):
        text += chunk
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return CONTROL.sub("", text.decode()).replace("\r", "\n")


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


def iteration(step):
    losses = {"discriminator": torch.tensor(1.25), "generator": torch.tensor(10.0625)}
    return SimpleNamespace(
        step=step, images=64 * step, kimg=0.064 * step, seconds=0.01 * step, losses=losses
    )


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_display_fits_and_says_all(width, monkeypatch):
    monkeypatch.setattr(equipoise.cli.progress, "REFRESH", 0.0)
    page = io.StringIO()
    out = Console(width=width, file=page, force_terminal=True, color_system=None)
    progress = LiveProgress(out, live=True, folder=Path("runs/here"))
    recipe = load("digits-sick").edit({"kimg": 320})
    progress.begin(SimpleNamespace(recipe=recipe), 0)
    answers = [progress.after(iteration(step)) for step in (1, 500)]
    progress.judge(Trace())
    progress.end()
    lines = CONTROL.sub("", page.getvalue()).replace("\r", "\n").splitlines()
    assert [type(answer).__name__ for answer in answers] == ["Continue", "Continue"]
    assert lines[0] == "run directory: runs/here"
    assert max(map(len, lines)) <= width
    assert any("step 500/1000  32.0 kimg  0 s left" in line and "━" in line for line in lines)
    state = "watching  6,400 img/s  loss: discriminator 1.250  generator 10.062"
    assert state in " ".join(line.strip() for line in lines if line.strip())


def test_the_verdict_is_premature_at_first_and_then_the_clinics(monkeypatch):
    monkeypatch.setattr(equipoise.cli.progress, "JUDGE", 0.0)
    out = Console(file=io.StringIO(), force_terminal=True)
    progress = LiveProgress(out, live=True)
    progress.begin(SimpleNamespace(recipe=load("ring")), 0)
    for last, verdict in ((1000, "watching"), (3000, "sick")):
        columns = {"loss/generator": [math.nan] * 10}
        progress.judge(Trace.from_columns(range(last - 9, last + 1), columns))
        assert verdict in progress._state(iteration(last))
    progress.end()


@pytest.mark.slow  # a process of its own that imports torch
@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals there")
def test_a_terminal_sees_step_kimg_speed_losses_verdict_and_time_left(tmp_path):
    text = drawn(tmp_path, "train", "ring", *TINY, "--run-dir", "run")
    assert re.search(r"ring +[━╸╺ ]+  step \d+/63  \d\.\d kimg  \d+ s left", text)
    assert re.search(
        r"watching  [\d,]+ img/s  loss: discriminator \d\.\d{3}  generator \d\.\d{3}", text
    )
    display = [line for line in text.splitlines() if "kimg" in line and " left" in line]
    assert max(len(line) for line in display) <= 80
    assert "8.1 kimg in " in text


def test_elsewhere_nothing_is_drawn(equipoise_says):
    said = equipoise_says("train", "ring", *TINY, "--run-dir", "run")
    assert "step 63/63  modes " in said.out
    assert "img/s" not in said.out
    assert not CONTROL.search(said.out)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99.4, "99 s"), (100, "1:40"), (3599.6, "1:00:00"), (3723, "1:02:03")],
)
def test_durations(seconds, text):
    assert clock(seconds) == text
