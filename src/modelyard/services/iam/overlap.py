"""Two patterns with wildcards: does one say all that the other says, and is there a text that both mean?"""

from __future__ import annotations

from functools import lru_cache

from modelyard.services.iam.patterns import glob

NAME = "\0"
"""A run of characters without slash and colon, beside `*` and `?`."""


def covers(wide: str, narrow: str) -> bool:
    """Every text of `narrow` is one of `wide` (where a `*` of `narrow` needs one of `wide`)."""
    return glob(wide)(narrow) if "?" not in wide or "*" not in narrow else wide == narrow


@lru_cache(maxsize=4096)
def overlap(left: str, right: str) -> bool:
    """Whether some text is meant by both: a walk over pairs of places, each looked at once."""
    seen, todo = {(0, 0)}, [(0, 0)]
    while todo:
        i, j = todo.pop()
        if i == len(left) and j == len(right):
            return True
        for step in _steps(left, i, right, j):
            if step not in seen:
                seen.add(step)
                todo.append(step)
    return False


def _steps(left: str, i: int, right: str, j: int) -> list[tuple[int, int]]:
    a, b = left[i] if i < len(left) else None, right[j] if j < len(right) else None
    found = []
    if a in ("*", NAME):
        found.append((i + 1, j))
    if b in ("*", NAME):
        found.append((i, j + 1))
    if a is None or b is None:
        return found
    many_a, many_b = a in ("*", NAME), b in ("*", NAME)
    if many_a and not many_b and not (a == NAME and b in "/:"):
        found.append((i, j + 1))
    if many_b and not many_a and not (b == NAME and a in "/:"):
        found.append((i + 1, j))
    if not many_a and not many_b and (a == b or "?" in (a, b)):
        found.append((i + 1, j + 1))
    return found
