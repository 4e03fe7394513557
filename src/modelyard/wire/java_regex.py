"""The models' patterns: Java regular expressions, matched whole, by Python's `re` and within bounds.

What the two languages share is nearly everything. Translated are POSIX classes (`\\p{Alpha}`), Unicode categories, `\\z`/`\\Z`,
`\\h`, `\\Q…\\E`, `\\x{…}` and `[` inside a class; a pattern that still does not compile is not checked (AWS's own answer to
it is then not given, but nothing valid is refused).
A value longer than `MAX_LENGTH` is not matched: a pattern with nested repetition could take forever on it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

MAX_LENGTH = 64 * 1024
"""Longer values are not matched against patterns that have no nested repetition, either."""

MAX_LENGTH_NESTED = 2048
"""The bound for patterns with a repetition inside a repetition, where matching may take more than linear time."""

_POSIX = {
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Upper": "A-Z",
    "Lower": "a-z",
    "Punct": r"!-/:-@\[-`{-~",
    "Space": r" \t\n\x0b\f\r",
    "XDigit": "0-9a-fA-F",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "Graph": "!-~",
    "Print": " -~",
    "ASCII": r"\x00-\x7f",
}
_ALIASES = {"IsAlphabetic": "L", "IsDigit": "Nd", "IsPunctuation": "P", "IsLetter": "L", "IsWhite_Space": "Z", "IsL": "L", "IsLatin": "L"}
_NESTED = re.compile(r"\((?:[^()\\]|\\.)*[*+}](?:[^()\\]|\\.)*\)(?:[*+]|\{\d*,)")


def full_match(pattern: str, value: str) -> bool:
    compiled, limit = _compiled(pattern)
    return compiled is None or len(value) > limit or compiled.fullmatch(value) is not None


@cache
def _compiled(pattern: str) -> tuple[re.Pattern[str] | None, int]:
    limit = MAX_LENGTH_NESTED if _NESTED.search(pattern) else MAX_LENGTH
    try:
        return re.compile(translate(pattern)), limit
    except (re.error, OverflowError, RecursionError, LookupError):
        return None, limit


def translate(pattern: str) -> str:
    """The pattern in Python's language. Raises LookupError for a class Python cannot say."""
    out, at, in_class = [], 0, False
    while at < len(pattern):
        character = pattern[at]
        if character == "\\" and at + 1 < len(pattern):
            text, at = _escape(pattern, at, in_class)
            out.append(text)
            continue
        if character == "[":
            if in_class:
                if pattern[at + 1 : at + 2] == "^" or "&&" in pattern:
                    raise LookupError("a class inside a class")
                out.append("\\[")
                at += 1
                continue
            in_class = True
            if pattern[at + 1 : at + 2] == "^":
                out.append("[^")
                at += 2
                continue
        elif character == "]" and in_class:
            in_class = False
        out.append(character)
        at += 1
    return "".join(out)


def _escape(pattern: str, at: int, in_class: bool) -> tuple[str, int]:
    """The translation of the escape at `at`, and where it ends."""
    letter = pattern[at + 1]
    if letter in "pP":
        return _category(pattern, at, in_class)
    if letter == "Q":
        end = pattern.find("\\E", at)
        end = len(pattern) if end < 0 else end
        return re.escape(pattern[at + 2 : end]), end + 2
    if letter in "zZ":
        return r"\Z", at + 2
    if letter == "h":
        return r" \t\xa0" if in_class else r"[ \t\xa0]", at + 2
    if letter == "x" and pattern[at + 2 : at + 3] == "{":
        end = pattern.index("}", at)
        return re.escape(chr(int(pattern[at + 3 : end], 16))), end + 1
    if letter == "e":
        return r"\x1b", at + 2
    if letter == "-" or not letter.isalnum():
        return "\\" + letter, at + 2
    return pattern[at : at + 2], at + 2


def _category(pattern: str, at: int, in_class: bool) -> tuple[str, int]:
    negated = pattern[at + 1] == "P"
    if pattern[at + 2 : at + 3] == "{":
        end = pattern.index("}", at)
        name, end = pattern[at + 3 : end], end + 1
    else:
        name, end = pattern[at + 2 : at + 3], at + 3
    inside = _POSIX.get(name) or _ranges(_ALIASES.get(name, name.removeprefix("Is")))
    if in_class:
        if negated:
            raise LookupError("a negated category inside a class")
        return inside, end
    return f"[{'^' if negated else ''}{inside}]", end


@cache
def _ranges(category: str) -> str:
    """All characters of a Unicode general category (`L`, `Nd`, …) as ranges of a class."""
    if category not in _CATEGORIES:
        raise LookupError(category)
    ranges, start = [], None
    for code in range(0x110001):
        inside = code <= 0x10FFFF and unicodedata.category(chr(code)).startswith(category)
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append((start, code - 1))
            start = None
    return "".join(f"{_literal(a)}-{_literal(b)}" if b > a else _literal(a) for a, b in ranges)


def _literal(code: int) -> str:
    return f"\\U{code:08x}"


_CATEGORIES = frozenset(
    [
        "C",
        "Cc",
        "Cf",
        "Cn",
        "Co",
        "Cs",
        "L",
        "Ll",
        "Lm",
        "Lo",
        "Lt",
        "Lu",
        "M",
        "Mc",
        "Me",
        "Mn",
        "N",
        "Nd",
        "Nl",
        "No",
        "P",
        "Pc",
        "Pd",
        "Pe",
        "Pf",
        "Pi",
        "Po",
        "Ps",
        "S",
        "Sc",
        "Sk",
        "Sm",
        "So",
        "Z",
        "Zl",
        "Zp",
        "Zs",
    ]
)
