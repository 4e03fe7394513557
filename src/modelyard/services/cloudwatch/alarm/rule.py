"""The rule of a composite alarm: `ALARM("a") AND (OK(b) OR NOT INSUFFICIENT_DATA(arn))`, TRUE, FALSE, `AT_LEAST(50%, NOT OK, (a, b))`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MOST_CHILDREN, MOST_ELEMENTS, DEEPEST = 100, 500, 200
STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")
_QUOTED = r'"(?:[^"\\]|\\.)+"' + r"|'[^']+'"
_TOKEN = re.compile(
    rf"""\s*(?:
        (?P<state>ALARM|OK|INSUFFICIENT_DATA) \s*\(\s* (?P<name>{_QUOTED}|[^()"']+?) \s*\)
      | AT_LEAST \s*\(\s* "?(?P<number>\d+)(?P<percent>%?)"? \s*,\s* (?P<negated>NOT\s+)?(?P<all>ALARM|OK|INSUFFICIENT_DATA) \s*,
        \s*\( (?P<names> \s*(?:{_QUOTED}|[^()"',\s]+)\s* (?:,\s*(?:{_QUOTED}|[^()"',\s]+)\s*)* ) \) \s*\)
      | (?P<word>AND|OR|NOT|TRUE|FALSE)\b
      | (?P<sign>[()])
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_NAME = re.compile(rf"""({_QUOTED}|[^()"',\s]+)""")


class RuleError(Exception):
    """What is wrong with a rule."""


@dataclass(frozen=True)
class Is:
    """Whether the alarm `name` (as written: a name or an ARN) is in `state`."""

    state: str
    name: str


@dataclass(frozen=True)
class Constant:
    value: bool


@dataclass(frozen=True)
class Not:
    inner: Any


@dataclass(frozen=True)
class Both:
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Either:
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class AtLeast:
    """Whether so many of `parts` hold: a number of them, or per cent."""

    number: int
    percent: bool
    parts: tuple[Any, ...]


def parse(text: str) -> Any:
    """The tree of a rule; raises RuleError."""
    tokens = list(_tokens(text))
    if sum(_weight(*token) for token in tokens) > MOST_ELEMENTS:
        raise RuleError(f"AlarmRule must not have more than {MOST_ELEMENTS} elements")
    parser = _Parser(tokens)
    tree = parser.either()
    if parser.at < len(tokens):
        raise RuleError(f"unexpected {tokens[parser.at][0]}")
    if len(set(children(tree))) > MOST_CHILDREN:
        raise RuleError(f"AlarmRule must not reference more than {MOST_CHILDREN} alarms")
    return tree


def children(tree: Any) -> Iterator[str]:
    """The alarms a rule looks at, as written."""
    if isinstance(tree, Is):
        yield tree.name
    for part in (tree.inner,) if isinstance(tree, Not) else getattr(tree, "parts", ()):
        yield from children(part)


def holds(tree: Any, state_of: Callable[[str], str | None]) -> bool:
    """Whether a rule is true; `state_of(name as written)` is None for an alarm that is gone."""
    if isinstance(tree, Is):
        return state_of(tree.name) == tree.state
    if isinstance(tree, Constant):
        return tree.value
    if isinstance(tree, Not):
        return not holds(tree.inner, state_of)
    results = (holds(part, state_of) for part in tree.parts)
    if isinstance(tree, AtLeast):
        true = sum(results)
        return true * 100 >= tree.number * len(tree.parts) if tree.percent else true >= tree.number
    return all(results) if isinstance(tree, Both) else any(results)


def name_of(written: str) -> str:
    """The alarm's name of a name or an ARN."""
    return written.split(":", 6)[6] if written.startswith("arn:") and written.count(":") >= 6 else written


def _tokens(text: str) -> Iterator[tuple[str, Any]]:
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise RuleError(f"unexpected {text[at:].split()[0]!r}")
        if found["state"]:
            yield "is", Is(found["state"].upper(), _bare(found["name"]))
        elif found["all"]:
            yield "is", _at_least(found)
        else:
            yield (found["word"].upper() if found["word"] else found["sign"]), None
        at = found.end()


def _bare(written: str) -> str:
    return re.sub(r"\\(.)", r"\1", written[1:-1]) if written[0] in "\"'" else written


def _at_least(found: re.Match[str]) -> AtLeast:
    state, number, percent = found["all"].upper(), int(found["number"]), bool(found["percent"])
    alarms = [Is(state, _bare(written)) for written in _NAME.findall(found["names"])]
    if not 1 <= number <= (100 if percent else len(alarms)):
        most = "100%" if percent else f"the number of its alarms ({len(alarms)})"
        raise RuleError(f"the threshold of AT_LEAST must be between 1 and {most}, it is {found['number']}{found['percent']}")
    return AtLeast(number, percent, tuple(Not(alarm) if found["negated"] else alarm for alarm in alarms))


def _weight(kind: str, value: Any) -> int:
    """How many elements a token counts as."""
    return len(value.parts) if isinstance(value, AtLeast) else kind in ("is", "TRUE", "FALSE", "(")


class _Parser:
    def __init__(self, tokens: list[tuple[str, Any]]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def _kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else "the end"

    def _joined(self, word: str, part: Callable[[], Any], make: Callable[[tuple[Any, ...]], Any]) -> Any:
        parts = [part()]
        while self._kind() == word:
            self.at += 1
            parts.append(part())
        return parts[0] if len(parts) == 1 else make(tuple(parts))

    def either(self) -> Any:
        return self._joined("OR", self.both, Either)

    def both(self) -> Any:
        return self._joined("AND", self.one, Both)

    def one(self) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise RuleError("it is nested too deeply")
        kind, value = self.tokens[self.at] if self.at < len(self.tokens) else ("the end", None)
        self.at += 1
        if kind == "is":
            made = value
        elif kind in ("TRUE", "FALSE"):
            made = Constant(kind == "TRUE")
        elif kind == "NOT":
            made = Not(self.one())
        elif kind == "(":
            made = self.either()
            if self._kind() != ")":
                raise RuleError("a parenthesis is not closed")
            self.at += 1
        else:
            raise RuleError(f"expected a condition but found {kind}")
        self.depth -= 1
        return made
