"""Where in the user's code something happens."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

_OURS = str(Path(__file__).resolve().parents[2])
_TORCH = str(Path(torch.__file__).resolve().parent)
_ELSEWHERE = (f"{_OURS}/", f"{_TORCH}/", "<")


def place() -> str:
    """`file:line` of the innermost frame outside torch, this package and installed packages.

    "" where there is none: a backward pass on an accelerator runs in a thread of its own.
    """
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_ELSEWHERE) and "site-packages" not in name:
            return f"{Path(name).name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]  # None above the outermost
    return ""
