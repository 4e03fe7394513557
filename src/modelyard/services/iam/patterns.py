"""Wildcards and policy variables: `*` any run of characters, `?` one character, `${aws:username}` a value of the request.

Source: IAM User Guide, "IAM policy elements: Variables and tags". Variables have meaning in documents of
version 2012-10-17 only; `${*}`, `${?}` and `${$}` are the characters themselves; a value that a variable
brings is literal text, never a wildcard; a variable without a value (and without a default) matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from modelyard.services.iam.context import Context

Matcher = Callable[[str], bool]
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULT = re.compile(r"^(.*?),\s*'(.*)'$", re.DOTALL)


@lru_cache(maxsize=16384)
def glob(text: str) -> Matcher:
    """A test of a whole string against `text` with wildcards."""
    if text == "*":
        return _anything
    if "?" not in text:
        star = text.find("*")
        if star < 0:
            return text.__eq__
        if star == len(text) - 1:
            prefix = text[:-1]
            return lambda value: value.startswith(prefix)
    return _matcher(_tokens(text))


def _anything(value: str) -> bool:
    return True


def _tokens(text: str) -> list[str | None]:
    """Regular expressions of single characters; None for a star."""
    return [None if c == "*" else "." if c == "?" else re.escape(c) for c in text]


def _matcher(tokens: list[str | None]) -> Matcher:
    """A test of a whole string. Between two stars the first place that fits is taken for good (an atomic group): that is
    enough for wildcards, and no pattern can make it try again and again."""
    parts = [""]
    for token in tokens:
        if token is None:
            parts.append("")
        else:
            parts[-1] += token
    if len(parts) == 1:
        expression = re.compile(parts[0], re.DOTALL)
    else:
        middle = "".join(f"(?>.*?{part})" for part in parts[1:-1] if part)
        expression = re.compile(f"{parts[0]}{middle}.*{parts[-1]}", re.DOTALL)
    return lambda value: expression.fullmatch(value) is not None


def has_variables(text: str) -> bool:
    return "${" in text


def variable_names(text: str) -> list[str]:
    """The condition keys that the variables in `text` read."""
    return [_split(body)[0] for body in _VARIABLE.findall(text) if body not in ("*", "?", "$")]


def _split(body: str) -> tuple[str, str | None]:
    found = _DEFAULT.match(body)
    return (found[1].strip(), found[2]) if found else (body.strip(), None)


LITERAL = str.maketrans({"*": "\ue000", "?": "\ue001"})
"""Stands for wildcard signs that are meant as they are: those that a value of the request brings."""


def fill(text: str, context: Context, signs: Mapping[int, str] | None = None) -> str | None:
    """`text` with its variables replaced by plain values (their characters by `signs`); None where one has no (single) value."""
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        body = found[1]
        got = body if body in ("*", "?", "$") else _value(body, context)
        missing = missing or got is None
        return (got or "").translate(signs or {})

    filled = _VARIABLE.sub(value, text)
    return None if missing else filled


def literal_start(text: str) -> str:
    """What every value that matches `text` begins with: up to its first variable or wildcard."""
    return re.split(r"[*?]|\$\{", text, maxsplit=1)[0]


def glob_with(text: str, context: Context) -> Matcher | None:
    """As `glob`, with the variables in `text` filled in; None where one has no value."""
    values = []
    for body in _bodies(text):
        value = body if body in ("*", "?", "$") else _value(body, context)
        if value is None:
            return None
        values.append(value)
    return _filled(text, tuple(values))


@lru_cache(maxsize=4096)
def _bodies(text: str) -> tuple[str, ...]:
    return tuple(_VARIABLE.findall(text))


@lru_cache(maxsize=16384)
def _filled(text: str, values: tuple[str, ...]) -> Matcher:
    tokens: list[str | None] = []
    at = 0
    for found, value in zip(_VARIABLE.finditer(text), values, strict=True):
        tokens += _tokens(text[at : found.start()])
        tokens.append(re.escape(value))
        at = found.end()
    return _matcher(tokens + _tokens(text[at:]))


def _value(body: str, context: Context) -> str | None:
    key, default = _split(body)
    values = context.get(key.lower())
    return values[0] if values and len(values) == 1 else default
