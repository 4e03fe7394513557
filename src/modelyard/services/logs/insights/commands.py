"""Commands: the text of a query into steps, each a function from rows to rows."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from modelyard.services.logs.insights.advanced import diff, filter_index, join, pattern, unmask
from modelyard.services.logs.insights.expressions import Malformed, Parser, Value, matched, truth
from modelyard.services.logs.insights.program import MOST_ROWS, Program, Step, Sub
from modelyard.services.logs.insights.sources import read_source
from modelyard.services.logs.insights.values import Row, sort_key, text

MOST_GROUPS = 100_000
NOT_BUILT = {"anomaly", "lookup", "logcompare", "addtotals"}


def compile_query(query: str, now_ms: int) -> Program:
    """Raises Malformed."""
    parser = Parser(query, now_ms)
    subs: list[Sub] = []

    def inner() -> Sub:
        """Reads a query up to the parenthesis that closes it."""
        kept, parser.columns, parser.slots = (parser.columns, parser.slots), None, None
        sub = Sub(_read(parser, ")"))
        parser.columns, parser.slots = kept
        subs.append(sub)
        return sub

    parser.inner = inner
    program = _read(parser, "")
    program.subs = subs
    program.unmasks = parser.unmasks or any(one.unmasks for one in (program, *(sub.program for sub in subs)))
    return program


def _read(parser: Parser, closing: str) -> Program:
    """Commands up to the end, or up to `closing`."""
    program = Program()
    if parser.peek().kind == "end":
        raise Malformed("the query is empty", 0, 0)
    parser.take("|")
    if parser.take("source"):
        program.source = read_source(parser)
        if _ended(parser, closing):
            return _shown(program)
    while True:
        token = parser.next()
        read = _COMMANDS.get(token.text.lower()) if token.kind == "name" else None
        if read is None:
            if token.text.lower() in NOT_BUILT:
                raise Malformed(f"the command {token.text} is not built on this platform yet", token.start, token.end - 1)
            raise parser.unexpected(token, f"expected one of {', '.join(sorted(_COMMANDS))}")
        open_still = program.filters == len(program.steps) and read in (_fields, _filter, _parse, _display, filter_index)
        read(parser, program)
        if open_still:
            program.filters = len(program.steps)
        if _ended(parser, closing):
            return _shown(program)


def _ended(parser: Parser, closing: str) -> bool:
    after = parser.next()
    if after.kind == "end" and not closing:
        return True
    if closing and after.text == closing:
        return True
    if after.text != "|":
        raise parser.unexpected(after)
    return False


def _shown(program: Program) -> Program:
    program.shown = program.shown or ["@timestamp", "@message"]
    return program


# --- commands ------------------------------------------------------------------------------------


def _fields(parser: Parser, program: Program) -> None:
    made: list[tuple[str, Value]] = []
    while True:
        if parser.take("*"):
            raise Malformed("* is no field", parser.at - 1, parser.at - 1)
        value, said = parser.expression()
        name = parser.name() if parser.take("as") else said
        made.append((name, value))
        if name not in program.shown:
            program.shown.append(name)
        if not parser.take(","):
            break

    def step(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            for name, value in made:
                found = value(row)
                if found is not None:
                    row[name] = found
            yield row

    program.steps.append(step)
    if parser.columns is not None:
        parser.columns.update(name for name, _ in made)


def _display(parser: Parser, program: Program) -> None:
    program.shown = []
    _fields(parser, program)


def _filter(parser: Parser, program: Program) -> None:
    value, _ = parser.expression()
    program.steps.append(lambda rows: (row for row in rows if truth(value(row))))


def _limit(parser: Parser, program: Program) -> None:
    token = parser.next()
    if token.kind != "number" or not token.text.isdecimal() or not 0 < int(token.text) <= 100_000:
        raise parser.unexpected(token, "expected a number from 1 to 100000")
    count = int(token.text)
    program.steps.append(lambda rows: islice(rows, count))
    program.limited, program.passing = True, False


def _sort(parser: Parser, program: Program) -> None:
    keys: list[tuple[Value, bool]] = []
    only = ""
    parser.take("by")
    while True:
        value, only = parser.expression()
        way = parser.take("asc", "desc")
        keys.append((value, way is not None and way.text.lower() == "desc"))
        if not parser.take(","):
            break
    if program.passing and len(keys) == 1 and only == "@timestamp":
        # Events are read in this order: nothing is kept in memory.
        program.newest_first = keys[0][1]
    else:
        program.steps.append(_sorting(keys, _limit_ahead(parser)))
    program.passing = False


def _limit_ahead(parser: Parser) -> int | None:
    """How many rows a sort must keep: those of a limit that comes next, at the end of the query as many as an answer has."""
    place = parser.at
    if parser.peek().kind == "end":
        return MOST_ROWS
    try:
        if parser.take("|") and parser.take("limit") and (token := parser.next()).text.isdecimal():
            return int(token.text)
        return None
    except Malformed:
        return None
    finally:
        parser.at = place


def _sorting(keys: list[tuple[Value, bool]], most: int | None) -> Step:
    def key(row: Row) -> list[Any]:
        return [_Down(sort_key(value(row))) if down else sort_key(value(row)) for value, down in keys]

    def step(rows: Iterable[Row]) -> Iterator[Row]:
        yield from sorted(rows, key=key) if most is None else heapq.nsmallest(most, rows, key=key)

    return step


class _Down:
    """A key that sorts the other way."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: _Down) -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and other.key == self.key


def _dedup(parser: Parser, program: Program) -> None:
    names = parser.names()

    def step(rows: Iterable[Row]) -> Iterator[Row]:
        seen: set[tuple] = set()
        for row in rows:
            key = tuple(text(row[name]) for name in names)
            if None not in key:
                if key in seen:
                    continue
                seen.add(key)
            yield row

    program.steps.append(step)
    program.passing = False
    if not program.shown:
        program.shown = ["@timestamp", "@message"]


def _unnest(parser: Parser, program: Program) -> None:
    """`unnest field into alias`: a row for each element of a list, or for each pair of an object. What is neither makes no row."""
    value = parser.field()
    parser.expect("into")
    name = parser.name()

    def step(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            found = value(row)
            parts = [{key: one} for key, one in found.items()] if isinstance(found, dict) else found if isinstance(found, list) else []
            for part in parts:
                made = Row(row.event, row.source)
                made.update(row)
                made[name] = part
                yield made

    program.steps.append(step)
    program.passing = False
    program.shown = program.shown or ["@timestamp", "@message"]
    program.shown += [name] if name not in program.shown else []


def _parse(parser: Parser, program: Program) -> None:
    """`parse [field] "a=*, b=*" as x, y` or `parse [field] /(?<x>…)/`."""
    source: Value = lambda row: row["@message"]  # noqa: E731
    numbers: dict[str, int] = {}
    expression = parser.regex()
    if expression is None and parser.peek().kind == "name":
        source = parser.field()
        expression = parser.regex()
    if expression is not None:
        names = list(expression.groupindex)
        if not names and parser.take("as"):
            names = parser.names()
            if len(names) != expression.compiled.groups:
                raise Malformed(
                    f"the expression of parse has {expression.compiled.groups} groups and {len(names)} names", parser.at - 1, parser.at - 1
                )
            numbers = {name: place for place, name in enumerate(names, 1)}
        if not names:
            raise Malformed("the regular expression of parse has no named group", parser.at - 1, parser.at - 1)
    else:
        start = parser.skip()
        glob = parser.string()
        parser.expect("as")
        names = parser.names()
        if glob.count("*") != len(names):
            raise Malformed(f"the pattern of parse has {glob.count('*')} wildcards and {len(names)} names", start, parser.at - 1)
        step = _globbed(names, glob.split("*"), source)
    if expression is not None:
        step = _searched(expression, numbers or dict(expression.groupindex), source)
    program.shown = program.shown or ["@timestamp", "@message"]
    program.shown += [name for name in names if name not in program.shown]
    program.steps.append(step)


def _searched(expression: Any, numbers: dict[str, int], source: Value) -> Step:
    def step(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            found = matched(expression, source(row))
            if found is not None:
                for name, place in numbers.items():
                    if found[place] is not None:
                        row[name] = found[place]
            yield row

    return step


def _globbed(names: list[str], pieces: list[str], source: Value) -> Step:
    """Each piece is looked for after the one before it; what lies between is the value. After a `*` at the end comes the rest."""
    first, *others = pieces

    def step(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            said = text(source(row))
            place = -1 if said is None else said.find(first)
            if place >= 0:
                found, place = [], place + len(first)
                for piece in others:
                    end = len(said) if piece == "" and len(found) == len(others) - 1 else said.find(piece, place)
                    if end < 0:
                        break
                    found.append(said[place:end])
                    place = end + len(piece)
                else:
                    row.update(zip(names, found, strict=True))
            yield row

    return step


def _stats(parser: Parser, program: Program) -> None:
    slots: list = []
    parser.slots, made = slots, []
    while True:
        value, said = parser.expression()
        made.append((parser.name() if parser.take("as") else said, value))
        if not parser.take(","):
            break
    parser.slots = None
    by: list[tuple[str, Value]] = []
    if parser.take("by"):
        while True:
            value, said = parser.expression()
            by.append((parser.name() if parser.take("as") else said, value))
            if not parser.take(","):
                break
    program.steps.append(_grouping(by, made, slots))
    parser.columns = {name for name, _ in (*by, *made)}
    program.shown = [name for name, _ in by] + [name for name, _ in made]
    program.plain = program.passing = program.limited = False


def _grouping(by: list[tuple[str, Value]], made: list[tuple[str, Value]], slots: list) -> Step:
    def step(rows: Iterable[Row]) -> Iterator[Row]:
        groups: dict[tuple, tuple[list[Any], list[Any]]] = {}
        for row in rows:
            values = [value(row) for _, value in by]
            key = tuple(text(value) for value in values)
            group = groups.get(key)
            if group is None:
                if len(groups) >= MOST_GROUPS:
                    raise TooManyGroups(f"stats made more than {MOST_GROUPS} groups")
                group = groups[key] = (values, [slot.make() for slot in slots])
            for accumulator in group[1]:
                accumulator.add(row)
        if not by and not groups:
            groups[()] = ([], [slot.make() for slot in slots])
        for values, accumulators in groups.values():
            row = Row()
            for slot, accumulator in zip(slots, accumulators, strict=True):
                row[slot.key] = accumulator.result()
            row.update((name, value) for (name, _), value in zip(by, values, strict=True) if value is not None)
            row.update((name, found) for name, value in made if (found := value(row)) is not None)
            yield row

    return step


class TooManyGroups(Exception):
    """A stats by something that is nearly unique."""


_COMMANDS: dict[str, Callable[[Parser, Program], None]] = {
    "fields": _fields,
    "display": _display,
    "filter": _filter,
    "stats": _stats,
    "sort": _sort,
    "limit": _limit,
    "head": _limit,
    "parse": _parse,
    "dedup": _dedup,
    "unnest": _unnest,
    "pattern": pattern,
    "diff": diff,
    "join": join,
    "filterindex": filter_index,
    "unmask": unmask,
}
