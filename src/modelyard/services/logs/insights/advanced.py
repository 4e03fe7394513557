"""Commands over more than one row of one query: pattern, diff, join, filterIndex, unmask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from modelyard.services.logs.insights.expressions import Malformed, Parser, Value, plain_name, truth
from modelyard.services.logs.insights.patterns import Patterns, difference_row, pattern_row
from modelyard.services.logs.insights.program import Program
from modelyard.services.logs.insights.values import EarlierRow, Row, text

PATTERN_COLUMNS = ["@pattern", "@ratio", "@sampleCount", "@severityLabel"]
DIFFERENCE_COLUMNS = ["@previousCount", "@differenceCount", "@differenceDescription"]
SPANS = ("previousday", "previousweek", "previousmonth")


def pattern(parser: Parser, program: Program) -> None:
    """`pattern @message`: what the lines have in common, how many there are of each make."""
    value, _ = parser.expression()
    _cluster(parser, program, value)


def diff(parser: Parser, program: Program) -> None:
    """`diff [previousDay|previousWeek|previousMonth]`: patterns now beside those of an earlier span of the same length."""
    if not program.patterned:
        _cluster(parser, program, lambda row: row["@message"])
    if program.diff is not None:
        raise Malformed("a query has one diff at most", parser.at - 1, parser.at - 1)
    span = parser.take(*SPANS)
    program.diff = span.text.lower() if span else ""
    program.shown = [*program.shown, *DIFFERENCE_COLUMNS]
    parser.columns = {*(parser.columns or ()), *DIFFERENCE_COLUMNS}


def _cluster(parser: Parser, program: Program, value: Value) -> None:
    def step(rows: Iterable[Row]) -> Iterator[Row]:
        patterns = Patterns()
        for row in rows:
            said = text(value(row))
            if said is not None:
                patterns.add(said, isinstance(row, EarlierRow))
        make = pattern_row if program.diff is None else difference_row
        for cluster in patterns.found():
            made = Row()
            made.update(make(cluster, patterns.total))
            yield made

    program.steps.append(step)
    program.shown = list(PATTERN_COLUMNS)
    parser.columns = set(PATTERN_COLUMNS)
    program.plain = program.passing = program.limited = False
    program.patterned = True


class Joined(Row):
    """A row of each side; a field is asked for with the side's name before it, or without."""

    __slots__ = ("sides",)

    def __init__(self, sides: dict[str, Row | None]) -> None:
        super().__init__()
        self.sides = sides

    def __missing__(self, name: str) -> Any:
        side, _, rest = name.partition(".")
        if rest and side in self.sides:
            row = self.sides[side]
            return None if row is None else row[rest]
        found = (row[name] for row in self.sides.values() if row is not None)
        return next((value for value in found if value is not None), None)


def join(parser: Parser, program: Program) -> None:
    """`join [type=inner|left] left=a right=b where a.x=b.y [and …] (SOURCE 'group' [| …])`."""
    kind, names = "inner", {}
    while (word := parser.take("type", "left", "right")) is not None:
        parser.expect("=")
        token = parser.next()
        if token.kind != "name":
            raise parser.unexpected(token)
        if word.text.lower() == "type":
            kind = token.text.lower()
            if kind not in ("inner", "left"):
                raise parser.unexpected(token, "expected inner or left")
        else:
            names[word.text.lower()] = token.text
    if set(names) != {"left", "right"} or names["left"] == names["right"]:
        raise Malformed("join needs a left and a right alias that differ", parser.at - 1, parser.at - 1)
    parser.expect("where")
    keys: list[tuple[str, str]] = []
    while True:
        keys.append(_key(parser, names))
        if not parser.take("and"):
            break
    parser.expect("(")
    sub = parser.inner()
    left, right = names["left"], names["right"]

    def step(rows: Iterable[Row]) -> Iterator[Row]:
        matching: dict[tuple, list[Row]] = {}
        for row in sub.rows:
            key = tuple(text(row[mine]) for _, mine in keys)
            if None not in key:
                matching.setdefault(key, []).append(row)
        for row in rows:
            found = matching.get(tuple(text(row[mine]) for mine, _ in keys), [])
            for other in found or ([None] if kind == "left" else []):
                yield Joined({left: row, right: other})

    program.steps.append(step)
    program.plain = program.passing = False


def _key(parser: Parser, names: dict[str, str]) -> tuple[str, str]:
    """(field of the left, field of the right), in whichever order they are said."""
    said = {}
    for place in range(2):
        token = parser.next()
        side, _, rest = plain_name(token.text).partition(".")
        if token.kind != "name" or not rest or side not in names.values() or side in said:
            raise parser.unexpected(token, f"expected a field of {names['left']} and one of {names['right']}")
        said[side] = rest
        if place == 0 and not parser.take("=", "=="):
            raise parser.unexpected(parser.peek(), "expected =")
    return said[names["left"]], said[names["right"]]


def filter_index(parser: Parser, program: Program) -> None:
    """`filterIndex field = value` or `field in [values]`: as filter, but only in groups with an index of the field."""
    token = parser.peek()
    if token.kind != "name":
        raise parser.unexpected(token, "expected the name of an indexed field")
    program.indexed.append(plain_name(token.text))
    value, _ = parser.expression()
    program.steps.append(lambda rows: (row for row in rows if truth(value(row))))


def unmask(parser: Parser, program: Program) -> None:
    """`unmask field`: shows it whole. There are no data protection policies here, so it always is; who asks needs logs:Unmask all the same."""
    program.unmasks = True
    name = parser.name()
    if name not in program.shown:
        program.shown.append(name)
