"""Stateful sessions by an unmodified boto3 client: calls with a session's id go to the instance that opened it."""

from __future__ import annotations

import pytest

from modelyard.serving.sessions import Sessions
from tests.support.hosting import Hosting, eventually


@pytest.fixture
def hosting(tmp_path):
    made = Hosting(tmp_path)
    made.model("m")
    row = {"VariantName": "m", "ModelName": "m", "InitialInstanceCount": 4, "InstanceType": "ml.m5.large"}
    made.sm.create_endpoint_config(EndpointConfigName="e", ProductionVariants=[row])
    made.sm.create_endpoint(EndpointName="e", EndpointConfigName="e")
    made.until("InService")
    yield made
    made.close()


def call(hosting, body, session=None):
    answer = hosting.rt.invoke_endpoint(EndpointName="e", Body=body, **({"SessionId": session} if session else {}))
    return answer["Body"].read().decode(), answer


def test_calls_stick_to_the_instance_of_their_session(hosting):
    homes = {}
    for name in ("s1", "s2", "s3", "s4"):
        homes[name], answer = call(hosting, f"open {name}".encode(), "NEW_SESSION")
        assert answer["NewSessionId"] == f"{name}; Expires=2099-01-01T00:00:00Z"
    assert len(set(homes.values())) > 1, "new sessions are spread"
    for name, home in homes.items():
        assert {call(hosting, b"who", name)[0] for _ in range(12)} == {home}
    assert len({call(hosting, b"who")[0] for _ in range(12)}) == 4, "other calls are spread as ever"
    home, answer = call(hosting, b"close s1", "s1")
    assert home == homes["s1"] and answer["ClosedSessionId"] == "s1"
    assert len({call(hosting, b"who", "s1")[0] for _ in range(12)}) == 4, "a closed session is nobody's"


def test_another_gateway_knows_the_session(hosting):
    home, _ = call(hosting, b"open s1", "NEW_SESSION")
    invoker = hosting.platform.invoker
    invoker._sessions = Sessions(hosting.yard.settings.data / "sessions")
    assert {call(hosting, b"who", "s1")[0] for _ in range(12)} == {home}


def test_expired_and_unknown_sessions_are_routed_like_any_call(hosting):
    call(hosting, b"open old 2001-01-01T00:00:00Z", "NEW_SESSION")
    assert len({call(hosting, b"who", "old")[0] for _ in range(12)}) == 4
    assert len({call(hosting, b"who", "never")[0] for _ in range(12)}) == 4


def test_session_of_an_instance_that_is_gone(hosting):
    home, _ = call(hosting, b"open s1", "NEW_SESSION")
    next(box for box in hosting.runtime.running() if box.spec.id == home).end(137)
    assert eventually(lambda: call(hosting, b"who", "s1")[0] != home)
