"""Requests like one before (wire/alike.py) against the ordinary path: what is changed, where, and by whom."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager

import pytest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.wire import alike
from modelyard.wire.alike import take_apart
from tests.wire.test_at_once import Doors, comparable, message, read_answer

SDK = {
    "User_Agent": "Boto3/1.40.0",
    "Content_Type": "text/csv",
    "amz_sdk_invocation_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "amz_sdk_request": "attempt=1",
}


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    made = Doors(tmp_path_factory.mktemp("alike"))
    yield made
    made.close()


@contextmanager
def line(doors, name="quick"):
    """One connection: `ask(bytes)` answers (status, headers, body); nothing where the connection was closed."""
    with doors.connected(name) as sock:
        file = sock.makefile("rb")

        def ask(raw: bytes):
            sock.sendall(raw)
            return read_answer(file)

        yield ask


def known(doors, ask, *raws: bytes) -> list[bool]:
    """Which of these were like one before."""
    said = []
    for raw in raws:
        before = doors.known
        assert ask(raw)[0] == 200
        said.append(doors.known > before)
    return said


def test_from_the_fourth_on_they_are_known(doors):
    with line(doors) as ask:
        ask(doors.raw(b"route"))
        assert known(doors, ask, *(doors.raw(b"%d" % n, **SDK) for n in range(6)))[-3:] == [True] * 3, "route, first, second"
        # ids that the library makes up, other bodies of as many digits' length, another second
        time.sleep(1.05)
        again = {**SDK, "amz_sdk_invocation_id": "1f8fad5b-d9cb-469f-a165-70867728950f"}
        assert known(doors, ask, doors.raw(b"a,b,c\r\n\r", **again), doors.raw(b"\xff" * 9, **SDK)) == [True, True]
        # another length of the length is another head, and so is another type
        assert known(doors, ask, doors.raw(b"x" * 10, **SDK), doors.raw(b"x", **{**SDK, "Content_Type": "text/csw"})) == [False, False]
    with line(doors) as ask:
        assert known(doors, ask, doors.raw(b"1", **SDK)) == [True], "whatever connection it comes by"


def test_answers_are_those_of_the_ordinary_path(doors):
    for body in (b"x", b"", b"status 400 no such feature", b"status 500 x", b"status 204", b"parts one two", b"y" * 70_000, b"sleep 0.01"):
        raw = doors.raw(body, **SDK)
        with line(doors) as ask:
            for _ in range(4):
                said = ask(raw)
        with line(doors, "plain") as ask:
            assert comparable(said) == comparable(ask(raw)), body


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    at=st.floats(0, 1),
    put=st.one_of(
        st.sampled_from([b"\r\n", b"\n", b"\r\n\r\n", b"\0", b" ", b"  ", b"\t", b":", b"\r\nA: b\r\n", b"%b", b"9"]), st.binary(max_size=3)
    ),
    over=st.booleans(),
    inside=st.sampled_from(["anywhere", "amz-sdk-invocation-id", "amz-sdk-request", "X-Amz-Date", "Content-Length", "Signature=", "Host"]),
)
def test_a_byte_changed_anywhere_is_no_more_than_that(doors, at, put, over, inside):
    """A known request, spoilt: both servers say the same, and the next one on the line."""
    raw = doors.raw(b"body!", **SDK)
    with line(doors) as ask:
        for _ in range(4):
            assert ask(raw)[0] == 200
    place = int(at * len(raw))
    if inside != "anywhere":
        begin = raw.index(inside.encode()) + len(inside)
        place = begin + int(at * (raw.index(b"\r\n", begin) - begin))
    bad = raw[:place] + put + raw[place + (len(put) if over else 0) :]
    said = {}
    for name in ("quick", "plain"):
        with doors.connected(name) as sock:
            sock.sendall(raw)
            file = sock.makefile("rb")
            first = comparable(read_answer(file))
            sock.sendall(bad)
            sock.shutdown(1)
            said[name] = first, *(comparable(read_answer(file)) for _ in range(3))
    assert said["quick"] == said["plain"]


@pytest.mark.parametrize("header", ["amz-sdk-invocation-id", "amz-sdk-request"])
def test_nothing_is_smuggled_where_ids_are(doors, header):
    raw = doors.raw(b"x", **{**SDK, "amz_sdk_request": "a" * 36})
    value = SDK["amz_sdk_invocation_id"].encode() if header == "amz-sdk-invocation-id" else b"a" * 36
    with line(doors) as ask:
        for _ in range(4):
            ask(raw)
        before = doors.known
        for bad in (b"x\r\nContent-Length: 3", b"x\r\nTransfer-Encoding: chunked", b"x\r\nHost: other", b"x\nHost: other", b"x\0", b"  x"):
            for name in ("quick", "plain"):
                with line(doors, name) as one:
                    one(raw)
                    spoilt = raw.replace(value, bad.ljust(36, b"y"), 1)
                    assert len(spoilt) == len(raw)
                    said = comparable(one(spoilt))
                if name == "quick":
                    quick = said
            assert quick == said, bad
        assert doors.known - before == 6, "only the first of each line"


def test_an_old_date_a_wrong_day_and_a_wrong_signature(doors):
    raw = doors.raw(b"x", **SDK)
    [date] = [part[12:28] for part in raw.split(b"\r\n") if part.startswith(b"X-Amz-Date: ")]
    with line(doors) as ask, line(doors, "plain") as plain:
        plain(raw)
        for _ in range(4):
            assert ask(raw)[0] == 200
        before = doors.known
        for moment in (b"20200101T000000Z", date[:8] + b"T000000Z", date[:8] + b"T999999Z", b"x" * 16):
            assert comparable(ask(raw.replace(date, moment))) == comparable(plain(raw.replace(date, moment))), moment
        for bad in (raw[:-1] + b"y", raw.replace(b"Signature=", b"Signature=0")[:0] + _other_signature(raw)):
            assert ask(bad)[0] == plain(bad)[0] == 403
        assert doors.known == before
        assert ask(raw)[0] == 200 and doors.known == before + 1


def _other_signature(raw: bytes) -> bytes:
    at = raw.index(b"Signature=") + 10
    return raw[:at] + (b"0" if raw[at : at + 1] != b"0" else b"1") + raw[at + 1 :]


def test_a_payload_hash_that_is_said_is_checked(doors):
    import hashlib

    def raw(body: bytes) -> bytes:
        return doors.raw(body, **SDK, X_Amz_Content_Sha256=hashlib.sha256(body).hexdigest())

    with line(doors) as ask:
        assert known(doors, ask, raw(b"1"), raw(b"2"), raw(b"3"), raw(b"4"))[-1]
        before = doors.known
        assert ask(raw(b"5")[:-1] + b"6")[0] == 403
        assert doors.known == before


def test_headers_of_any_name_may_be_signed(doors):
    raws = [doors.raw(b"x", **SDK, **{"X-%b": "%s  a%%", "X_Amzn_Trace_Id": f"Root=1;Parent={n}"}) for n in range(5)]
    with line(doors) as ask:
        assert known(doors, ask, *raws)[-2:] == [True, True]


def caller(doors, name: str, **statement) -> Credentials:
    iam = doors.hosting.yard.client("iam")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    allow(doors, name, **statement)
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"])


def allow(doors, name: str, **statement) -> None:
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": "*", **statement}],
    }
    doors.hosting.yard.client("iam").put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))


def test_a_change_of_iam_is_in_force_at_the_next_call(doors):
    key = caller(doors, "one")
    iam = doors.hosting.yard.client("iam")

    def raw() -> bytes:
        return message(doors.signed(b"x", key=key), b"x")

    with line(doors) as ask:
        for _ in range(4):
            assert known(doors, ask, *(raw() for _ in range(5)))[-2:] == [True, True]
            iam.delete_user_policy(UserName="one", PolicyName="p")
            assert ask(raw())[0] == 403
            allow(doors, "one")
        assert known(doors, ask, *(raw() for _ in range(5)))[-1]
        iam.update_access_key(UserName="one", AccessKeyId=key.access_key, Status="Inactive")
        assert ask(raw())[0] == 403


def test_where_a_condition_has_a_say_it_is_asked_each_time(doors):
    key = caller(doors, "two", Condition={"StringLike": {"aws:UserAgent": "good*"}})
    with line(doors) as ask:
        good = [message(doors.signed(b"x", key=key, User_Agent="good 1"), b"x") for _ in range(5)]
        assert known(doors, ask, *good) == [False] * 5


def test_a_session_ends_on_the_platform_clock(doors, monkeypatch):
    platform = doors.hosting.platform
    role = doors.hosting.yard.client("iam").list_roles()["Roles"][0]["Arn"]
    made = platform.identity.session_for_role(role, "short", 900)
    key = Credentials(made.access_key, made.secret_key, made.token)
    raw = message(doors.signed(b"x", key=key), b"x")
    with line(doors) as ask, line(doors, "plain") as plain:
        assert known(doors, ask, raw, raw, raw, raw)[-1]
        later = platform.clock.now() + 901
        monkeypatch.setattr(type(platform.clock), "now", lambda self: later)
        before = doors.known
        assert comparable(ask(raw)) == comparable(plain(raw)) and ask(raw)[0] in (400, 403) and doors.known == before


def test_trouble_on_the_way_is_left_to_the_ordinary_path(doors, monkeypatch):
    raw = doors.raw(b"x", **SDK)
    identity = doors.hosting.platform.identity
    with line(doors) as ask:
        assert known(doors, ask, raw, raw, raw, raw)[-1]
        monkeypatch.setattr(identity, "mark", lambda: 1 / 0)
        assert known(doors, ask, raw) == [False]
        monkeypatch.undo()
        assert known(doors, ask, raw) == [True]


def test_clients_that_never_repeat_themselves_are_hardly_looked_at(doors, monkeypatch):
    looked = []
    monkeypatch.setattr("modelyard.wire.atonce.take_apart", lambda raw: looked.append(raw))
    with line(doors) as ask:
        for n in range(alike.FRUITLESS + 3 * alike.PATIENCE):
            assert ask(doors.raw(b"x", X_Amzn_SageMaker_Inference_Id=f"id-{n}"))[0] == 200
    assert len(looked) <= alike.FRUITLESS + 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw.replace(b"\r\nX-Amz-Date", b"\nX-Amz-Date"),
        lambda raw: raw.replace(b"Content-Length: 1", b"Content-Length: 1 "),
        lambda raw: raw.replace(b"Content-Length: 1", b"Content-Length:\t1"),
        lambda raw: raw.replace(b"Content-Length: 1\r\n", b"Content-Length: 1\r\ncontent-length: 1\r\n"),
        lambda raw: raw.replace(b"Content-Length: 1\r\n", b""),
        lambda raw: raw.replace(b"X-Amz-Date: ", b"X-Amz-Dote: "),
        lambda raw: raw.replace(b"attempt=1", b"attempt=1  max=3"),
        lambda raw: raw.replace(b"Host: ", b"Host: " + b"h" * alike.LONGEST_HEAD),
        lambda raw: raw[: raw.index(b"\r\n\r\n")],
    ],
)
def test_heads_that_are_not_taken_apart(doors, spoil):
    raw = doors.raw(b"x", **SDK)
    head = take_apart(raw)
    assert b"".join(piece for piece, _ in head.pieces) and head.end == len(raw) - 1
    assert take_apart(spoil(raw)) is None
