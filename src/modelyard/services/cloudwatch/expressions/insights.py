"""Metrics Insights: `SELECT FUNCTION(metric) FROM namespace | SCHEMA(…) [WHERE …] [GROUP BY …] [ORDER BY FUNCTION() [ASC | DESC]] [LIMIT n]`.

Source: "Query components and syntax in CloudWatch Metrics Insights". Keywords do not mind their case, names do. Names with anything but letters,
digits and underscores are in double quotes, values in single ones. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from modelyard.services.cloudwatch.expressions.parse import ExpressionError
from modelyard.services.cloudwatch.expressions.search import Metric

FUNCTIONS = {"AVG": "Average", "COUNT": "SampleCount", "MAX": "Maximum", "MIN": "Minimum", "SUM": "Sum"}
"""Their names as statistics."""
MOST_SERIES = 500
ACCOUNT = "AWS.AccountId"
OTHER = "Other"
"""The group of metrics that lack a dimension of GROUP BY."""
_TOKEN = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)+)"|'((?:[^'\\]|\\.)*)'|([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)|(\d+)|(!=|[=(),]))""")
_BEGIN = re.compile(r"\s*select\b", re.IGNORECASE)


@dataclass(frozen=True)
class Query:
    function: str
    metric: str
    namespace: str
    schema: frozenset[str] | None = None
    where: tuple[tuple[str, bool, str], ...] = ()
    """(label, whether it shall be equal, value)."""
    groups: tuple[str, ...] = ()
    order: str | None = None
    down: bool = False
    limit: int = MOST_SERIES

    def matches(self, metric: Metric, account: str) -> bool:
        """Whether a metric counts."""
        if (metric.name, metric.namespace) != (self.metric, self.namespace):
            return False
        labels = {**dict(metric.dimensions), ACCOUNT: account}
        if self.schema is not None and self.schema != {name for name, _ in metric.dimensions}:
            return False
        return all((labels.get(name) == value) is equal for name, equal, value in self.where)

    def group(self, metric: Metric, account: str) -> tuple[str, ...]:
        labels = {**dict(metric.dimensions), ACCOUNT: account}
        return tuple(labels.get(name, OTHER) for name in self.groups)


def is_insights(text: str) -> bool:
    return _BEGIN.match(text) is not None


def parse(text: str) -> Query:
    """Raises ExpressionError."""
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip().removesuffix(";")
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ExpressionError(f"Metrics Insights query: unexpected {text[at:].strip()[:10]!r} at position {at}")
            kind = ("name", "value", "word", "number", "sign")[(found.lastindex or 1) - 1]
            value = found[found.lastindex or 1]
            self._tokens.append((kind, re.sub(r"\\(.)", r"\1", value) if kind in ("name", "value") else value))
            at = found.end()
        self._at = 0

    def query(self) -> Query:
        self._words("SELECT")
        function = self._function()
        self._sign("(")
        metric = self._name()
        self._sign(")")
        self._words("FROM")
        namespace, schema = self._source()
        where = tuple(self._conditions()) if self._take("WHERE") else ()
        groups: list[str] = []
        if self._take("GROUP"):
            self._words("BY")
            groups = self._names()
        order, down = self._order()
        limit = self._limit()
        if self._at < len(self._tokens):
            self._wrong("the end of the query")
        return Query(function, metric, namespace, schema, where, tuple(groups), order, down, limit)

    def _source(self) -> tuple[str, frozenset[str] | None]:
        if self._next()[0] != "word" or self._next()[1].upper() != "SCHEMA":
            return self._name(), None
        self._at += 1
        self._sign("(")
        namespace, *dimensions = self._names()
        self._sign(")")
        return namespace, frozenset(dimensions)

    def _conditions(self) -> list[tuple[str, bool, str]]:
        found = []
        while True:
            closing = 0
            while self._next() == ("sign", "("):
                self._at, closing = self._at + 1, closing + 1
            name, sign = self._name(), self._next()
            if sign not in (("sign", "="), ("sign", "!=")):
                self._wrong("= or !=")
            self._at += 1
            kind, value = self._next()
            if kind != "value":
                self._wrong("a value in single quotes")
            self._at += 1
            found.append((name, sign[1] == "=", value))
            for _ in range(closing):
                self._sign(")")
            if not self._take("AND"):
                return found

    def _order(self) -> tuple[str | None, bool]:
        if not self._take("ORDER"):
            return None, False
        self._words("BY")
        function = self._function()
        self._sign("(")
        self._sign(")")
        down = self._take("DESC")
        if not down:
            self._take("ASC")
        return function, down

    def _limit(self) -> int:
        if not self._take("LIMIT"):
            return MOST_SERIES
        kind, value = self._next()
        if kind != "number" or not 1 <= int(value) <= MOST_SERIES:
            self._wrong(f"a number from 1 to {MOST_SERIES}")
        self._at += 1
        return int(value)

    def _function(self) -> str:
        kind, value = self._next()
        if kind != "word" or value.upper() not in FUNCTIONS:
            self._wrong(f"one of {', '.join(FUNCTIONS)}")
        self._at += 1
        return value.upper()

    def _names(self) -> list[str]:
        found = [self._name()]
        while self._next() == ("sign", ","):
            self._at += 1
            found.append(self._name())
        return found

    def _name(self) -> str:
        kind, value = self._next()
        if kind not in ("name", "word"):
            self._wrong("a name")
        self._at += 1
        return value

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self, word: str) -> bool:
        kind, value = self._next()
        if kind == "word" and value.upper() == word:
            self._at += 1
            return True
        return False

    def _words(self, word: str) -> None:
        if not self._take(word):
            self._wrong(word)

    def _sign(self, sign: str) -> None:
        if self._next() != ("sign", sign):
            self._wrong(sign)
        self._at += 1

    def _wrong(self, wanted: str) -> NoReturn:
        raise ExpressionError(f"Metrics Insights query: expected {wanted} but found {self._next()[1] or 'the end of the query'!r}")
