"""Queries over more than one row, span or group: pattern, diff, join, queries within, SOURCE, filterIndex, unmask."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.services.logs.insights.patterns import Patterns
from tests.services.sqs.test_who_may import allow, user

NOW = 1_700_000_000
DAY = 86_400


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def logs(yard):
    return yard.client("logs")


def fill(logs, group, messages, at=NOW - 60, log_class="STANDARD"):
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group, logGroupClass=log_class)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
    events = [{"timestamp": at * 1000 + n, "message": m if isinstance(m, str) else json.dumps(m)} for n, m in enumerate(messages)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


def ask(yard, logs, query, group="/q", **more):
    named = {"logGroupName": group} if group else {}
    span = {"startTime": NOW - 3600, "endTime": NOW, **more}
    started = logs.start_query(queryString=query, **named, **span)
    yard.settle()
    answer = logs.get_query_results(queryId=started["queryId"])
    assert answer["status"] == "Complete", answer
    return [{f["field"]: f["value"] for f in row if f["field"] != "@ptr"} for row in answer["results"]]


LINES = [
    *[f"2026-01-01T00:00:{n:02d}Z ERROR request {n} of 10.0.0.{n} failed after {n * 3} ms" for n in range(6)],
    *[f"2026-01-01T00:00:{n:02d}Z INFO user {name} logged in" for n, name in enumerate(["ann", "bob", "eve"])],
    "started",
]


def test_pattern_tells_what_lines_have_in_common(yard, logs):
    fill(logs, "/q", LINES)
    found = ask(yard, logs, "pattern @message")
    assert found[0] == {
        "@pattern": "<Time-1> ERROR request <Number-2> of <IP-3> failed after <Number-4> ms",
        "@ratio": "0.6",
        "@sampleCount": "6",
        "@severityLabel": "Error",
    }
    assert found[1]["@pattern"] == "<Time-1> INFO user <Token-2> logged in" and found[1]["@severityLabel"] == "Info"
    assert found[2] == {"@pattern": "started", "@ratio": "0.1", "@sampleCount": "1"}
    assert [row["@sampleCount"] for row in ask(yard, logs, "filter @message like /ERROR/ | pattern @message")] == ["6"]
    parsed = 'parse @message "* ERROR *" as at, rest | pattern rest | filter @sampleCount > 1 | display @pattern'
    assert ask(yard, logs, parsed) == [{"@pattern": "request <Number-1> of <IP-2> failed after <Number-3> ms"}]


def test_pattern_is_bounded_and_cuts_json_at_its_signs():
    patterns = Patterns()
    for n in range(50):
        patterns.add(json.dumps({"level": "INFO", "id": f"6b29fc40-ca47-1067-b31d-00dd010662{n:02d}", "n": n, "word": f"w{n}x"}))
    (found,) = patterns.found()
    assert found.count == 50
    assert found.text() == '{"level": "INFO", "id": "<UUID-1>", "n": <Number-2>, "word": "<Token-3>"}'


def test_diff_compares_with_an_earlier_span(yard, logs):
    fill(logs, "/q", ["ERROR of disk 1", "ERROR of disk 2", "gone by now"], NOW - 3600 - 60)
    fill(logs, "/q", ["ERROR of disk 3", "ERROR of disk 4", "ERROR of disk 5", "never before"], NOW - 60)
    told = {row["@pattern"]: row for row in ask(yard, logs, "pattern @message | diff")}
    assert told["ERROR of disk <Number-1>"]["@differenceCount"] == "1"
    assert told["ERROR of disk <Number-1>"]["@previousCount"] == "2"
    assert told["ERROR of disk <Number-1>"]["@differenceDescription"] == "Up 50%"
    assert told["never before"]["@differenceDescription"] == "New" and told["gone by now"]["@differenceDescription"] == "Gone"
    fill(logs, "/q", ["yesterday"], NOW - DAY - 60)
    told = {row["@pattern"]: row["@differenceDescription"] for row in ask(yard, logs, "diff previousDay")}
    assert told["yesterday"] == "Gone" and told["never before"] == "New" and "gone by now" not in told


def test_join_and_queries_within(yard, logs):
    fill(logs, "/api", [{"requestId": f"r{n}", "status": 500 if n % 2 else 200, "latency": n} for n in range(5)])
    fill(logs, "/fn", [{"requestId": "r1", "duration": 10}, {"requestId": "r1", "duration": 11}, {"requestId": "r2", "duration": 7}])
    joined = (
        "filter status >= 500 | join type={} left=api right=fn where api.requestId=fn.requestId (SOURCE '/fn')"
        " | fields api.requestId, fn.duration | sort fn.duration"
    )
    assert ask(yard, logs, joined.format("inner"), "/api") == [
        {"api.requestId": "r1", "fn.duration": "10"},
        {"api.requestId": "r1", "fn.duration": "11"},
    ]
    assert ask(yard, logs, joined.format("left"), "/api")[0] == {"api.requestId": "r3"}
    counted = (
        "join left=a right=b where b.requestId = a.requestId (SOURCE '/fn' | stats sum(duration) as total by requestId)"
        " | stats count(*) as n, max(b.total) as most by a.status"
    )
    assert sorted(ask(yard, logs, counted, "/api"), key=str) == [
        {"a.status": "200", "n": "1", "most": "7"},
        {"a.status": "500", "n": "1", "most": "21"},
    ]
    within = "filter requestId {} (SOURCE '/fn' | filter duration > 7 | fields requestId) | fields requestId | sort requestId"
    assert ask(yard, logs, within.format("in"), "/api") == [{"requestId": "r1"}]
    assert len(ask(yard, logs, within.format("not in"), "/api")) == 4


def test_source_selects_groups(yard, logs):
    for name in ("app/one", "app/two", "other"):
        fill(logs, name, [f"line of {name}"])
    fill(logs, "rare", ["line of rare"], log_class="INFREQUENT_ACCESS")
    count = "| stats count(*) as n"
    assert ask(yard, logs, f"SOURCE logGroups(namePrefix: ['app/']) {count}", None) == [{"n": "2"}]
    assert ask(yard, logs, f"SOURCE logGroups() {count}", None) == [{"n": "3"}]
    assert ask(yard, logs, f"SOURCE logGroups(class: ['INFREQUENT_ACCESS']) {count}", None) == [{"n": "1"}]
    assert ask(yard, logs, f"SOURCE logGroups(accountIdentifiers:['123456789012'], namePrefix: ['o', 'x']) {count}", None) == [{"n": "1"}]
    assert ask(yard, logs, "SOURCE 'other' START=-1h END=now | fields @message", None) == [{"@message": "line of other"}]
    assert ask(yard, logs, 'SOURCE "other"', None)[0]["@message"] == "line of other"
    for query, named, code in (
        ("SOURCE 'none' | limit 1", {}, "ResourceNotFoundException"),
        ("SOURCE logGroups(nonsense: ['x'])", {}, "MalformedQueryException"),
        ("SOURCE 'other' | limit 1", {"logGroupName": "other"}, "InvalidParameterException"),
    ):
        with pytest.raises(ClientError) as refused:
            logs.start_query(queryString=query, startTime=1, endTime=NOW, **named)
        assert refused.value.response["Error"]["Code"] == code


def test_source_is_no_way_around_permissions(yard, logs):
    fill(logs, "mine", ["m"])
    fill(logs, "theirs", ["t"])
    mine = "arn:aws:logs:us-east-1:123456789012:log-group:mine:*"
    theirs = user(yard, "u", allow("logs:StartQuery", mine))("logs")
    span = {"startTime": NOW - 3600, "endTime": NOW}
    theirs.start_query(logGroupName="mine", queryString="fields @message", **span)
    for query in ("SOURCE 'theirs'", "SOURCE logGroups()"):
        with pytest.raises(ClientError) as refused:
            theirs.start_query(queryString=query, **span)
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    for query in ("filter @message in (SOURCE 'theirs')", "fields unmask(@message)", "unmask @message"):
        with pytest.raises(ClientError) as refused:
            theirs.start_query(logGroupName="mine", queryString=query, **span)
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    assert ask(yard, logs, "fields unmask(@message) as m", "mine") == [{"m": "m"}]


def test_filter_index_looks_into_groups_with_the_index(yard, logs):
    for name in ("a", "b"):
        fill(logs, name, [{"ip": "10.0.0.1", "g": name}, {"ip": "10.0.0.2", "g": name}])
    query = 'SOURCE logGroups() | filterIndex ip in ["10.0.0.1", "10.0.0.9"] | fields g'
    assert ask(yard, logs, query, None) == []
    logs.put_index_policy(logGroupIdentifier="b", policyDocument=json.dumps({"Fields": ["ip", "requestId"]}))
    assert ask(yard, logs, query, None) == [{"g": "b"}]
    (policy,) = logs.describe_index_policies(logGroupIdentifiers=["b"])["indexPolicies"]
    assert json.loads(policy["policyDocument"])["Fields"] == ["ip", "requestId"]
    assert [one["fieldIndexName"] for one in logs.describe_field_indexes(logGroupIdentifiers=["a", "b"])["fieldIndexes"]] == [
        "ip",
        "requestId",
    ]
    with pytest.raises(ClientError):
        logs.put_index_policy(logGroupIdentifier="b", policyDocument='{"fields": 1}')
    logs.delete_index_policy(logGroupIdentifier="b")
    assert logs.describe_index_policies(logGroupIdentifiers=["b"])["indexPolicies"] == []
