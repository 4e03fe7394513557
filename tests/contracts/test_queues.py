"""Messages and the outbox on both databases."""

from __future__ import annotations

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.services.sns.outbox import Outbox, Publication
from modelyard.services.sqs.message_store import DeadLetters, MessageStore, Outgoing


@pytest.fixture
def clock():
    return ManualClock()


def out(name, group=None, token=None, delay=0.0):
    return Outgoing(name, f"body {name}", {"a": 1}, {}, group, delay, 60.0, token, "queue")


def test_messages(database, clock):
    store = MessageStore(database, clock)
    sent = store.send("q", [out("a", token="t"), out("b"), out("c", delay=5.0)])
    assert store.send("q", [out("x", token="t")]) == sent[:1]
    assert store.counts("q") == (2, 0, 1) and store.anything("q", False) and not store.anything("other", True)
    assert store.visible_in(["q", "other"]) == ({"q"}, clock.now() + 5)
    got = store.receive("q", False, 10, 30.0)
    assert [message.body for message in got] == ["body a", "body b"] and store.counts("q") == (0, 2, 1)
    assert store.in_flight_at_least("q", 2) and not store.in_flight_at_least("q", 3)
    store.delete("q", [(got[0].seq, got[0].nonce)])
    assert store.change_visibility("q", got[1].seq, got[1].nonce, 0.0)
    dead = DeadLetters("dead", 60.0, 1, "arn")
    assert store.receive("q", False, 10, 30.0, dead) == []
    (buried,) = store.receive("dead", False, 10, 0.0)
    assert (buried.message_id, buried.source, buried.received) == ("b", "arn", 2)
    assert store.move("dead", [(buried.seq, "q", 60.0)]) == 1 and store.oldest_sent_at("q") == clock.now()
    clock.advance(61)
    store.sweep()
    assert store.queues() == []


def test_groups(database, clock):
    store = MessageStore(database, clock)
    store.send("q", [out(f"{g}{i}", group=g, token=f"{g}{i}") for i in range(2) for g in "ab"])
    first = store.receive("q", True, 1, 30.0, attempt="x")
    assert store.receive("q", True, 1, 30.0, attempt="x") == first
    assert [message.message_id for message in store.receive("q", True, 10, 30.0)] == ["b0", "b1"]
    store.purge("q", forget=True)
    assert store.find("q", first[0].seq) is None


def test_the_outbox(database, clock):
    outbox = Outbox(database, clock)
    sent = outbox.publish([Publication("m1", "t", {"n": 1}, ("s1", "s2"), "g", "d1"), Publication("m2", "t", {"n": 2}, ("s1",), "g", "d2")])
    assert outbox.publish([Publication("m3", "t", {}, ("s1",), "g", "d1")]) == sent[:1] and sent[0][1] < sent[1][1]
    lanes = dict(outbox.claim(60.0, 10))
    assert set(lanes) == {"s1", "s2"} and outbox.claim(60.0, 10) == []
    first, second = outbox.due("s1", 10)
    assert (first.body["n"], second.body["n"]) == (1, 2)
    outbox.settle("s1", [], [(first.seq, 1, clock.now() + 20)])
    assert outbox.due("s1", 10) == [], "the group waits behind its first one"
    lease = outbox.renew("s1", lanes["s1"], 60.0)
    assert lease and outbox.renew("s1", lanes["s1"] - 1, 60.0) is None
    assert outbox.release("s1") and outbox.next_due() == clock.now() + 20, "so the lane is due with the first one"
    outbox.drop("s2")
    assert outbox.waiting("s2") == 0 and outbox.waiting("s1") == 2
    clock.advance(20)
    assert [uid for uid, _ in outbox.claim(60.0, 10)] == ["s1"] and outbox.release("s1") is False
    outbox.settle("s1", [due.seq for due in outbox.due("s1", 10)], [])
    assert outbox.release("s1") and outbox.next_due() is None
    clock.advance(300)
    outbox.sweep()
    assert database.read("SELECT count(*) FROM sns_messages") == [(0,)] == database.read("SELECT count(*) FROM sns_published")
