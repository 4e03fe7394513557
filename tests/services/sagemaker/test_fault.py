"""Faults for rehearsals and the traffic page, by boto3: the splitter fails and delays, permissions hold, platform time ends it."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import SystemClock
from modelyard.services.sagemaker.endpoint.fault import FAULT, by_variant, decide
from tests.support.hosting import Hosting, eventually


@pytest.fixture
def hosting(tmp_path):
    made = Hosting(tmp_path)
    made.own = made.yard.client("modelyard")
    made.deploy("e", "good", "other")
    yield made
    made.close()


def statuses(hosting, calls=40, **more):
    found = []
    for _ in range(calls):
        try:
            hosting.rt.invoke_endpoint(EndpointName="e", Body=b"x", **more)
            found.append(200)
        except ClientError as problem:
            found.append(problem.response["OriginalStatusCode"])
    return found


def in_force(hosting):
    return hosting.own.list_endpoint_faults(EndpointName="e")["Faults"]


def table_has(hosting, count):
    rows = hosting.platform.store.routes(hosting.sm.describe_endpoint(EndpointName="e")["EndpointArn"])[1]["variants"]
    return sum("fault" in row for row in rows) == count


def test_a_share_of_one_variants_calls_fails_until_it_is_over(hosting):
    put = hosting.own.put_endpoint_fault(EndpointName="e", VariantName="good", ErrorRate=0.5, StatusCode=503, DurationInSeconds=600)
    eventually(lambda: table_has(hosting, 1))
    hit = eventually(lambda: (found := statuses(hosting, TargetVariant="good")) and 503 in found and 200 in found and found)
    assert set(hit) == {200, 503}
    assert set(statuses(hosting, TargetVariant="other")) == {200}, "its neighbour is unharmed"
    [fault] = in_force(hosting)
    assert fault["FaultId"] == put["FaultId"] and (fault["ErrorRate"], fault["StatusCode"]) == (0.5, 503)
    hosting.own.delete_endpoint_fault(EndpointName="e", FaultId=put["FaultId"])
    eventually(lambda: table_has(hosting, 0))
    assert eventually(lambda: set(statuses(hosting, 20, TargetVariant="good")) == {200})
    events = [e for e in hosting.platform.store.events(0, 1000) if e.kind == FAULT.kind]
    assert [(e.old, e.new) for e in events if e.name == put["FaultId"]][-1] == ("Active", None) and len(events) >= 2


def test_latency_is_added_and_platform_time_ends_it(hosting):
    hosting.own.put_endpoint_fault(EndpointName="e", VariantName="good", LatencyMilliseconds=300, DurationInSeconds=2)
    eventually(lambda: table_has(hosting, 1))

    def seconds():
        began = time.monotonic()
        hosting.rt.invoke_endpoint(EndpointName="e", Body=b"x", TargetVariant="good")
        return time.monotonic() - began

    assert eventually(lambda: seconds() > 0.3)
    assert eventually(lambda: not in_force(hosting) and seconds() < 0.3)


def test_who_may(hosting):
    iam = hosting.yard.root("iam")
    iam.create_user(UserName="ops")
    allow = {
        "Effect": "Allow",
        "Action": ["modelyard:ListEndpointFaults", "sagemaker:*"],
        "Resource": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e",
    }
    iam.put_user_policy(UserName="ops", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    key = iam.create_access_key(UserName="ops")["AccessKey"]
    from tests.support import inproc

    ops = inproc.client(hosting.yard.gateway, "modelyard", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    assert ops.list_endpoint_faults(EndpointName="e")["Faults"] == []
    with pytest.raises(ClientError, match="not authorized to perform: modelyard:PutEndpointFault"):
        ops.put_endpoint_fault(EndpointName="e", VariantName="good", ErrorRate=1.0, DurationInSeconds=60)
    assert in_force(hosting) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"EndpointName": "nope"}, "Endpoint nope of account 123456789012 not found."),
        ({"VariantName": "nope"}, "has no production variant nope"),
        ({"ErrorRate": 0.0}, "Say what shall go wrong"),
        ({"ErrorRate": 1.5}, "less than or equal to 1"),
        ({"StatusCode": 200}, "greater than or equal to 400"),
        ({"DurationInSeconds": 0}, "greater than or equal to 1"),
    ],
)
def test_bad_input(hosting, change, text):
    asked = {"EndpointName": "e", "VariantName": "good", "ErrorRate": 0.5, "DurationInSeconds": 60, **change}
    from botocore.config import Config

    own = hosting.yard.client("modelyard", config=Config(parameter_validation=False))
    with pytest.raises(ClientError, match=text):
        own.put_endpoint_fault(**asked)
    assert in_force(hosting) == []


def test_faults_go_with_their_endpoint(hosting):
    hosting.own.put_endpoint_fault(EndpointName="e", VariantName="good", ErrorRate=1.0, DurationInSeconds=6000)
    hosting.sm.delete_endpoint(EndpointName="e")

    def gone():
        with contextlib.suppress(ClientError):
            hosting.sm.describe_endpoint(EndpointName="e")
            return False
        return True

    eventually(gone)
    hosting.platform.store.list(FAULT.kind, "123456789012", "us-east-1")
    for fault in hosting.platform.store.list(FAULT.kind, "123456789012", "us-east-1"):
        assert decide(fault, False, SystemClock().now()).delete


def test_several_faults_of_a_variant_add_up():
    class Row:
        def __init__(self, **spec):
            self.spec = {"variant": "v", "error_rate": 0.0, "status": 500, "latency_ms": 0, **spec}

    rows = [Row(error_rate=0.2, status=503), Row(error_rate=0.1, latency_ms=200), Row(latency_ms=100)]
    assert by_variant(rows) == {"v": {"error_rate": 0.2, "status": 503, "latency_s": 0.2}}


def test_traffic(hosting):
    for _ in range(30):
        hosting.rt.invoke_endpoint(EndpointName="e", Body=b"x")

    def look():
        found = hosting.own.describe_endpoint_traffic(EndpointName="e", WindowInSeconds=60)
        return found if sum(v["InvocationsPerSecond"] for v in found["Variants"]) * 60 >= 30 else None

    found = eventually(look)
    assert found["EndpointStatus"] == "InService" and [v["VariantName"] for v in found["Variants"]] == ["good", "other"]
    for variant in found["Variants"]:
        [fleet] = variant["Fleets"]
        assert fleet["Share"] == 0.5 and [r["Status"] for r in fleet["Replicas"]] == ["InService"] and fleet["Replicas"][0]["InTable"]
        assert variant["ModelP50Milliseconds"] > 0 and variant["ServerErrorsPerSecond"] == 0
    from modelyard.cli.watch_picture import History, picture

    history = History()
    history.add(found)
    from rich.console import Console

    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(picture(found, history))
    text = console.export_text()
    assert "InService" in text and "good/1 50 %" in text and "calls/s" in text


def test_calls_under_way(hosting):
    """What `modelyard watch` shows as in flight: of the variant as a whole, also between two looks."""

    def call() -> None:
        hosting.rt.invoke_endpoint(EndpointName="e", Body=b"sleep 2", TargetVariant="good")

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()

    def look():
        rows = hosting.own.describe_endpoint_traffic(EndpointName="e", WindowInSeconds=5)["Variants"]
        found = {v["VariantName"]: v.get("InFlight") for v in rows}
        return found if found["good"] else None

    found = eventually(look)
    assert 1 <= found["good"] <= 6 and not found["other"]
    for caller in callers:
        caller.join(10)
