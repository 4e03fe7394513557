"""Runs the queries that are scheduled, one after the other, on a thread of the engine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from time import monotonic
from typing import Any

from modelyard.services.logs import api
from modelyard.services.logs.indexes import indexed
from modelyard.services.logs.insights.commands import TooManyGroups, compile_query
from modelyard.services.logs.insights.expressions import Malformed, TooSlow
from modelyard.services.logs.insights.program import Program
from modelyard.services.logs.insights.query_store import Query, QueryStore
from modelyard.services.logs.insights.values import EarlierRow, Row, text
from modelyard.services.logs.log_store import LogEvent

log = logging.getLogger("modelyard.logs.insights")
LONGEST_S, TELL_S, LOOK_EVERY = 3600.0, 0.5, 512
DEFAULT_ROWS, MOST_INNER = 10_000, 50_000
SHIFTS_MS = {"previousday": 86_400_000, "previousweek": 7 * 86_400_000, "previousmonth": 30 * 86_400_000}


class Stopped(Exception):
    """Somebody stopped the query."""


class Expired(Exception):
    """It has run for as long as a query may."""


@api.worker
def drain(platform: Any) -> float | None:
    queries = QueryStore(platform.logs.db)
    while (query := queries.claim()) is not None:
        _run(platform, queries, query)
    return None


def _run(platform: Any, queries: QueryStore, query: Query) -> None:
    scan = Scan(platform, queries, query)
    try:
        rows = _rows(scan, query)
        status = "Complete"
    except Stopped:
        return
    except Expired:
        rows, status = [], "Timeout"
    except (TooSlow, TooManyGroups, Malformed) as problem:
        log.info("query %s failed: %s", query.id, problem)
        rows, status = [], "Failed"
    except Exception:
        log.exception("query %s failed", query.id)
        rows, status = [], "Failed"
    queries.end(query.id, status, platform.logs.now_ms(), scan.statistics(), rows)


def _rows(scan: Scan, query: Query) -> list[list[list[str]]]:
    program = compile_query(query.spec["query"], query.created_ms)
    limit = query.spec.get("limit")
    if limit is None or program.limited:
        limit = 100_000 if program.limited else DEFAULT_ROWS
    program.count = scan.match
    for sub in program.subs:
        sub.rows = list(islice(sub.program.rows(scan.events(sub.program)), MOST_INNER + 1))
        if len(sub.rows) > MOST_INNER:
            raise TooManyGroups(f"a query within the query has more than {MOST_INNER} rows")
    found = []
    events = scan.events(program)
    if program.diff is not None:
        events = chain(events, scan.events(program, earlier_ms(query, program.diff)))
    for row in islice(program.rows(events), limit):
        told = [[name, said] for name in program.shown if (said := text(row[name])) is not None]
        if program.plain:
            told.append(["@ptr", row["@ptr"]])
        found.append(told)
    return found


def earlier_ms(query: Query, span: str) -> int:
    """How long before lies the span that a query is compared with."""
    return SHIFTS_MS.get(span) or query.spec["end_ms"] + 1 - query.spec["start_ms"]


class Scan:
    """The events of a query's groups, counted as they pass."""

    def __init__(self, platform: Any, queries: QueryStore, query: Query) -> None:
        self._logs, self._queries, self._query = platform.logs, queries, query
        self.scanned = self.matched = self.size = self.groups = 0

    def statistics(self) -> dict[str, float]:
        return {
            "recordsMatched": float(self.matched),
            "recordsScanned": float(self.scanned),
            "bytesScanned": float(self.size),
            "logGroupsScanned": float(self.groups),
            "estimatedRecordsSkipped": 0.0,
            "estimatedBytesSkipped": 0.0,
        }

    def match(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Counts what passed the filters."""
        for row in rows:
            self.matched += 1
            yield row

    def events(self, program: Program, earlier_ms: int = 0) -> Iterator[Row]:
        """Of the groups of the program's SOURCE, or of the query. With `earlier_ms` those of so much before."""
        query, sources, floors, streams = self._query, {}, {}, []
        names, start_ms, end_ms = query.spec["groups"], query.spec["start_ms"], query.spec["end_ms"]
        if program.source is not None:
            names = program.source.groups(self._logs, query.account, query.region)
            start_ms = start_ms if program.source.start_ms is None else program.source.start_ms
            end_ms = end_ms if program.source.end_ms is None else program.source.end_ms
        for name in names:
            group = self._logs.group(query.account, query.region, name)
            if group is None or not set(program.indexed) <= indexed(self._logs, group):
                continue
            self.groups += 1
            for stream in self._logs.streams(group, limit=1_000_000):
                sources[stream.id] = (f"{query.account}:{name}", stream.name)
                floors[stream.id] = group.oldest_ms(self._logs.now_ms())
                streams.append(stream)
        began = told = monotonic()
        events: Iterator[LogEvent] = self._logs.scan(
            streams, start_ms=start_ms - earlier_ms, end_ms=end_ms + 1 - earlier_ms, newest_first=program.newest_first
        )
        make = EarlierRow if earlier_ms else Row
        for event in events:
            if event.at_ms < floors[event.stream_id]:
                continue
            self.scanned += 1
            self.size += len(event.message)
            if self.scanned % LOOK_EVERY == 0 and (now := monotonic()) - told > TELL_S:
                told = now
                if not self._queries.progress(query.id, self.statistics()):
                    raise Stopped
                if now - began > LONGEST_S:
                    raise Expired
            yield make(event, sources[event.stream_id])
