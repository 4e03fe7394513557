"""Insights queries through a real boto3 client; an engine's worker runs them in `settle`."""

from __future__ import annotations

import json

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.services.logs.insights.query_store import QueryStore

NOW = 1_700_000_000
EVENTS = [
    {"level": "INFO", "ms": 10, "user": {"name": "ann", "ids": [7, 8]}, "path": "/a", "ok": True},
    {"level": "ERROR", "ms": 250, "user": {"name": "bob"}, "path": "/b", "ok": False},
    {"level": "INFO", "ms": 30, "user": {"name": "ann"}, "path": "/a", "ok": True},
    {"level": "WARN", "ms": 110.5, "path": "/c"},
    "plain text: user=eve, method:GET, latency := 42 from 10.0.0.9",
]


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def logs(yard):
    logs = yard.client("logs")
    logs.create_log_group(logGroupName="/q")
    logs.create_log_stream(logGroupName="/q", logStreamName="s")
    messages = [e if isinstance(e, str) else json.dumps(e) for e in EVENTS]
    logs.put_log_events(
        logGroupName="/q",
        logStreamName="s",
        logEvents=[{"timestamp": (NOW - 300 + 60 * n) * 1000, "message": m} for n, m in enumerate(messages)],
    )
    return logs


def ask(yard, logs, query, **more):
    started = logs.start_query(**{"logGroupName": "/q", "startTime": NOW - 3600, "endTime": NOW, "queryString": query, **more})
    yard.settle()
    return logs.get_query_results(queryId=started["queryId"])


def rows(answer):
    assert answer["status"] == "Complete", answer
    return [{f["field"]: f["value"] for f in row if f["field"] != "@ptr"} for row in answer["results"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fields level | filter level = 'ERROR'", [{"level": "ERROR"}]),
        ("fields ms | filter ms > 20 and level in ['INFO', 'WARN'] | sort ms", [{"ms": "30"}, {"ms": "110.5"}]),
        ("fields user.name as who, user.ids.1 as id | filter ispresent(user.ids.1)", [{"who": "ann", "id": "8"}]),
        ("filter @message like /lat\\w+ :=/ | fields strlen(level) as n, @logStream", [{"@logStream": "s"}]),
        ('filter @message not like "level" | display @log', [{"@log": "123456789012:/q"}]),
        ("stats count(*) as n by level | sort n desc, level | limit 2", [{"level": "INFO", "n": "2"}, {"n": "1"}]),
        ("fields user.ids[1] as id | filter user.ids[0] = 7", [{"id": "8"}]),
        ("fields jsonParse('[{\"a.b\": [5]}]') as j | limit 1 | display j[0].`a.b`[0] as five, j.0.none", [{"five": "5"}]),
        ("filter ms in[10] | stats count(*) as n by user.ids[1] | sort user.ids[1]", [{"user.ids[1]": "8", "n": "1"}]),
        ("fields ms | filter ms > 1.1e2 | sort by ms desc", [{"ms": "250"}, {"ms": "110.5"}]),
        ("fields user.`name` as who | filter ms = 25e1", [{"who": "bob"}]),
        ("filter ispresent(level) | stats sum(ms), avg(ms), min(ms), max(ms) - min(ms) as span, pct(ms, 50) as p50",
         [{"sum(ms)": "400.5", "avg(ms)": "100.125", "min(ms)": "10", "span": "240", "p50": "70.25"}]),
        ("stats count_distinct(level) as d, latest(level) as last, earliest(path) as first, sortsFirst(level) as a, sortsLast(level) as z",
         [{"d": "3", "last": "WARN", "first": "/a", "a": "ERROR", "z": "WARN"}]),
        ("stats count(*) by bin(2m) | sort bin(2m) asc | limit 1", [{"bin(2m)": "2023-11-14 22:08:00.000", "count(*)": "2"}]),
        ('parse "user=*, method:*, latency := * " as @user, @method, @latency | filter @latency > 41 | display @user, @method, @latency * 2 as twice',
         [{"@user": "eve", "@method": "GET", "twice": "84"}]),
        ("parse @message /from (?<ip>[\\d.]+)/ | filter isIpInSubnet(ip, '10.0.0.0/8') | display ip", [{"ip": "10.0.0.9"}]),
        ("filter ispresent(path) | dedup path | display path", [{"path": "/c"}, {"path": "/a"}, {"path": "/b"}]),
        ("filter ok = 1 | sort @timestamp asc | limit 1 | display @timestamp, toupper(path) as p", [{"@timestamp": "2023-11-14 22:08:20.000", "p": "/A"}]),
        ("filter level =~ /^(WARN|ERR)/ # a comment\n| sort @timestamp desc | display level", [{"level": "WARN"}, {"level": "ERROR"}]),
        ("filter not (level = 'INFO' or level = 'WARN') and ms >= 250 | display concat(level, '-', path) as c, 7 % 4 + 2 ^ 3 / 4 as x",
         [{"c": "ERROR-/b", "x": "5"}]),
        ("stats avg(ms) as a by level | stats max(a) as most", [{"most": "250"}]),
        ("stats count(*) as n by level | filter n > 1 | display level", [{"level": "INFO"}]),
        ("filter `level` = 'nothing' | stats count(*)", [{"count(*)": "0"}]),
        ("unnest user.ids into id | display id, level", [{"id": "7", "level": "INFO"}, {"id": "8"}]),
        ("fields jsonParse('[3,2]') as j | limit 1 | unnest j into k | stats count(*) as n, max(k) as m", [{"n": "2", "m": "3"}]),
        ("parse @message /user=(\\w+), method:(\\w+)/ as u, m | filter ispresent(u) | display m, u", [{"u": "eve", "m": "GET"}]),
        ("parse @message 'latency := * from *' as a, b | filter ispresent(a) | display a, b", [{"a": "42", "b": "10.0.0.9"}]),
        ("parse @message '*user=*,*' as a, b, c | filter ispresent(b) | display b", [{"b": "eve"}]),
        ("filter @message like /(?i)METHOD:get/ or @message like /method:post/i | stats count(*) as n", [{"n": "1"}]),
    ],
)  # fmt: skip
def test_the_language(yard, logs, query, expected):
    found = rows(ask(yard, logs, query))
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert {name: got.get(name) for name in wanted} == wanted


def test_without_fields_a_row_is_time_and_message_newest_first_with_a_pointer_to_the_whole(yard, logs):
    answer = ask(yard, logs, "limit 2")
    first = {f["field"]: f["value"] for f in answer["results"][0]}
    assert set(first) == {"@timestamp", "@message", "@ptr"} and first["@message"] == EVENTS[4]
    second = {f["field"]: f["value"] for f in answer["results"][1]}
    record = logs.get_log_record(logRecordPointer=second["@ptr"])["logRecord"]
    assert record["level"] == "WARN" and record["ms"] == "110.5" and record["@logStream"] == "s"
    assert record["@timestamp"] == str((NOW - 120) * 1000)
    with pytest.raises(logs.exceptions.ClientError):
        logs.get_log_record(logRecordPointer="bm9uc2Vuc2U=")


def test_statistics_and_status(yard, logs):
    started = logs.start_query(logGroupNames=["/q"], startTime=NOW - 3600, endTime=NOW, queryString="filter level = 'INFO' | limit 1")
    assert logs.get_query_results(queryId=started["queryId"])["status"] == "Scheduled"
    yard.settle()
    answer = logs.get_query_results(queryId=started["queryId"])
    assert answer["status"] == "Complete" and answer["statistics"]["recordsMatched"] == 1
    everything = ask(yard, logs, "filter level = 'INFO'")["statistics"]
    assert everything["recordsScanned"] == 5 and everything["recordsMatched"] == 2 and everything["bytesScanned"] > 100


def test_queries_are_stopped_listed_and_paged(yard, logs):
    stopped = logs.start_query(logGroupName="/q", startTime=0, endTime=NOW, queryString="fields @message")["queryId"]
    assert logs.stop_query(queryId=stopped)["success"]
    yard.settle()
    assert logs.get_query_results(queryId=stopped)["status"] == "Cancelled"
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.stop_query(queryId=stopped)
    done = ask(yard, logs, "fields level")
    assert len(done["results"]) == 5
    statuses = {q["status"] for q in logs.describe_queries(logGroupName="/q")["queries"]}
    assert statuses == {"Cancelled", "Complete"}
    id = logs.describe_queries(status="Complete")["queries"][0]["queryId"]
    page = logs.get_query_results(queryId=id, maxItems=3)
    rest = logs.get_query_results(queryId=id, maxItems=3, nextToken=page["nextToken"])
    assert len(page["results"]) == 3 and len(rest["results"]) == 2 and "nextToken" not in rest


@pytest.mark.parametrize(
    ("query", "start"),
    [("", 0), ("fields @message | filtr x", 18), ("fields a b", 9), ("filter a = 'x", 11), ("stats nonsense(a)", 6), ("limit x", 6),
     ("filter a like /(/", 14), ("parse @message 'a=*' as x, y", 15), ("stats count(*) by bin(5q5)", 24), ("anomaly", 0), ("fields sum(a)", 7), ("parse @message /(a)(b)/ as x", 27), ("unnest a", 8)],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(logs, query, start):
    with pytest.raises(logs.exceptions.MalformedQueryException) as raised:
        logs.start_query(logGroupName="/q", startTime=0, endTime=NOW, queryString=query)
    said = raised.value.response["queryCompileError"]
    assert said["location"]["startCharOffset"] == start and said["message"]


def test_bad_input(logs):
    for code, more in (
        ("ResourceNotFoundException", {"logGroupName": "/none"}),
        ("InvalidParameterException", {"logGroupName": "/q", "logGroupNames": ["/q"]}),
        ("InvalidParameterException", {}),
        ("InvalidParameterException", {"logGroupName": "/q", "endTime": 1}),
        ("InvalidParameterException", {"logGroupName": "/q", "queryLanguage": "SQL"}),
    ):
        with pytest.raises(logs.exceptions.ClientError) as raised:
            logs.start_query(**{"startTime": 100, "endTime": NOW, "queryString": "fields a", **more})
        assert raised.value.response["Error"]["Code"] == code
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_query_results(queryId="none")


def test_a_query_whose_engine_was_killed_is_run_by_the_next(yard, logs):
    id = logs.start_query(logGroupName="/q", startTime=0, endTime=NOW, queryString="stats count(*) as n")["queryId"]
    queries = QueryStore(yard.platform.logs.db)
    assert queries.claim().id == id and queries.claim() is None
    with yard.platform.logs.db.write() as tx:
        tx.execute("UPDATE log_queries SET lease = 1")
    yard.settle()
    assert rows(logs.get_query_results(queryId=id)) == [{"n": "5"}]


def test_saved_queries(logs):
    made = [
        logs.put_query_definition(name=f"f/{n}", queryString="fields @message", logGroupNames=["/q"])["queryDefinitionId"] for n in range(3)
    ]
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.put_query_definition(name="f/0", queryString="fields @message")
    logs.put_query_definition(name="g", queryString="limit 1", queryDefinitionId=made[0])
    assert [d["name"] for d in logs.describe_query_definitions(queryDefinitionNamePrefix="f/")["queryDefinitions"]] == ["f/1", "f/2"]
    page = logs.describe_query_definitions(maxResults=2)
    assert len(logs.describe_query_definitions(nextToken=page["nextToken"])["queryDefinitions"]) == 1
    assert logs.delete_query_definition(queryDefinitionId=made[0])["success"]
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.delete_query_definition(queryDefinitionId=made[0])
