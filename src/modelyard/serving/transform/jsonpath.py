"""The JSONPath of InputFilter and OutputFilter, as far as AWS takes it.

Source: "Associate Prediction Results with Input Records", Supported JSONPath operators: `$`, `.name`, `*`, `['name' (,'name')]`,
`[number (,number)]` with negative numbers, `[start:end]`; lists of numbers and slices may be mixed (`$[0,5:]`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

MOST_CHARACTERS = 63
_STEP = re.compile(
    r"""\.?\[\s*(?P<names>'[^']*'\s*(?:,\s*'[^']*'\s*)*|"[^"]*"\s*(?:,\s*"[^"]*"\s*)*)\]
      | \.?\[\s*(?P<star>\*)\s*\]
      | \.?\[(?P<items>[-0-9:,\s]+)\]
      | \.(?P<dotstar>\*)
      | \.(?P<name>[^.\[\]*'"\s]+)""",
    re.VERBOSE,
)
_NAME = re.compile(r"'([^']*)'|\"([^\"]*)\"")


class BadPath(ValueError):
    """It is no JSONPath of those that are supported; the text says which."""


class NoSuchPart(LookupError):
    """A record lacks what the path names."""


Items = list[int | slice]
Step = tuple[str, Any]


class JsonPath:
    """`of(value)` selects from a JSON value, `of_row(row)` from a CSV row."""

    def __init__(self, text: str) -> None:
        self.text, self.steps = text, _parse(text)
        self.of_row = self._for_rows()

    @property
    def is_all(self) -> bool:
        return not self.steps

    @property
    def fits_rows(self) -> bool:
        """Whether it can select from a CSV row, which is an array of texts."""
        return not self.steps or (len(self.steps) == 1 and self.steps[0][0] in ("items", "all"))

    @property
    def skips(self) -> int | None:
        """n where the path is `$[n:]`: all columns but the first n."""
        if len(self.steps) == 1 and self.steps[0][0] == "items" and len(self.steps[0][1]) == 1:
            only = self.steps[0][1][0]
            if isinstance(only, slice) and only.stop is None and (only.start or 0) >= 0:
                return only.start or 0
        return None

    def of(self, value: Any) -> Any:
        return _walk(value, self.steps, self.text)

    def _for_rows(self) -> Callable[[list[str]], list[str]]:
        if not self.fits_rows or not self.steps or self.steps[0][0] == "all":
            return lambda row: row
        items: Items = self.steps[0][1]
        if len(items) == 1 and isinstance(items[0], slice):
            only = items[0]
            return lambda row: row[only]
        return lambda row: _items(row, items, self.text)


def _parse(text: str) -> list[Step]:
    if not text.startswith("$"):
        raise BadPath(f"The JSONPath '{text}' must begin with $.")
    steps: list[Step] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if not found:
            raise BadPath(f"The JSONPath '{text}' is not supported from '{text[at:]}' on.")
        at = found.end()
        if found["names"]:
            steps.append(("names", [a or b for a, b in _NAME.findall(found["names"])]))
        elif found["name"]:
            steps.append(("names", [found["name"]]))
        elif found["items"]:
            steps.append(("items", [_item(one, text) for one in found["items"].split(",")]))
        else:
            steps.append(("all", None))
    return steps


def _item(text: str, path: str) -> int | slice:
    sides = [side.strip() for side in text.split(":")]
    try:
        if len(sides) == 1:
            return int(sides[0])
        if len(sides) == 2:
            return slice(*(int(side) if side else None for side in sides))
    except ValueError:
        pass
    raise BadPath(f"The JSONPath '{path}' has '{text.strip()}' where an index or a slice is expected.")


def _walk(value: Any, steps: list[Step], path: str) -> Any:
    if not steps:
        return value
    (kind, what), rest = steps[0], steps[1:]
    if kind == "names":
        return _walk(_names(value, what, path), rest, path)
    if kind == "all":
        if isinstance(value, dict):
            return [_walk(one, rest, path) for one in value.values()]
        if isinstance(value, list):
            return [_walk(one, rest, path) for one in value]
        raise NoSuchPart(f"The record has nothing at {path}.")
    if not isinstance(value, list):
        raise NoSuchPart(f"The record has no array where {path} needs one.")
    if len(what) == 1 and isinstance(what[0], int):
        return _walk(_items(value, what, path)[0], rest, path)
    return [_walk(one, rest, path) for one in _items(value, what, path)]


def _names(value: Any, names: list[str], path: str) -> Any:
    missing = [name for name in names if not isinstance(value, dict) or name not in value]
    if missing:
        raise NoSuchPart(f"The record has no '{missing[0]}', which {path} names.")
    return value[names[0]] if len(names) == 1 else {name: value[name] for name in names}


def _items(row: list[Any], items: Items, path: str) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if isinstance(item, slice):
            found += row[item]
        elif -len(row) <= item < len(row):
            found.append(row[item])
        else:
            raise NoSuchPart(f"The index {item} of {path} is not within the {len(row)} columns of the record.")
    return found
