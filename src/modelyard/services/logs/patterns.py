"""The filter pattern language: terms of unstructured text, `[a, b=1*, …]` of columns, `{ $.a = 1 }` of JSON.

Text has terms, "phrases", ?any-of, -none-of and %regex%; columns are split at spaces, "…" and […] being one column each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.services.logs.conditions import Conditions, Failure, compiled, search

_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]*)%|([^\s"%]+))')
_UNQUOTED_NOT = re.compile(r"[^\w\s.\-/@#=*%+]")
_COLUMN = re.compile(r'"((?:[^"\\]|\\.)*)"|\[([^\]]*)\]|(\S+)')
_STEP = re.compile(r"""\.?(?:([^.\[\]]+)|\[(?:(\d+)|(\*)|'([^']*)'|"([^"]*)")\])""")
_AS_IT_IS = re.compile(r"[\w .:=+@#-]+", re.ASCII)
"""What stands in JSON as it is: no writer of JSON escapes these."""
Values = dict[str, str]


@dataclass(frozen=True)
class Pattern:
    """`match(message)`: the values it takes out of a message by selector (`$.a`, `$name`, `$1`), or None where it does not match.
    `value(message, selector)` finds any selector in a message that matches."""

    match: Callable[[str], Values | None]
    value: Callable[[str, str], str | None]
    kind: str
    names: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    """Texts that every message has that matches."""

    def __call__(self, message: str) -> bool:
        return self.match(message) is not None


def matcher(pattern: str, error: Failure) -> Pattern:
    """`error(text)` makes what is raised for a pattern that cannot be read."""
    text = pattern.strip()
    if text.startswith("{"):
        return _json(text, error)
    if text.startswith("["):
        return _columns(text, error)
    matches = _terms(text, error)
    terms = tuple(term for found in _TERM.finditer(text) if not found[1] and found[3] is None and "\0" not in (term := _term(found)))
    return Pattern(lambda message: {} if matches(message) else None, lambda message, selector: None, "text", terms=terms)


# --- text ------------------------------------------------------------------------------------------


def _terms(text: str, error: Failure) -> Callable[[str], bool]:
    if not text:
        return lambda message: True
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
    if len(every) == 1 and not without:
        return every[0]
    return lambda message: (
        all(test(message) for test in every)
        and not any(test(message) for test in without)
        and (not either or any(test(message) for test in either))
    )


def _test(found: re.Match[str], error: Failure) -> Callable[[str], bool]:
    if (bad := found[4] and _UNQUOTED_NOT.search(found[4])) is not None:
        raise error(f"Invalid character(s) in term '{bad[0]}'")
    if found[3] is not None:
        expression = compiled(found[3], error)
        return lambda message: search(expression, message, error)
    term = _term(found)
    return lambda message: term in message


def _term(found: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[4]


# --- JSON ------------------------------------------------------------------------------------------


def _json(text: str, error: Failure) -> Pattern:
    if not text.endswith("}"):
        raise error(f"Invalid metric filter pattern: no closing brace in {text!r}")
    conditions = Conditions(text[1:-1], error, "selector")
    holds = conditions.parse()
    paths = {selector: _path(selector, error) for selector in conditions.selectors}

    def match(message: str) -> Values | None:
        document = _document(message)
        if document is None or not holds(lambda selector: _follow(document, paths[selector])):
            return None
        return {s: _told(found[0]) for s, path in paths.items() if (found := _follow(document, path)) and found[0] is not None}

    def value(message: str, selector: str) -> str | None:
        document = _document(message)
        found = _follow(document, _path(selector, error)) if document is not None else []
        return _told(found[0]) if found and found[0] is not None else None

    names = [step for selector in conditions.present for step in paths[selector] if isinstance(step, str)]
    terms = () if conditions.choices else tuple(term for term in dict.fromkeys([*names, *conditions.texts]) if _AS_IT_IS.fullmatch(term))
    return Pattern(match, value, "json", terms=terms)


def _document(message: str) -> Any:
    if message.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError:
        return None


def _path(selector: str, error: Failure) -> list[str | int | None]:
    """Names, numbers of elements and None for every element."""
    steps: list[str | int | None] = []
    place, text = 1, selector
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None:
            raise error(f"Invalid property selector {selector!r}")
        name, number, star, single, double = found.groups()
        steps.append(int(number) if number else None if star or name == "*" else next(n for n in (name, single, double) if n is not None))
        place = found.end()
    if not selector.startswith("$") or not steps:
        raise error(f"Invalid property selector {selector!r}")
    return steps


def _follow(value: Any, steps: list[str | int | None]) -> list[Any]:
    found = [value]
    for step in steps:
        following: list[Any] = []
        for one in found:
            if step is None:
                following += one if isinstance(one, list) else one.values() if isinstance(one, dict) else []
            elif isinstance(step, int):
                following += one[step : step + 1] if isinstance(one, list) else []
            elif isinstance(one, dict) and step in one:
                following.append(one[step])
        found = following
    return found


def _told(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


# --- columns -----------------------------------------------------------------------------------------


def _columns(text: str, error: Failure) -> Pattern:
    if not text.endswith("]"):
        raise error(f"Invalid metric filter pattern: no closing bracket in {text!r}")
    if not text[1:-1].strip():  # no column at all: everything, as AWS takes it
        return Pattern(lambda message: {}, lambda message, selector: None, "columns")
    names, tests, gap, terms = [], [], None, []
    for place, part in enumerate(_split(text[1:-1])):
        if part == "...":
            if gap is not None:
                raise error("A filter pattern has at most one ellipsis.")
            gap = place
            continue
        if re.fullmatch(r"[\w$.@-]*", part):
            names.append(part or str(len(names) + 1))
            continue
        conditions = Conditions(part, error, "word")
        holds = conditions.parse()
        if len(conditions.selectors) != 1:
            raise error(f"Invalid metric filter pattern: {part!r} is about more than one column")
        terms += [] if conditions.choices else conditions.texts
        tests.append((len(names), holds))
        names.append(conditions.selectors[0])

    def columns(message: str) -> list[str] | None:
        found = [next(group for group in groups if group is not None) for groups in (m.groups() for m in _COLUMN.finditer(message))]
        if gap is None:
            return found if len(found) == len(names) else None
        return [*found[:gap], *found[len(found) - len(names) + gap :]] if len(found) >= len(names) else None

    def match(message: str) -> Values | None:
        found = columns(message)
        if found is None or not all(holds(lambda _, at=at: [found[at]]) for at, holds in tests):
            return None
        return {f"${name}": value for name, value in zip(names, found, strict=True)}

    return Pattern(match, lambda message, selector: (match(message) or {}).get(selector), "columns", tuple(names), tuple(terms))


def _split(text: str) -> list[str]:
    """At commas outside of quotes, expressions and parentheses."""
    parts, start, depth, quote = [], 0, 0, ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[place - 1] != "\\" else quote
        elif letter in '"%':
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]
