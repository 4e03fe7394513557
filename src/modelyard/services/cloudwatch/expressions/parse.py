"""Text → tree: a small Pratt parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')|(?P<sign><=|>=|==|!=|&&|\|\||[-+*/^()<>,\[\]]))"
)
_POWERS = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, ">": 3, "<=": 3, ">=": 3, "+": 4, "-": 4, "*": 5, "/": 5, "^": 7,
}  # fmt: skip
_WORDS = {"AND": "&&", "OR": "||"}
UNARY_POWER, DEEPEST = 6, 100


class ExpressionError(Exception):
    """What is wrong with an expression, in words for its writer."""


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Name:
    """A query's id, or a word like REPEAT or DESC."""

    value: str


@dataclass(frozen=True)
class Unary:
    operand: Any


@dataclass(frozen=True)
class Binary:
    sign: str
    left: Any
    right: Any


@dataclass(frozen=True)
class Function:
    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Array:
    items: tuple[Any, ...]


def parse(text: str) -> Any:
    """The tree of an expression; raises ExpressionError."""
    parser = _Parser(text)
    tree = parser.expression(0)
    if parser.kind:
        raise ExpressionError(f"Unexpected {parser.value!r} at position {parser.place}")
    return tree


def names(tree: Any) -> Iterator[str]:
    """Ids (lower case first, as ids of queries are) that a tree mentions."""
    if isinstance(tree, Name):
        if tree.value[0].islower():
            yield tree.value
    else:
        for child in children(tree):
            yield from names(child)


def functions(tree: Any) -> Iterator[str]:
    if isinstance(tree, Function):
        yield tree.name
    for child in children(tree):
        yield from functions(child)


def children(tree: Any) -> tuple[Any, ...]:
    if isinstance(tree, Unary):
        return (tree.operand,)
    if isinstance(tree, Binary):
        return (tree.left, tree.right)
    if isinstance(tree, Function):
        return tree.arguments
    return tree.items if isinstance(tree, Array) else ()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self.kind, self.value, self.place = "", "", 0
        self._step()

    def _step(self) -> None:
        rest = self._text[self._at :]
        if not rest.strip():
            self.kind, self.value, self.place = "", "end of expression", len(self._text)
            return
        found = _TOKEN.match(rest)
        if found is None:
            raise ExpressionError(f"Unexpected character {rest.strip()[0]!r} at position {self._at + len(rest) - len(rest.lstrip())}")
        self.kind, self.value = str(found.lastgroup), found.group(str(found.lastgroup))
        self.place = self._at + found.start(str(found.lastgroup))
        if self.kind == "name" and self.value.upper() in _WORDS:
            self.kind, self.value = "sign", _WORDS[self.value.upper()]
        self._at += found.end()

    def _take(self, sign: str) -> bool:
        if self.kind == "sign" and self.value == sign:
            self._step()
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise ExpressionError(f"Expected {sign!r} but found {self.value!r} at position {self.place}")

    def expression(self, power: int) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError("The expression is nested too deeply")
        left = self._prefix()
        while self.kind == "sign" and _POWERS.get(self.value, 0) > power:
            sign = self.value
            self._step()
            left = Binary(sign, left, self.expression(_POWERS[sign] - (1 if sign == "^" else 0)))
        self._depth -= 1
        return left

    def _prefix(self) -> Any:
        kind, value = self.kind, self.value
        if kind == "number":
            self._step()
            return Number(float(value))
        if kind == "text":
            self._step()
            return Text(re.sub(r"\\(.)", r"\1", value[1:-1]))
        if kind == "name":
            self._step()
            return Function(value.upper(), self._list(")")) if self._take("(") else Name(value)
        if self._take("-"):
            return Unary(self.expression(UNARY_POWER))
        if self._take("+"):
            return self.expression(UNARY_POWER)
        if self._take("("):
            inner = self.expression(0)
            self._expect(")")
            return inner
        if self._take("["):
            return Array(self._list("]"))
        raise ExpressionError(f"Unexpected {value!r} at position {self.place}")

    def _list(self, end: str) -> tuple[Any, ...]:
        items: list[Any] = []
        if self._take(end):
            return ()
        items.append(self.expression(0))
        while self._take(","):
            items.append(self.expression(0))
        self._expect(end)
        return tuple(items)
