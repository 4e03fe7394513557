"""What commands print: results to stdout, the rest to stderr; colours only on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def paint(text: str, style: str, stream=None) -> str:
    """`text` in a style where the stream is a terminal and the user did not object (https://no-color.org)."""
    stream = stream or sys.stdout
    if "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def problem(text: str, hint: str = "") -> None:
    """What went wrong and what would help, on stderr."""
    note(f"{paint('modelyard:', 'red', sys.stderr)} {text}")
    if hint:
        note(f"  {hint}")


def as_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=2, default=str))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Left-aligned columns; the head is bold on a terminal."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(paint(line, "bold") if number == 0 else line)


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return ""
