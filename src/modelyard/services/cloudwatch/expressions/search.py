"""The search expressions of SEARCH(): `{Namespace,Dimension,…} words MetricName="x" AND NOT (…)`.

Source: "CloudWatch search expression syntax". A schema in braces is an exact one: the namespace and all dimension names. A word
matches a part of any token (namespace, metric name, dimension names and values) without regard to case; a text in double quotes
matches a whole one; `Name=word` or `Name=(a OR b)` looks at one property or dimension only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelyard.services.cloudwatch.expressions.parse import ExpressionError


@dataclass(frozen=True)
class Metric:
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


Test = Callable[[Metric], bool]
_SCHEMA = re.compile(r"\s*\{([^}]*)\}")
_TOKEN = re.compile(r'\s*(?:([()=])|"((?:[^"\\]|\\.)*)"|([^\s()="{}]+))')


def matcher(text: str, account: str = "") -> Test:
    """Whether a metric of this account is found; raises ExpressionError."""
    schema = _SCHEMA.match(text)
    tests: list[Test] = []
    if schema is not None:
        namespace, *names = [part.strip().strip('"') for part in re.findall(r'"[^"]*"|[^,]+', schema[1])] or [""]
        wanted = sorted(names)
        tests.append(lambda metric: metric.namespace == namespace and sorted(n for n, _ in metric.dimensions) == wanted)
        text = text[schema.end() :]
    tokens = _tokens(text)
    if tokens:
        parser = _Parser(tokens, account)
        tests.append(parser.either())
        if parser.at < len(tokens):
            raise ExpressionError(f"Unexpected {tokens[parser.at][1]!r} in the search expression")
    if not tests:
        raise ExpressionError("The search expression is empty")
    return lambda metric: all(test(metric) for test in tests)


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text): kind is sign, quoted or word."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ExpressionError(f"Unexpected {text[at:].strip()[:1]!r} in the search expression")
        sign, quoted, word = token.groups()
        found.append(("sign", sign) if sign else ("quoted", re.sub(r"\\(.)", r"\1", quoted)) if quoted is not None else ("word", word))
        at = token.end()
    return found


class _Parser:
    def __init__(self, tokens: Sequence[tuple[str, str]], account: str) -> None:
        self.tokens, self.at, self._read, self._account = tokens, 0, _all_tokens, account

    def _next(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("", "")

    def either(self) -> Test:
        tests = [self.both()]
        while self._next() == ("word", "OR"):
            self.at += 1
            tests.append(self.both())
        return lambda metric: any(test(metric) for test in tests)

    def both(self) -> Test:
        tests = [self.one()]
        while self._next()[0] and self._next() not in (("word", "OR"), ("sign", ")")):
            if self._next() == ("word", "AND"):
                self.at += 1
            tests.append(self.one())
        return lambda metric: all(test(metric) for test in tests)

    def one(self) -> Test:
        if self._next() == ("word", "NOT"):
            self.at += 1
            inner = self.one()
            return lambda metric: not inner(metric)
        if self._next() == ("sign", "("):
            return self._group(self.either)
        kind, value = self._next()
        if kind not in ("quoted", "word"):
            raise ExpressionError(f"Expected a word but found {value or 'the end'!r} in the search expression")
        self.at += 1
        if self._next() != ("sign", "="):
            return _word(kind, value, self._read)
        self.at += 1
        return self._property(value)

    def _group(self, inside: Callable[[], Test]) -> Test:
        self.at += 1
        inner = inside()
        if self._next() != ("sign", ")"):
            raise ExpressionError("A parenthesis is not closed in the search expression")
        self.at += 1
        return inner

    def _property(self, name: str) -> Test:
        def read(metric: Metric) -> list[str]:
            if name.lower() == "metricname":
                return [metric.name]
            if name.lower() == "namespace":
                return [metric.namespace]
            if name.lower() == ":aws.accountid":
                return [self._account, "LOCAL"]
            return [value for key, value in metric.dimensions if key == name]

        if self._next() == ("sign", "("):
            outside, self._read = self._read, read
            try:
                return self._group(self.either)
            finally:
                self._read = outside
        kind, value = self._next()
        if kind not in ("quoted", "word"):
            raise ExpressionError(f"{name}= has no value in the search expression")
        self.at += 1
        return _word(kind, value, read)


def _all_tokens(metric: Metric) -> list[str]:
    return [metric.namespace, metric.name, *(part for pair in metric.dimensions for part in pair)]


def _word(kind: str, value: str, read: Callable[[Metric], list[str]]) -> Test:
    low = value.lower()
    if kind == "quoted":
        return lambda metric: any(low == token.lower() for token in read(metric))
    return lambda metric: any(low in token.lower() for token in read(metric))
