"""DescribeAlarmHistory: a table of its own, filled from the events of alarms and of their actions.

The reader of events fills it; a caller who comes before the reader brings it up to date first, so that what was done is there at once.
It outlives the alarm, and is kept for 30 days.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.database import Database, Tx
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Event
from modelyard.services.cloudwatch import api
from modelyard.services.cloudwatch.alarm.actions import ACTION
from modelyard.services.cloudwatch.alarm.lifecycle import COMPOSITE, METRIC, TYPES

READER, KINDS = "alarm-history", {METRIC.kind, COMPOSITE.kind, ACTION.kind}
PAGE, MOST_PAGE, KEEP_S = 100, 100, 30 * 86_400


class History:
    """`platform.alarm_history`."""

    def __init__(self, db: Database) -> None:
        self.db = db
        db.migrate(
            "alarm-history",
            [
                """
                CREATE TABLE alarm_history (
                    seq BIGINT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
                    at DOUBLE PRECISION NOT NULL, item TEXT NOT NULL, summary TEXT NOT NULL, data TEXT NOT NULL);
                CREATE INDEX alarm_history_place ON alarm_history (account, region, at, seq);
                CREATE INDEX alarm_history_name ON alarm_history (account, region, name, at, seq);
                CREATE INDEX alarm_history_at ON alarm_history (at)
                """
            ],
        )

    def add(self, event: Event) -> None:
        """Writes what an event tells; the same event again changes nothing."""
        items = event.detail.get("history", [])
        if not items:
            return
        name = event.detail.get("alarm", event.name)
        kind = TYPES.get(event.kind) or event.detail.get("type", "MetricAlarm")

        def work(tx: Tx) -> None:
            for place, item in enumerate(items):
                row = (
                    event.seq * 10 + place,
                    event.account,
                    event.region,
                    name,
                    kind,
                    event.at,
                    item["type"],
                    item["summary"],
                    item["data"],
                )
                tx.execute("INSERT INTO alarm_history VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (seq) DO NOTHING", row)
            tx.execute("DELETE FROM alarm_history WHERE at < ?", (event.at - KEEP_S,))

        self.db.grouped(work)


@api.reader(READER, kinds=KINDS)
def write(event: Event, world: Any) -> None:
    world.alarm_history.add(event)


def catch_up(world: Any) -> None:
    place = world.store.cursor(READER)
    while events := world.store.events(place, 500):
        for event in events:
            if event.kind in KINDS:
                world.alarm_history.add(event)
        place = events[-1].seq


@api.operation
def describe_alarm_history(call, request):
    catch_up(call.platform)
    newest_first = request.get("ScanBy", "TimestampDescending") != "TimestampAscending"
    where, values = ["account = ?", "region = ?"], [call.account, call.region]
    if "AlarmName" in request:
        where.append("name = ?")
        values.append(request["AlarmName"])
    types = request.get("AlarmTypes") or (["MetricAlarm", "CompositeAlarm"] if "AlarmName" in request else ["MetricAlarm"])
    where.append(f"type IN ({','.join('?' * len(types))})")
    values += types
    for member, column, sign in (("HistoryItemType", "item", "="), ("StartDate", "at", ">="), ("EndDate", "at", "<=")):
        if member in request:
            where.append(f"{column} {sign} ?")
            values.append(request[member])
    if "NextToken" in request:
        where.append(f"(at, seq) {'<' if newest_first else '>'} (?, ?)")
        values += decode_token(request["NextToken"], api.error.InvalidNextToken, [0.0, 0])
    most = min(request.get("MaxRecords", PAGE), MOST_PAGE)
    order = "DESC" if newest_first else "ASC"
    rows = call.platform.alarm_history.db.read(
        f"SELECT seq, name, type, at, item, summary, data FROM alarm_history WHERE {' AND '.join(where)} "
        f"ORDER BY at {order}, seq {order} LIMIT {most + 1}",
        values,
    )
    items = [
        {"AlarmName": name, "AlarmType": kind, "Timestamp": at, "HistoryItemType": item, "HistorySummary": summary, "HistoryData": data}
        for _, name, kind, at, item, summary, data in rows[:most]
    ]
    return {"AlarmHistoryItems": items} | ({"NextToken": encode_token([rows[most - 1][3], rows[most - 1][0]])} if len(rows) > most else {})
