"""`SOURCE`: which groups a query, or a query inside a query, is about, and when.

SOURCE logGroups(namePrefix: ['a', 'b'], class: ['STANDARD'], accountIdentifiers: ['123456789012'])
SOURCE "group" "group", 'group' [START=-1h END=now]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from modelyard.services.logs.insights.expressions import Malformed, Parser, unquote
from modelyard.services.logs.insights.functions import SPAN_MS

MOST_PREFIXES, MOST_ACCOUNTS, MOST_GROUPS = 5, 20, 10_000
_KEYS = {
    "nameprefix": "prefixes",
    "class": "classes",
    "loggroupclass": "classes",
    "accountidentifiers": "accounts",
    "accountidentifier": "accounts",
}
_WORD = re.compile(r"[\w./#@-]+")
_TIME = re.compile(r"-?\d+[A-Za-z]*|now|NOW")


@dataclass(frozen=True)
class Source:
    """`names` of groups, or everything that the others allow. Times in ms; None: those of the query."""

    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ("STANDARD",)
    accounts: tuple[str, ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None

    def groups(self, logs: Any, account: str, region: str) -> list[str]:
        """Names of the groups that are there."""
        if self.accounts and account not in self.accounts:
            return []
        if self.names:
            return [name for name in dict.fromkeys(self.names) if logs.group(account, region, name) is not None]
        found = []
        for log_class in self.classes:
            for prefix in self.prefixes or ("",):
                found += [group.name for group in logs.groups(account, region, prefix=prefix, log_class=log_class, limit=MOST_GROUPS + 1)]
        return sorted(set(found))


def read_source(parser: Parser) -> Source:
    """What follows the word SOURCE. Raises Malformed."""
    token = parser.peek()
    if token.kind == "name" and token.text.lower() == "loggroups":
        parser.next()
        return _times(parser, _listed(parser))
    names = []
    while True:
        start = parser.skip()
        token = parser.peek()
        if token.kind == "string":
            parser.next()
            names.append(unquote(token.text))
        elif (found := _WORD.match(parser.query, start)) is not None and found[0].lower() not in ("start", "end"):
            parser.at = found.end()
            names.append(found[0].strip("`"))
        elif not names:
            raise parser.unexpected(token, "expected logGroups(…) or the name of a log group")
        else:
            break
        parser.take(",")
    return _times(parser, Source(tuple(name.split(":log-group:", 1)[-1].removesuffix(":*") for name in names)))


def _listed(parser: Parser) -> Source:
    given: dict[str, tuple[str, ...]] = {}
    parser.expect("(")
    while not parser.take(")"):
        token = parser.next()
        key = _KEYS.get(token.text.lower())
        if key is None:
            raise parser.unexpected(token, "expected namePrefix, class or accountIdentifiers")
        parser.expect(":")
        parser.expect("[")
        values = [parser.string()]
        while parser.take(","):
            values.append(parser.string())
        parser.expect("]")
        most = {"prefixes": MOST_PREFIXES, "accounts": MOST_ACCOUNTS}.get(key, 3)
        if len(values) > most:
            raise Malformed(f"{token.text} has {len(values)} values; at most {most} are allowed", token.start, parser.at - 1)
        given[key] = tuple(values)
        parser.take(",")
    return Source(**given)


def _times(parser: Parser, source: Source) -> Source:
    times: dict[str, int] = {}
    while (word := parser.take("start", "end")) is not None:
        parser.expect("=")
        found = _TIME.match(parser.query, parser.skip())
        if found is None:
            raise parser.unexpected(parser.peek(), "expected a time such as -1h, now or milliseconds")
        parser.at = found.end()
        times[f"{word.text.lower()}_ms"] = _time(parser, found[0], word.start)
    return Source(source.names, source.prefixes, source.classes, source.accounts, times.get("start_ms"), times.get("end_ms"))


def _time(parser: Parser, said: str, start: int) -> int:
    if said.lower() == "now":
        return parser.now_ms
    count, unit = re.fullmatch(r"(-?\d+)([A-Za-z]*)", said).groups()
    if not unit:
        return int(count) if abs(int(count)) >= 100_000_000_000 else int(count) * 1000
    if unit.lower() not in SPAN_MS or not count.startswith("-"):
        raise Malformed(f"{said} is no time; -1h, now and milliseconds are", start, parser.at - 1)
    return parser.now_ms + int(count) * SPAN_MS[unit.lower()]
