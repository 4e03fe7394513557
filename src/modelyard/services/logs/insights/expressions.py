"""Expressions: text into functions of a row. The lexer and the parser that the commands use too."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.lazily import regex
from modelyard.kernel.plaintext import said_always
from modelyard.services.logs.insights import values
from modelyard.services.logs.insights.aggregates import AGGREGATES
from modelyard.services.logs.insights.functions import FUNCTIONS, MONTHS, SPAN_MS, Span
from modelyard.services.logs.insights.values import Row, number

Value = Callable[[Row], Any]
LONGEST_MATCH_S = 0.05
"""Of a client's expression in one message: some take hours."""
DEEPEST = 60
_SPACE = re.compile(r"(?:\s+|#[^\n]*)*")
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<span>(?!\d+[eE]\d)\d+[A-Za-z]+)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)
    |(?P<name>(?![iI][nN]\[)[@A-Za-z_][\w@]*(?:\.(?:[\w@]+|`[^`]+`)|\[\d+\])*|[iI][nN]|`[^`]+`)
    |(?P<op>=~|!=|<=|>=|==|[-+*/%^=<>(),|:\[\]])""",
    re.VERBOSE,
)
_REGEX = re.compile(r"/((?:[^/\\\n]|\\.)+)/(i?)")


class Malformed(Exception):
    """Where a query cannot be read, as offsets into its text."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message, self.start, self.end = message, start, end


class TooSlow(Exception):
    """An expression of the query takes too long on a message."""


class Expression:
    """A regular expression, and the plain text that whatever matches it has in it."""

    def __init__(self, compiled: Any) -> None:
        self.compiled, self.groupindex = compiled, compiled.groupindex
        self.part = "" if compiled.flags & regex.IGNORECASE else said_always(compiled.pattern)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Slot:
    """One aggregate of a `stats`: `make()` an accumulator; its result is in the row under `key`."""

    key: str
    make: Callable[[], Any]


class Parser:
    """Reads one query. `columns`: what `stats` named so far (None: rows are events)."""

    def __init__(self, query: str, now_ms: int) -> None:
        self.query, self.now_ms, self.at = query, now_ms, 0
        self.columns: set[str] | None = None
        self.slots: list[Slot] | None = None
        self.unmasks = False
        self.inner: Callable[[], Any] = lambda: None
        """Reads a query within this one, up to its closing parenthesis."""
        self._depth = 0

    # --- tokens ------------------------------------------------------------------------------------

    def skip(self) -> int:
        self.at = _SPACE.match(self.query, self.at).end()
        return self.at

    def peek(self) -> Token:
        start = self.skip()
        if start >= len(self.query):
            return Token("end", "", start, start)
        found = _TOKEN.match(self.query, start)
        if found is None:
            raise Malformed(f"unexpected symbol found {self.query[start]} at line {self._line(start)}", start, start)
        return Token(found.lastgroup, found[0], start, found.end())

    def next(self) -> Token:
        token = self.peek()
        self.at = token.end
        return token

    def take(self, *words: str) -> Token | None:
        """The next token, if it is one of these (words in lower case)."""
        token = self.peek()
        if token.kind in ("name", "op") and token.text.lower() in words:
            self.at = token.end
            return token
        return None

    def expect(self, word: str) -> Token:
        found = self.take(word)
        if found is None:
            raise self.unexpected(self.peek(), f"expected {word}")
        return found

    def unexpected(self, token: Token, hint: str = "") -> Malformed:
        what = "unexpected end of the query" if token.kind == "end" else f"unexpected symbol found {token.text}"
        more = f"; {hint}" if hint else ""
        return Malformed(f"{what} at line {self._line(token.start)}{more}", token.start, max(token.start, token.end - 1))

    def _line(self, place: int) -> str:
        line = self.query.count("\n", 0, place) + 1
        return f"{line} and position {place - (self.query.rfind(chr(10), 0, place) + 1)}"

    def name(self) -> str:
        token = self.next()
        if token.kind != "name":
            raise self.unexpected(token, "expected the name of a field")
        return plain_name(token.text)

    def names(self) -> list[str]:
        found = [self.name()]
        while self.take(","):
            found.append(self.name())
        return found

    def string(self) -> str:
        token = self.next()
        if token.kind != "string":
            raise self.unexpected(token, "expected text in quotes")
        return unquote(token.text)

    def regex(self) -> Any | None:
        """/…/ where the text goes on with one."""
        start = self.skip()
        if not self.query.startswith("/", start):
            return None
        found = _REGEX.match(self.query, start)
        if found is None:
            raise Malformed(f"the regular expression that begins at {start} has no end", start, len(self.query) - 1)
        self.at = found.end()
        return self.compile(found[1], start, found.end(), bool(found[2]))

    def compile(self, expression: str, start: int, end: int, ignore_case: bool = False) -> Any:
        try:
            return Expression(regex.compile(expression, regex.IGNORECASE if ignore_case else 0))
        except (regex.error, RecursionError) as problem:
            raise Malformed(f"invalid regular expression: {problem}", start, end - 1) from None

    # --- expressions, loosest first ------------------------------------------------------------------

    def expression(self) -> tuple[Value, str]:
        """(function, the text it was read from)."""
        start = self.skip()
        value = self._either()
        return value, self.query[start : self.at].strip().replace("`", "")

    def field(self) -> Value:
        name = self.name()
        return lambda row: row[name]

    def _either(self) -> Value:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Malformed("the expression is nested too deep", self.at, self.at)
        left = self._both()
        while self.take("or"):
            left = _or(left, self._both())
        self._depth -= 1
        return left

    def _both(self) -> Value:
        left = self._not()
        while self.take("and"):
            left = _and(left, self._not())
        return left

    def _not(self) -> Value:
        count = 0
        while self.take("not"):
            count += 1
        value = self._comparison()
        return (lambda row: not truth(value(row))) if count % 2 else value

    def _comparison(self) -> Value:
        left = self._sum()
        while True:
            token = self.peek()
            if (found := self.take("=", "==", "!=", "<", "<=", ">", ">=")) is not None:
                left = _compare(found.text, left, self._sum())
            elif self.take("=~") or self.take("like"):
                left = self._like(left)
            elif self.take("in"):
                left = self._in(left)
            elif token.kind == "name" and token.text.lower() == "not":
                self.at = token.end
                if self.take("like"):
                    inner = self._like(left)
                elif self.take("in"):
                    inner = self._in(left)
                else:
                    raise self.unexpected(self.peek(), "expected like or in after not")
                left = _negate(inner)
            elif token.kind == "name" and token.text.lower() == "is":
                self.at = token.end
                no = self.take("not") is not None
                self.expect("null")
                inner = left
                left = (lambda row, inner=inner: inner(row) is not None) if no else (lambda row, inner=inner: inner(row) is None)
            else:
                return left

    def _like(self, left: Value) -> Value:
        expression = self.regex()
        if expression is not None:
            return lambda row: matched(expression, left(row)) is not None
        token = self.next()
        if token.kind != "string":
            raise self.unexpected(token, 'expected /expression/ or "text"')
        part = unquote(token.text)
        if "%" in part:
            inside = ".*".join(regex.escape(piece) for piece in part.split("%"))
            whole = regex.compile(inside, regex.DOTALL)
            return lambda row: (value := values.text(left(row))) is not None and whole.fullmatch(value) is not None
        return lambda row: (value := values.text(left(row))) is not None and part in value

    def _in(self, left: Value) -> Value:
        opened = self.next()
        if opened.text not in ("[", "("):
            raise self.unexpected(opened, "expected a list in square brackets")
        if opened.text == "(" and self.peek().text.lower() in ("source", "fields", "filter", "stats", "parse"):
            sub = self.inner()
            return lambda row: (value := values.text(left(row))) is not None and value in sub.values()
        items = [self._sum()]
        while self.take(","):
            items.append(self._sum())
        self.expect("]" if opened.text == "[" else ")")
        return lambda row: (value := left(row)) is not None and any(values.equal(value, item(row)) for item in items)

    def _sum(self) -> Value:
        left = self._product()
        while (found := self.take("+", "-")) is not None:
            left = _arithmetic(found.text, left, self._product())
        return left

    def _product(self) -> Value:
        left = self._power()
        while (found := self.take("*", "/", "%")) is not None:
            left = _arithmetic(found.text, left, self._power())
        return left

    def _power(self) -> Value:
        left = self._unary()
        return _arithmetic("^", left, self._power()) if self.take("^") else left

    def _unary(self) -> Value:
        if self.take("-"):
            inner = self._unary()
            return lambda row: None if (value := number(inner(row))) is None else -value
        return self._primary()

    def _primary(self) -> Value:
        token = self.next()
        if token.kind == "number":
            plain = float(token.text)
            constant: Any = int(plain) if plain.is_integer() and "e" not in token.text.lower() else plain
            return lambda row: constant
        if token.kind == "string":
            said = unquote(token.text)
            return lambda row: said
        if token.text == "(":
            inner = self._either()
            self.expect(")")
            return inner
        if token.kind == "name":
            if not token.text.startswith("`") and self.peek().text == "(":
                return self._call(token)
            low = token.text.lower()
            if low in ("true", "false"):
                return lambda row: low == "true"
            if low == "null":
                return lambda row: None
            said = token.text.replace("`", "")
            name = said if said in (self.columns or ()) else plain_name(token.text)
            return lambda row: row[name]
        raise self.unexpected(token)

    # --- functions ---------------------------------------------------------------------------------

    def _call(self, token: Token) -> Value:
        name = token.text.lower()
        self.expect("(")
        if self.columns is not None and (column := self._named_column(token)) is not None:
            return lambda row: row[column]
        if name in AGGREGATES:
            return self._aggregate(token, name)
        if name == "now":
            self.expect(")")
            seconds = self.now_ms // 1000
            return lambda row: seconds
        if name == "bin":
            span = self._span()
            self.expect(")")
            return lambda row: None if (at := number(row["@timestamp"])) is None else span.floor(at)
        if name in ("datefloor", "dateceil"):
            value = self._either()
            self.expect(",")
            span = self._span()
            self.expect(")")
            move = span.floor if name == "datefloor" else span.ceil
            return lambda row: None if (at := number(value(row))) is None else move(at)
        self.unmasks |= name == "unmask"
        if name not in FUNCTIONS:
            raise Malformed(f"unknown function {token.text} at line {self._line(token.start)}", token.start, token.end - 1)
        fewest, most, function = FUNCTIONS[name]
        arguments = self._arguments()
        if not fewest <= len(arguments) <= most:
            raise Malformed(f"{token.text} was given {len(arguments)} arguments", token.start, self.at - 1)
        if len(arguments) == 1:
            only = arguments[0]
            return lambda row: function(only(row))
        return lambda row: function(*[argument(row) for argument in arguments])

    def _named_column(self, token: Token) -> str | None:
        """`sort bin(5m)` after `stats … by bin(5m)` means the column."""
        close, depth = self.at, 1
        while close < len(self.query) and depth:
            depth += {"(": 1, ")": -1}.get(self.query[close], 0)
            close += 1
        said = self.query[token.start : close].strip()
        if said in self.columns:
            self.at = close
            return said
        return None

    def _arguments(self) -> list[Value]:
        found: list[Value] = []
        if not self.take(")"):
            found.append(self._either())
            while self.take(","):
                found.append(self._either())
            self.expect(")")
        return found

    def _span(self) -> Span:
        token = self.next()
        count, unit = "1", token.text
        if token.kind == "span":
            found = re.fullmatch(r"(\d+)([A-Za-z]+)", token.text)
            count, unit = found[1], found[2]
        elif token.kind == "number":
            count, unit = token.text, self.next().text
        unit = unit if unit in SPAN_MS or unit in MONTHS else unit.lower()
        if (unit not in SPAN_MS and unit not in MONTHS) or not count.isdecimal() or not 0 < int(count) < 100_000:
            raise self.unexpected(token, "expected a period such as 5m")
        return Span(int(count), unit)

    def _aggregate(self, token: Token, name: str) -> Value:
        if self.slots is None:
            raise Malformed(f"{token.text} can be used in stats only", token.start, token.end - 1)
        slots, self.slots = self.slots, None
        wanted, make = AGGREGATES[name]
        if name == "count" and self.take("*"):
            self.expect(")")
            arguments: list[Value] = []
        else:
            arguments = self._arguments()
        self.slots = slots
        if len(arguments) != wanted and not (name == "count" and not arguments):
            raise Malformed(f"{token.text} was given {len(arguments)} arguments", token.start, self.at - 1)
        value = arguments[0] if arguments else None
        key = f"\0{len(slots)}"
        if name == "pct":
            percent = number(arguments[1](Row()))
            if percent is None or not 0 <= percent <= 100:
                raise Malformed("the percentile of pct is a number from 0 to 100", token.start, self.at - 1)
            slots.append(Slot(key, lambda: make(value, percent)))
        else:
            slots.append(Slot(key, lambda: make(value)))
        return lambda row: row[key]


# --- helpers -------------------------------------------------------------------------------------


def plain_name(said: str) -> str:
    """Of a field: without backticks, with `list[0]` as `list.0`."""
    if said.startswith("`"):
        return said.strip("`")
    return said.replace("`", "").replace("[", ".").replace("]", "")


def unquote(said: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), said[1:-1])


def truth(value: Any) -> bool:
    return bool(value) and value not in ("0", "false")


def matched(expression: Expression, value: Any) -> Any:
    """The first match in a value; None where there is none."""
    said = values.text(value)
    if said is None or expression.part not in said:
        return None
    try:
        return expression.compiled.search(said, timeout=LONGEST_MATCH_S)
    except TimeoutError:
        raise TooSlow("A regular expression of the query takes too long.") from None


def _or(left: Value, right: Value) -> Value:
    return lambda row: truth(left(row)) or truth(right(row))


def _and(left: Value, right: Value) -> Value:
    return lambda row: truth(left(row)) and truth(right(row))


def _negate(inner: Value) -> Value:
    return lambda row: not inner(row)


def _compare(sign: str, left: Value, right: Value) -> Value:
    if sign in ("=", "=="):
        return lambda row: values.equal(left(row), right(row))
    if sign == "!=":
        return lambda row: not values.equal(left(row), right(row))
    wanted = {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0)}[sign]
    return lambda row: values.order(left(row), right(row)) in wanted


def _arithmetic(sign: str, left: Value, right: Value) -> Value:
    def compute(row: Row) -> Any:
        a, b = number(left(row)), number(right(row))
        if a is None or b is None:
            return None
        a, b = (int(a) if isinstance(a, int) else a), (int(b) if isinstance(b, int) else b)
        try:
            match sign:
                case "+":
                    return a + b
                case "-":
                    return a - b
                case "*":
                    return a * b
                case "/":
                    return a / b
                case "%":
                    return a % b
            found = float(a) ** float(b)
            return found if isinstance(found, float) else None
        except (ZeroDivisionError, OverflowError):
            return None

    return compute
