"""The models' patterns: Java regular expressions, matched whole and within bounds.

Most are the same in Python's `re` (with ASCII classes, as in Java) and match there quickest. What `re` does not know (Unicode
properties, set operations) and what could take more than linear time (repeated groups, several repetitions) goes to the `regex`
package, which has both properties and a time limit. Only a few spellings need translating. A pattern that no engine here
takes (2 of the 4,876 of all models) is not checked: nothing valid is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache, lru_cache

TIME_LIMIT_S = 0.05
"""A value that takes longer does not match: valid ones are found quickly, it is the failing ones that backtrack."""

MAX_LENGTH = 64 * 1024
"""Longer values are not matched: their length is checked by other constraints."""

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
    "all": r"\x00-\U0010ffff",
    "LD": r"\p{L}\p{Nd}",
}
"""Java's POSIX classes are ASCII; written as the inside of a character class."""

_ESCAPE = re.compile(r"\\x\{([0-9A-Fa-f]+)\}|\\([pP])\{([A-Za-z]+)\}|\\Q(.*?)(?:\\E|\Z)|\\.|\[|\]", re.DOTALL)
_SURROGATES = re.compile(r"\\uD800\\uDC00-\\uDBFF\\uDFFF", re.IGNORECASE)
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]|\\.", re.DOTALL)
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_UNBOUNDED = re.compile(r"[*+]|\{\d+,\}")
_NEEDS_REGEX = re.compile(r"\\[pPhRX]|&&|[*+?}]\+")


def full_match(pattern: str, value: str) -> bool:
    if len(value) <= 256:
        return _remembered(pattern, value)
    return len(value) > MAX_LENGTH or _matcher(pattern)(value)


@lru_cache(8192)
def _remembered(pattern: str, value: str) -> bool:
    """Names and ARNs come again and again."""
    return _matcher(pattern)(value)


@cache
def _matcher(pattern: str) -> Callable[[str], bool]:
    said = translate(pattern)
    if not _NEEDS_REGEX.search(said) and _is_linear(said):
        try:
            with warnings.catch_warnings(action="ignore"):
                plain = re.compile(said, re.ASCII).fullmatch
            return lambda value: plain(value) is not None
        except re.error:
            pass
    return _bounded(said)


def _is_linear(pattern: str) -> bool:
    """No repeated group and at most one unbounded repetition: nothing to backtrack through."""
    bare = _CLASS.sub("x", pattern)
    return not _REPEATED_GROUP.search(bare) and len(_UNBOUNDED.findall(bare)) <= 1


def _bounded(said: str) -> Callable[[str], bool]:
    import regex

    try:
        flags = (regex.V1 if "&&" in said else regex.V0) | (0 if r"\p" in said.lower() else regex.ASCII)
        with warnings.catch_warnings(action="ignore"):
            bounded = regex.compile(said, flags).fullmatch
    except regex.error:
        return lambda value: True

    def match(value: str) -> bool:
        try:
            return bounded(value, timeout=TIME_LIMIT_S) is not None
        except TimeoutError:
            return False

    return match


@cache
def translate(pattern: str) -> str:
    """The pattern with Java's own spellings replaced: `\\x{…}`, `\\Q…\\E`, POSIX classes, surrogate ranges."""
    depth = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal depth
        code, letter, name, quoted = found.groups()
        if code:
            return f"\\U{int(code, 16):08x}"
        if quoted is not None:
            return re.escape(quoted)
        if letter:
            inside = _POSIX.get(name)
            if inside is None:
                return found.group()
            negated = "^" if letter == "P" else ""
            return inside if depth and not negated else f"[{negated}{inside}]"
        depth = 1 if found.group() == "[" else 0 if found.group() == "]" else depth
        return found.group()

    return _ESCAPE.sub(replace, _SURROGATES.sub(r"\\U00010000-\\U0010ffff", pattern)).replace("\\z", "\\Z")
