"""CloudWatch Logs through a real boto3 client."""

from __future__ import annotations

import time

import pytest
from botocore.config import Config

from modelyard.cli.logs import Tail
from modelyard.kernel.clock import ManualClock, SystemClock
from modelyard.kernel.database import SQLite
from modelyard.services.logs import live_tail
from modelyard.services.logs.follow import Followed, LogFollower
from modelyard.services.logs.log_store import LogStore
from tests.support import inproc
from tests.support.chaos import Chaos, Crash
from tests.support.platform import InProcess


@pytest.fixture
def logs(client):
    return client("logs")


def code(call):
    with pytest.raises(Exception) as raised:
        call()
    return raised.value.response["Error"]["Code"]


def put(logs, messages, group="/g", stream="s", later_ms=0):
    now = int(time.time() * 1000) + later_ms
    logs.put_log_events(
        logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": now + n, "message": m} for n, m in enumerate(messages)]
    )


@pytest.fixture
def stream(logs):
    logs.create_log_group(logGroupName="/g", tags={"team": "red"})
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    return logs


def test_groups_and_streams_are_made_listed_and_deleted(stream):
    assert code(lambda: stream.create_log_group(logGroupName="/g")) == "ResourceAlreadyExistsException"
    assert code(lambda: stream.create_log_stream(logGroupName="/g", logStreamName="s")) == "ResourceAlreadyExistsException"
    (group,) = stream.describe_log_groups(logGroupNamePrefix="/")["logGroups"]
    assert group["arn"] == "arn:aws:logs:us-east-1:123456789012:log-group:/g:*"
    assert stream.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"team": "red"}
    stream.put_retention_policy(logGroupName="/g", retentionInDays=7)
    assert stream.describe_log_groups()["logGroups"][0]["retentionInDays"] == 7
    stream.delete_log_stream(logGroupName="/g", logStreamName="s")
    assert stream.describe_log_streams(logGroupName="/g")["logStreams"] == []
    stream.delete_log_group(logGroupName="/g")
    assert stream.describe_log_groups()["logGroups"] == []


def test_what_is_missing_is_resource_not_found_and_nothing_else(logs):
    for call in (
        lambda: logs.describe_log_streams(logGroupName="/none"),
        lambda: logs.get_log_events(logGroupName="/none", logStreamName="s"),
        lambda: logs.filter_log_events(logGroupName="/none"),
        lambda: put(logs, ["x"], group="/none"),
    ):
        assert code(call) == "ResourceNotFoundException"


def test_get_log_events_pages_both_ways_and_repeats_the_token_at_the_end(stream):
    put(stream, [f"line {n}" for n in range(25)])
    seen, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = stream.get_log_events(logGroupName="/g", logStreamName="s", startFromHead=True, limit=10, **more)
        seen += [e["message"] for e in page["events"]]
        if page["nextForwardToken"] == token:
            break
        token = page["nextForwardToken"]
    assert seen == [f"line {n}" for n in range(25)]
    tail = stream.get_log_events(logGroupName="/g", logStreamName="s", limit=5)
    assert [e["message"] for e in tail["events"]] == [f"line {n}" for n in range(20, 25)]
    before = stream.get_log_events(logGroupName="/g", logStreamName="s", limit=5, nextToken=tail["nextBackwardToken"])
    assert [e["message"] for e in before["events"]] == [f"line {n}" for n in range(15, 20)]
    put(stream, ["later"], later_ms=1000)
    after = stream.get_log_events(logGroupName="/g", logStreamName="s", nextToken=token)
    assert [e["message"] for e in after["events"]] == ["later"]


@pytest.mark.parametrize(
    ("pattern", "hits"),
    [
        ("", 4), ("ERROR", 2), ("ERROR disk", 1), ('"disk full"', 1), ("-ERROR", 2), ("?ERROR ?warn", 3), ("%[0-9]{3}%", 1), ("error", 0),
    ],
)  # fmt: skip
def test_filter_patterns(stream, pattern, hits):
    put(stream, ["ERROR disk full", "ERROR net", "warn 404", "fine"])
    found = stream.filter_log_events(logGroupName="/g", filterPattern=pattern)["events"]
    assert len(found) == hits


def test_filter_pages_over_streams_and_time(stream):
    stream.create_log_stream(logGroupName="/g", logStreamName="t")
    put(stream, [f"a{n}" for n in range(5)])
    put(stream, [f"b{n}" for n in range(5)], stream="t")
    pages = stream.get_paginator("filter_log_events").paginate(logGroupName="/g", PaginationConfig={"PageSize": 3})
    assert sorted(e["message"] for page in pages for e in page["events"]) == sorted(
        [f"a{n}" for n in range(5)] + [f"b{n}" for n in range(5)]
    )
    only = stream.filter_log_events(logGroupName="/g", logStreamNamePrefix="t")["events"]
    assert {e["logStreamName"] for e in only} == {"t"}


def test_bad_input_gets_the_error_of_aws(stream):
    now = int(time.time() * 1000)
    backwards = [{"timestamp": now, "message": "b"}, {"timestamp": now - 5, "message": "a"}]
    calls = {
        "order": lambda: stream.put_log_events(logGroupName="/g", logStreamName="s", logEvents=backwards),
        "token": lambda: stream.get_log_events(logGroupName="/g", logStreamName="s", nextToken="nonsense"),
        "json": lambda: stream.filter_log_events(logGroupName="/g", filterPattern="{ $.a = }"),
        "retention": lambda: stream.put_retention_policy(logGroupName="/g", retentionInDays=6),
        "both": lambda: stream.filter_log_events(logGroupName="/g", logStreamNames=["s"], logStreamNamePrefix="s"),
    }
    assert {name: code(call) for name, call in calls.items()} == dict.fromkeys(calls, "InvalidParameterException")


def test_events_of_another_age_are_rejected_and_told(stream):
    now = int(time.time() * 1000)
    answer = stream.put_log_events(
        logGroupName="/g",
        logStreamName="s",
        logEvents=[{"timestamp": now - 15 * 86_400_000, "message": "old"}],
    )
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert stream.get_log_events(logGroupName="/g", logStreamName="s")["events"] == []


def test_a_followed_file_is_read_live_without_loss_or_repeat_over_crashes(tmp_path):
    path, clock = tmp_path / "log", SystemClock()
    store = LogStore(SQLite(tmp_path / "logs.db", durable=False), clock)
    chaos = Chaos(3, 0.5)
    written = 0
    for _ in range(60):
        with path.open("a") as file:
            for _ in range(7):
                file.write(f"{int(time.time() * 1000)} line {written}\n")
                written += 1
        follower = LogFollower(chaos.wrap(store), clock)
        try:
            follower._files["k"] = Followed("1", "r", "/g", "s", path)
            follower.drain("k")
        except Crash:
            continue
    last = LogFollower(store, clock)
    last.follow("k", "1", "r", "/g", "s", path)
    last.drain("k")
    last.stop()
    group = store.group("1", "r", "/g")
    events = store.events([store.stream(group, "s").id], limit=10_000)
    assert sorted((e.message for e in events), key=lambda m: int(m.split()[1])) == [f"line {n}" for n in range(written)]
    assert chaos.crashes > 10


def test_two_engines_that_follow_one_file_write_each_line_once(tmp_path):
    """Each remembers how far it has read itself; what the other wrote in between is not written again."""
    path, clock = tmp_path / "log", SystemClock()
    database = tmp_path / "logs.db"
    stores = [LogStore(SQLite(database, durable=False), clock) for _ in range(2)]
    followers = [LogFollower(store, clock) for store in stores]
    files = [Followed("1", "r", "/g", "s", path) for _ in followers]
    written = 0
    for turn in range(30):
        with path.open("a") as file:
            for _ in range(3):
                file.write(f"{int(time.time() * 1000)} line {written}\n")
                written += 1
        for n in ((0,), (1,), (0, 1), (1, 0))[turn % 4]:
            followers[n]._read("k", files[n])
    for n in (0, 1):
        followers[n]._read("k", files[n])
    (stream,) = stores[0].streams(stores[0].group("1", "r", "/g"), prefix="", limit=10)
    events = stores[0].events([stream.id], limit=10_000)
    assert [event.message for event in events] == [f"line {n}" for n in range(written)]


def test_a_filter_over_many_lines_of_many_streams_comes_in_pages_and_misses_none(stream, monkeypatch):
    monkeypatch.setattr("modelyard.services.logs.log_store.LOOK_ROWS", 640)
    monkeypatch.setattr("modelyard.services.logs.events.PAGE_SECONDS", 0.0)
    for n in range(12):
        stream.create_log_stream(logGroupName="/g", logStreamName=f"t{n:02}")
        put(stream, [f"{'needle' if i % 50 == n else 'hay'} {n} {i}" for i in range(200)], stream=f"t{n:02}", later_ms=n)
    for pattern in ("needle", "[word = needle, n, i]"):
        seen, pages, more = [], 0, {}
        while True:
            page = stream.filter_log_events(logGroupName="/g", filterPattern=pattern, **more)
            seen, pages = seen + page["events"], pages + 1
            if "nextToken" not in page:
                break
            more = {"nextToken": page["nextToken"]}
        assert pages > 3 and len(seen) == len({e["eventId"] for e in seen}) == 12 * 4
        assert [e["timestamp"] for e in seen] == sorted(e["timestamp"] for e in seen)


def test_the_command_tells_what_is_new_in_a_group(stream, yard):
    stream.create_log_stream(logGroupName="/g", logStreamName="t")
    tail = Tail(yard.platform.logs, "123456789012", "us-east-1", "/g")
    put(stream, ["a", "b"])
    put(stream, ["c"], stream="t", later_ms=10)
    assert [(name, text) for _, name, text in tail.news()] == [("s", "a"), ("s", "b"), ("t", "c")]
    put(stream, ["d"], later_ms=20)
    assert [text for _, _, text in tail.news()] == ["d"] and tail.news() == []
    put(stream, ["of a minute ago"], later_ms=-60_000)
    stream.create_log_stream(logGroupName="/g", logStreamName="u")
    put(stream, ["of a new stream"], stream="u")
    assert [text for _, _, text in tail.news()] == ["of a minute ago", "of a new stream"]


def test_what_aws_refuses(stream, yard):
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/g"
    everything = {f"k{n}": "v" for n in range(50)}
    calls = {
        "both": lambda: stream.get_log_events(logGroupName="/g", logGroupIdentifier=arn, logStreamName="s"),
        "none": lambda: stream.describe_log_streams(),
        "reserved": lambda: stream.create_log_group(logGroupName="aws/x"),
        "reserved tag": lambda: stream.tag_resource(resourceArn=arn, tags={"aws:x": "1"}),
        "bare colon": lambda: stream.filter_log_events(logGroupName="/g", filterPattern="level: x"),
        "groups in an expression": lambda: stream.filter_log_events(logGroupName="/g", filterPattern="%a(b)%"),
    }
    assert {name: code(call) for name, call in calls.items()} == dict.fromkeys(calls, "InvalidParameterException")
    elsewhere = arn.replace("us-east-1", "eu-west-1")
    assert code(lambda: stream.get_log_events(logGroupIdentifier=elsewhere, logStreamName="s")) == "ResourceNotFoundException"
    assert code(lambda: stream.tag_resource(resourceArn=arn, tags=everything)) == "TooManyTagsException"
    linked = stream.describe_log_groups(includeLinkedAccounts=True, accountIdentifiers=["999999999999"])
    assert linked["logGroups"] == []


NOW = 1_700_000_000


@pytest.fixture
def yard_of_the_past(tmp_path):
    made = InProcess(tmp_path, ManualClock(NOW))
    yield made
    made.close()


def test_retention_hides_refuses_and_deletes_by_the_platform_clock(yard_of_the_past):
    yard = yard_of_the_past
    logs = yard.client("logs")
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")

    def put_at(at, text):
        return logs.put_log_events(logGroupName="/g", logStreamName="s", logEvents=[{"timestamp": at * 1000, "message": text}])

    put_at(NOW, "first")
    logs.put_retention_policy(logGroupName="/g", retentionInDays=1)
    yard.platform.clock.advance(20 * 3600)
    put_at(NOW + 20 * 3600, "second")
    stored = logs.describe_log_groups()["logGroups"][0]["storedBytes"]
    yard.platform.clock.advance(5 * 3600)
    texts = lambda: [e["message"] for e in logs.get_log_events(logGroupName="/g", logStreamName="s")["events"]]  # noqa: E731
    assert texts() == ["second"] == [e["message"] for e in logs.filter_log_events(logGroupName="/g")["events"]]
    assert put_at(NOW, "late")["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    yard.platform.logs.sweep()
    assert yard.platform.logs.db.read("SELECT message FROM log_events") == [("second",)]
    assert logs.describe_log_groups()["logGroups"][0]["storedBytes"] == stored - len("first") - 26
    logs.delete_retention_policy(logGroupName="/g")
    assert texts() == ["second"]


def test_a_group_is_protected_keeps_its_key_and_is_found_by_its_arn(yard, client):
    logs, kms = client("logs"), client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    logs.create_log_group(logGroupName="/k", kmsKeyId=arn, deletionProtectionEnabled=True)
    (said,) = logs.describe_log_groups()["logGroups"]
    assert said["kmsKeyId"] == arn and said["deletionProtectionEnabled"]
    assert code(lambda: logs.delete_log_group(logGroupName="/k")) == "ValidationException"
    logs.disassociate_kms_key(logGroupName="/k")
    assert "kmsKeyId" not in logs.describe_log_groups()["logGroups"][0]
    assert code(lambda: logs.associate_kms_key(logGroupName="/k", kmsKeyId=arn[:-4] + "none")) == "InvalidParameterException"
    logs.put_log_group_deletion_protection(logGroupIdentifier=said["logGroupArn"], deletionProtectionEnabled=False)
    assert logs.list_log_groups()["logGroups"][0]["logGroupName"] == "/k"
    logs.delete_log_group(logGroupName="/k")


def test_the_limits_of_a_batch(stream):
    now = int(time.time() * 1000)
    send = lambda events: stream.put_log_events(logGroupName="/g", logStreamName="s", logEvents=events)  # noqa: E731
    for events in (
        [{"timestamp": now, "message": "x" * 1_048_600}],
        [{"timestamp": now, "message": "x" * 600_000}] * 2,
        [{"timestamp": now - 25 * 3_600_000, "message": "a"}, {"timestamp": now, "message": "b"}],
    ):
        assert code(lambda events=events: send(events)) == "InvalidParameterException"
    answer = send([{"timestamp": now, "message": "a"}, {"timestamp": now + 3 * 3_600_000, "message": "b"}])
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}


def test_a_principal_that_may_not_is_denied(yard):
    iam = yard.client("iam")
    iam.create_user(UserName="eve")
    keys = iam.create_access_key(UserName="eve")["AccessKey"]
    logs = inproc.client(yard.gateway, "logs", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    for call in (
        lambda: logs.start_query(logGroupName="/g", startTime=0, endTime=1, queryString="fields a"),
        lambda: logs.put_metric_filter(
            logGroupName="/g",
            filterName="f",
            filterPattern="",
            metricTransformations=[{"metricName": "m", "metricNamespace": "n", "metricValue": "1"}],
        ),
        lambda: logs.put_subscription_filter(
            logGroupName="/g", filterName="f", filterPattern="", destinationArn="arn:aws:sqs:us-east-1:1:q"
        ),
        lambda: logs.put_query_definition(name="n", queryString="fields a"),
        lambda: logs.associate_kms_key(logGroupName="/g", kmsKeyId="k"),
    ):
        assert code(call) == "AccessDeniedException"


def test_live_tail_tells_what_arrives_until_its_time_is_up(stream, yard, monkeypatch):
    """In process an answer comes whole, so the session is short and begins before the events."""
    monkeypatch.setattr(live_tail, "LONGEST_S", 0.0)
    monkeypatch.setattr(LogStore, "last_seq", lambda store: 1)
    keys = yard.secrets["root"]
    tail = inproc.client(
        yard.gateway, "logs", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"], config=Config(inject_host_prefix=False)
    )
    arn = stream.describe_log_groups()["logGroups"][0]["logGroupArn"]
    put(stream, ["ERROR before", "fine", "ERROR disk"])
    events = iter(tail.start_live_tail(logGroupIdentifiers=[arn], logEventFilterPattern="ERROR")["responseStream"])
    assert next(events)["sessionStart"]["logGroupIdentifiers"] == [arn]
    (found,) = next(events)["sessionUpdate"]["sessionResults"]
    assert (found["message"], found["logStreamName"], found["logGroupIdentifier"]) == ("ERROR disk", "s", arn)
    assert "SessionTimeoutException" in next(events)
