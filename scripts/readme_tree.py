"""Write the README's tree: every file of the package with the first sentence of its docstring.

python scripts/readme_tree.py          rewrites README.md
python scripts/readme_tree.py --check  exits with 1 if README.md is out of date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- tree: made by scripts/readme_tree.py -->", "<!-- /tree -->"
ROOMS = (
    "recipe", "record", "game", "networks", "features", "data", "metrics", "training", "monitor",
    "logs", "clinic", "trial", "report", "cli",
)  # fmt: skip
BESIDE = ("benchmarks", "examples", "scripts")


def first_sentence(path: Path) -> str:
    """The docstring's first sentence, without its full stop."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(doc.split("\n\n")[0].split())
    return paragraph.removesuffix(".").split(". ")[0]


def tree() -> str:
    """The whole tree as one code block."""
    lines = ["```", "equipoise/"]
    for path in sorted((ROOT / "equipoise").glob("*.py")):
        if path.name != "__main__.py":
            lines.append(_line(1, path.name, first_sentence(path)))
    for room in ROOMS:
        lines += _folder(ROOT / "equipoise" / room, 1)
    for name in BESIDE:
        lines += _folder(ROOT / name, 0)
    lines += [_line(0, "tests/", "mirrors the rooms"), "```"]
    return "\n".join(lines)


def _folder(folder: Path, depth: int) -> list[str]:
    init = folder / "__init__.py"
    lines = [_line(depth, f"{folder.name}/", first_sentence(init) if init.exists() else "")]
    for path in sorted(folder.iterdir()):
        if path.is_dir() and any(path.glob("*.py")):
            lines += _folder(path, depth + 1)
        elif path.suffix == ".py" and path.name not in ("__init__.py", "__main__.py"):
            lines.append(_line(depth + 1, path.name, first_sentence(path)))
        elif path.suffix == ".yaml":
            lines.append(_line(depth + 1, path.name, ""))
        elif path.is_dir() and any(path.glob("*.yaml")):
            names = ", ".join(p.stem for p in sorted(path.glob("*.yaml")))
            lines.append(_line(depth + 1, f"{path.name}/", names))
    return lines


def _line(depth: int, name: str, text: str) -> str:
    return f"{'  ' * depth + name:34}{text}".rstrip()


def renewed(text: str) -> str:
    """The README with its tree made anew."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tree()}\n{END}{after}"


def main() -> int:
    """Rewrite, or check."""
    old = README.read_text(encoding="utf-8")
    new = renewed(old)
    if "--check" in sys.argv:
        if new != old:
            print("README.md is out of date: run python scripts/readme_tree.py")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
