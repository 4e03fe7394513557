"""Crashes of SNS and SQS: what was acknowledged is delivered, once on a good day and at least once on a bad one; FIFO order holds."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest

from modelyard.kernel.clock import ManualClock
from tests.support.chaos import Chaos, Crash
from tests.support.patience import deadline
from tests.support.platform import ACCOUNT, InProcess


def subscribed(yard: InProcess, topic: str, name: str, **attributes: str) -> str:
    sqs = yard.client("sqs")
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    url = sqs.create_queue(QueueName=name, Attributes={**attributes, "Policy": policy})["QueueUrl"]
    yard.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    return url


def drained(yard: InProcess, url: str) -> list[str]:
    sqs, found = yard.client("sqs"), []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


@pytest.mark.parametrize("seed", range(12))
def test_a_courier_that_dies_anywhere_loses_nothing(tmp_path, monkeypatch, seed):
    """The engine dies before and after any call of the outbox and of the queue's store; leases of the dead run out."""
    from modelyard.services.sns import outbox as outbox_module
    from modelyard.services.sns.courier import Courier

    yard, chaos = InProcess(tmp_path, clock=ManualClock()), Chaos(seed, 0.25)
    real = [1_000_000.0]
    monkeypatch.setattr(outbox_module, "real_now", lambda: real[0])
    sns = yard.client("sns")
    plain = sns.create_topic(Name="t")["TopicArn"]
    fifo = sns.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"})["TopicArn"]
    urls = {"q": subscribed(yard, plain, "q"), "q.fifo": subscribed(yard, fifo, "q.fifo", FifoQueue="true")}
    for i in range(12):
        sns.publish(TopicArn=plain, Message=f"m{i}")
        sns.publish(TopicArn=fifo, Message=f"m{i}", MessageGroupId="g")
    outbox, messages = yard.platform.topics.outbox, yard.platform.queues.messages
    yard.platform.queues.messages = chaos.wrap(messages)
    for _ in range(500):
        yard.platform.topics.courier = Courier(chaos.wrap(outbox))  # a new engine
        with contextlib.suppress(Crash):
            yard.platform.topics.courier.drain(yard.platform)
        real[0] += 60
        if outbox.next_due() is None and not outbox.db.read("SELECT 1 FROM sns_deliveries"):
            break
    yard.platform.queues.messages = messages
    assert chaos.crashes > 3
    assert sorted(set(drained(yard, urls["q"]))) == sorted(f"m{i}" for i in range(12))
    assert drained(yard, urls["q.fifo"]) == [f"m{i}" for i in range(12)]
    assert outbox.db.read("SELECT count(*) FROM sns_messages") == [(0,)]
    yard.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_move_task_that_dies_anywhere_moves_each_message_once(tmp_path, seed):
    from modelyard.kernel.reconcile import Engine

    yard, chaos = InProcess(tmp_path, clock=ManualClock()), Chaos(seed, 0.1)
    sqs = yard.client("sqs")
    dead, work = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("dead", "work"))
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:"
    sqs.set_queue_attributes(
        QueueUrl=work, Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn + "dead", "maxReceiveCount": 1})}
    )
    for i in range(30):
        sqs.send_message(QueueUrl=dead, MessageBody=str(i))
    sqs.start_message_move_task(SourceArn=arn + "dead", DestinationArn=arn + "work", MaxNumberOfMessagesPerSecond=7)
    store, messages = yard.platform.store, yard.platform.queues.messages
    reconcilers = [r for r in yard.platform.services["sqs"].reconcilers]
    for _ in range(200):
        yard.platform.store, yard.platform.queues.messages = chaos.wrap(store), chaos.wrap(messages)
        with contextlib.suppress(Crash):
            for record in store.claim(("sqs-move-task",), yard.platform.clock.now(), 0.0, -1.0, 10):
                Engine(yard.platform, reconcilers)._work(record)
        yard.platform.store, yard.platform.queues.messages = store, messages
        yard.platform.clock.advance(30)
        if sqs.list_message_move_tasks(SourceArn=arn + "dead")["Results"][0]["Status"] == "COMPLETED":
            break
    else:
        raise TimeoutError("the task did not end")
    assert sorted(drained(yard, work), key=int) == [str(i) for i in range(30)] and drained(yard, dead) == []
    yard.close()


@pytest.mark.slow
def test_kill_9_loses_no_message(tmp_path):
    """Publishers and senders work while gateways and engines are killed; whatever was acknowledged arrives."""
    import tempfile
    import time
    from pathlib import Path

    from tests.support.realm import Realm, eventually

    with tempfile.TemporaryDirectory(prefix="my-queues-", ignore_cleanup_errors=True) as folder:
        realm = Realm(Path(folder)).up()
        try:
            sns, sqs = realm.client("sns"), realm.client("sqs")
            topic = sns.create_topic(Name="t")["TopicArn"]
            arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
            statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            url = sqs.create_queue(QueueName="q", Attributes={"Policy": policy, "VisibilityTimeout": "10"})["QueueUrl"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
            promised: set[str] = set()
            stop = threading.Event()

            def work(name: str, send) -> None:
                number = 0
                while not stop.is_set():
                    body, number = f"{name}-{number}", number + 1
                    try:
                        send(body)
                    except Exception:
                        continue
                    promised.add(body)

            threads = [
                threading.Thread(target=work, args=("sns", lambda body: sns.publish(TopicArn=topic, Message=body))),
                threading.Thread(target=work, args=("sqs", lambda body: sqs.send_message(QueueUrl=url, MessageBody=body))),
            ]
            for thread in threads:
                thread.start()

            def both(least: int) -> bool:
                return all(sum(body.startswith(kind) for body in list(promised)) > least for kind in ("sns", "sqs"))

            for turn in range(4):
                eventually(lambda least=5 * turn: both(least), 60)
                for pid in realm.pids("gateway", "engine"):
                    realm.kill(pid)
            eventually(lambda: both(20), 60)
            stop.set()
            for thread in threads:
                thread.join(60)
            found: set[str] = set()
            until = deadline(90)
            while not promised <= found and time.monotonic() < until:
                for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2).get("Messages", []):
                    found.add(message["Body"])
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            assert promised - found == set()
        finally:
            realm.down()
