"""The product's source as the tidy tests see it."""

from __future__ import annotations

import ast
import functools
import gc
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/modelyard"


@functools.cache
def modules() -> dict[str, Path]:
    """Dotted name → file of every module of the package."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def tree(path: Path) -> ast.Module:
    gc.disable()  # Python 3.11 miscounts its depth (SystemError) when a collection runs finalisers in the middle of a parse
    try:
        return ast.parse(path.read_text(), filename=str(path))
    finally:
        gc.enable()


def imports(name: str) -> Iterator[tuple[str, int]]:
    """(imported dotted name, line) of everything of ours that a module imports, also inside functions."""
    path = modules()[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name.split(".")[0] == "modelyard")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            if base.split(".")[0] == "modelyard":
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    yield (full if full in modules() else base), node.lineno


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())
