"""The part of the filter pattern language that matches unstructured text: terms, "phrases", ?any-of, -none-of, %regex%.

JSON (`{ $.x = 1 }`) and space-delimited (`[a, b]`) patterns are refused with a message that says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import regex

LONGEST_SEARCH_SECONDS = 0.05
"""Of a filter's expression in one message: it is the client's, and some take hours."""
_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]*)%|([^\s"%]+))')


def matcher(pattern: str, error: Callable[[str], Exception]) -> Callable[[str], bool]:
    """`matches(message)` of a pattern; `error(text)` makes what is raised for a pattern that cannot be read."""
    text = pattern.strip()
    if not text:
        return lambda message: True
    if text[0] in "{[":
        raise error('JSON and space-delimited filter patterns are not built yet; use terms, "phrases", ?either, -without or %regex%.')
    every: list[Callable[[str], bool]] = []
    either: list[Callable[[str], bool]] = []
    without: list[Callable[[str], bool]] = []
    kinds = {"": every, "?": either, "-": without}
    place = 0
    while place < len(text):
        found = _TERM.match(text, place)
        if found is None:
            raise error(f"Invalid filter pattern at character {place}: {text!r}")
        kinds[found[1]].append(_test(found, error))
        place = found.end()
    if either and (every or without):
        # AWS documents that ?terms are ignored beside other terms.
        either = []

    def matches(message: str) -> bool:
        return (
            all(test(message) for test in every)
            and not any(test(message) for test in without)
            and (not either or any(test(message) for test in either))
        )

    return matches


def _test(found: re.Match[str], error: Callable[[str], Exception]) -> Callable[[str], bool]:
    if found[3] is not None:
        try:
            expression = regex.compile(found[3])
        except regex.error as problem:
            raise error(f"Invalid regular expression in the filter pattern: {problem}") from problem
        return lambda message: _found(expression, message, error)
    term = found[2].replace('\\"', '"') if found[2] is not None else found[4]
    return lambda message: term in message


def _found(expression: Any, message: str, error: Callable[[str], Exception]) -> bool:
    try:
        return expression.search(message, timeout=LONGEST_SEARCH_SECONDS) is not None
    except TimeoutError:
        raise error("The regular expression of the filter pattern takes too long.") from None
