"""Write RESULTS.md from what the benchmarks stored.

    python -m benchmarks.results

Each benchmark stores one JSON file in `results/` and renders its own section here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import acceptance, constraints, diagnosis, overhead, step_time

FOLDER = Path(__file__).parent
PAGE = FOLDER / "RESULTS.md"
SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "acceptance": acceptance.section,
    "constraints": constraints.section,
    "step_time": step_time.section,
    "overhead": overhead.section,
    "diagnosis": diagnosis.section,
}


def page() -> str:
    """The whole page, from the stored results."""
    parts = ["# Measured", "Made by `python -m benchmarks.results` from the files in `results/`."]
    for name, render in SECTIONS.items():
        stored = FOLDER / "results" / f"{name}.json"
        if stored.is_file():
            parts.append(render(json.loads(stored.read_text(encoding="utf-8"))))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Rewrite the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
