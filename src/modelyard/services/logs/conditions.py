"""Conditions of filter patterns: comparisons of selectors joined by && and ||, for JSON and space-delimited patterns alike.

A compiled condition is asked with a function that answers the values a selector finds (none, one, or many through `[*]`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.lazily import regex

LONGEST_SEARCH_SECONDS = 0.05
"""Of a filter's expression in one message: it is the client's, and some take hours."""
DEEPEST = 40
Find = Callable[[str], list[Any]]
Condition = Callable[[Find], bool]
Failure = Callable[[str], Exception]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<regex>%(?:[^%\\]|\\.)+%)
    |(?P<op>&&|\|\||!=|<=|>=|[=<>()])
    |(?P<selector>\$(?:\.?[^\s=<>!&|()"%,\[\]]+|\[(?:\d+|\*|'[^']*'|"[^"]*")\])*)
    |(?P<word>[^\s=<>!&|()"%,\[\]{}]+))""",
    re.VERBOSE,
)
_REGEX_NOT = re.compile(r"[^A-Za-z0-9:_#=@/;,\-^$?\[\]{}|\\*+. ]")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def search(expression: Any, value: str, error: Failure) -> bool:
    try:
        return expression.search(value, timeout=LONGEST_SEARCH_SECONDS) is not None
    except TimeoutError:
        raise error("The regular expression of the filter pattern takes too long.") from None


def compiled(expression: str, error: Failure) -> Any:
    """What AWS's patterns may have: no groups, no letters beyond ASCII."""
    if (bad := _REGEX_NOT.search(re.sub(r"\\.", "", expression))) is not None:
        raise error(f"Invalid character(s) in term '{bad[0]}'")
    try:
        return regex.compile(expression)
    except (regex.error, RecursionError) as problem:
        raise error(f"Invalid regular expression in the filter pattern: {problem}") from problem


@dataclass
class Conditions:
    """Parses one text. `selector_kind` is "selector" (`$.a`) or "word" (a column's name)."""

    text: str
    error: Failure
    selector_kind: str
    selectors: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Plain texts that a value must have in it, if there are no choices."""
    present: list[str] = field(default_factory=list)
    """Selectors that must find something, if there are no choices."""
    choices: bool = False
    _at: int = 0
    _depth: int = 0

    def parse(self) -> Condition:
        found = self._either()
        if self.text[self._at :].strip():
            raise self._bad()
        return found

    def _peek(self) -> tuple[str, str, int]:
        found = _TOKEN.match(self.text, self._at)
        if found is None:
            if self.text[self._at :].strip():
                raise self._bad()
            return "end", "", self._at
        return found.lastgroup, found[found.lastgroup], found.end()

    def _next(self) -> tuple[str, str]:
        kind, said, self._at = self._peek()
        return kind, said

    def _take(self, *words: str) -> str | None:
        kind, said, end = self._peek()
        if kind in ("op", "word") and said.upper() in words:
            self._at = end
            return said.upper()
        return None

    def _bad(self) -> Exception:
        return self.error(f"Invalid metric filter pattern: it cannot be read at character {self._at} of {self.text.strip()!r}")

    def _either(self) -> Condition:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.error("The filter pattern is nested too deep.")
        parts = [self._both()]
        while self._take("||"):
            parts.append(self._both())
            self.choices = True
        self._depth -= 1
        return parts[0] if len(parts) == 1 else lambda find: any(part(find) for part in parts)

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._take("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda find: all(part(find) for part in parts)

    def _one(self) -> Condition:
        if self._take("("):
            inner = self._either()
            if not self._take(")"):
                raise self._bad()
            return inner
        kind, selector = self._next()
        if kind != self.selector_kind:
            raise self._bad()
        if selector not in self.selectors:
            self.selectors.append(selector)
        if self._take("IS"):
            self.present.append(selector)
            return self._state(selector)
        if self._take("EXISTS"):
            self.present.append(selector)
            return lambda find: bool(find(selector))
        if self._take("NOT"):
            if not self._take("EXISTS"):
                raise self._bad()
            return lambda find: not find(selector)
        self.present.append(selector)
        sign = self._take("=", "!=", "<", "<=", ">", ">=")
        if sign is None:
            raise self._bad()
        test = self._value(sign)
        return lambda find: any(test(value) for value in find(selector))

    def _state(self, selector: str) -> Condition:
        wanted = self._take("NULL", "TRUE", "FALSE")
        if wanted is None:
            raise self._bad()
        state = {"NULL": None, "TRUE": True, "FALSE": False}[wanted]
        return lambda find: any(value is state for value in find(selector))

    def _value(self, sign: str) -> Callable[[Any], bool]:
        kind, said = self._next()
        if kind == "regex":
            expression, error = compiled(said[1:-1], self.error), self.error
            if sign not in ("=", "!="):
                raise self._bad()
            return lambda value: _is_plain(value) and search(expression, _text(value), error) is (sign == "=")
        if kind not in ("string", "word"):
            raise self._bad()
        if kind == "word" and _NUMBER.fullmatch(said):
            return _numeric(sign, float(said), said)
        if sign not in ("=", "!="):
            raise self._bad()
        wanted = re.sub(r"\\(.)", r"\1", said[1:-1]) if kind == "string" else said
        if sign == "=":
            self.texts += [piece for piece in re.split(r"\*+", wanted) if piece]
        whole = re.compile(".*".join(re.escape(piece) for piece in re.split(r"\*+", wanted)), re.DOTALL)
        return lambda value: _is_plain(value) and (whole.fullmatch(_text(value)) is not None) is (sign == "=")


# --- helpers -------------------------------------------------------------------------------------


def as_number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _numeric(sign: str, wanted: float, said: str) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        found = as_number(value)
        if found is None:
            return sign == "!=" and _is_plain(value) and _text(value) != said
        match sign:
            case "=":
                return found == wanted
            case "!=":
                return found != wanted
            case "<":
                return found < wanted
            case "<=":
                return found <= wanted
            case ">":
                return found > wanted
        return found >= wanted

    return test


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
