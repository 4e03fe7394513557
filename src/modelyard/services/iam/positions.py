"""Where the statements of a policy document begin and end in its text (line and column from 1, as the simulator tells)."""

from __future__ import annotations

import json
from typing import Any

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


def statement_positions(text: str) -> list[tuple[dict[str, int], dict[str, int]]]:
    """(start, end) of each statement, in order."""
    return [(_position(text, start), _position(text, end)) for start, end in _spans(text)]


def _spans(text: str) -> list[tuple[int, int]]:
    at = _skip(text, _skip(text, 0) + 1)
    while at < len(text) and text[at] == '"':
        key, at = _value(text, at)
        at = _skip(text, _skip(text, at) + 1)
        _, end = _value(text, at)
        if key == "Statement":
            return _elements(text, at) if text[at] == "[" else [(at, end)]
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else len(text)
    return []


def _elements(text: str, at: int) -> list[tuple[int, int]]:
    spans = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _value(text, at)
        spans.append((at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return spans


def _value(text: str, at: int) -> tuple[Any, int]:
    return _DECODER.raw_decode(text, at)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _position(text: str, offset: int) -> dict[str, int]:
    before = text[:offset]
    return {"Line": before.count("\n") + 1, "Column": offset - (before.rfind("\n") + 1) + 1}
