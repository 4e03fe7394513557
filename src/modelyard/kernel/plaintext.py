"""What a regular expression says in plain letters: to look for that first spares most texts the expression."""

from __future__ import annotations

import re

_PIECE = re.compile(r"(?P<escaped>\\[^\w\s])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<plain>[\w \t:=,;/\"'<>@%&!#~`-])|.", re.DOTALL)
_UNPLAIN = re.compile(r"\||\(\?(?!:|P?<[A-Za-z_])|\\[^dDwWsSbBAZnrt\W]")
"""Alternatives, flags, comments, assertions, and escapes with more than one letter."""
_AGAIN = re.compile(r"[*?+{]")


def said_always(expression: str) -> str:
    """The longest plain text that whatever matches an expression has in it; "" where that is not plain to see."""
    if _UNPLAIN.search(expression):
        return ""
    runs, run, depth, place = [], "", 0, 0
    while place < len(expression):
        piece = _PIECE.match(expression, place)
        place = piece.end()
        plain = piece["plain"] or (piece["escaped"] or "")[1:]
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
        if plain and depth == 0 and not _AGAIN.match(expression, place):
            run += plain
            continue
        runs.append(run)
        run = ""
    return max([*runs, run], key=len)
