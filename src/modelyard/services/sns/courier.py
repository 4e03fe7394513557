"""Works off the outbox: each lane (subscription) on a thread of its own, endpoints outside and services inside in pools of their own.

A delivery that fails is tried again when the retry policy says so, on the platform clock; given up, it goes to the subscription's
dead letters. The outbox row leaves after the delivery was made: a crash in between makes it twice, never not at all.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sns import api
from modelyard.services.sns.delivery import attempt, bury
from modelyard.services.sns.figures import count, tell_failure
from modelyard.services.sns.outbox import Due, Outbox
from modelyard.services.sns.retries import delay, effective

log = logging.getLogger("modelyard.sns")
OUTSIDE_THREADS, INSIDE_THREADS, LANES = 32, 4, 64
LEASE_S = 20.0
"""Real seconds: longer than one attempt may take; what a killed engine had waits so long."""
CHUNK = 50


class Courier:
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._pools: dict[bool, ThreadPoolExecutor] = {}

    def drain(self, platform: Any) -> float | None:
        """Begins what is due; answers when more will be. In an engine lanes are worked off by threads, elsewhere (tests) right here."""
        for uid in self._outbox.claim(LEASE_S, LANES):
            subscription = platform.store.by_uid(uid)
            if "engine" in platform.parts:
                outside = subscription is not None and subscription.spec["Protocol"] in ("http", "https")
                self._pool(outside).submit(self._work, platform, uid, subscription)
            else:
                self._work(platform, uid, subscription)
        return self._outbox.next_due()

    def _pool(self, outside: bool) -> ThreadPoolExecutor:
        if outside not in self._pools:
            self._pools[outside] = ThreadPoolExecutor(OUTSIDE_THREADS if outside else INSIDE_THREADS, thread_name_prefix="deliver")
        return self._pools[outside]

    def _work(self, platform: Any, uid: str, subscription: Record | None) -> None:
        """One lane, until nothing of it is due."""
        try:
            if subscription is None:
                self._outbox.drop(uid)
                return
            while True:
                self._outbox.renew(uid, LEASE_S)
                work_lane(platform, self._outbox, subscription)
                if self._outbox.release(uid):
                    return
                subscription = platform.store.by_uid(uid)
                if subscription is None:
                    self._outbox.drop(uid)
                    return
        except Exception:
            log.exception("the lane of subscription %s stopped; it goes on when its lease has ended", uid)


def work_lane(platform: Any, outbox: Outbox, subscription: Record) -> None:
    """Every delivery of the lane that is due now, once. Behind a failed one of a FIFO group the group waits."""
    topic = platform.store.by_uid(subscription.owner)
    outside = subscription.spec["Protocol"] in ("http", "https")
    stopped, done = set[str](), list[int]()
    for due in outbox.due(subscription.uid, CHUNK):
        if due.group_id in stopped:
            continue
        if topic is None:
            done.append(due.seq)
            continue
        if outside:
            outbox.renew(subscription.uid, LEASE_S)
        again = _deliver(platform, topic, subscription, due)
        if again is None:
            done.append(due.seq)
        else:
            if due.group_id is not None:
                stopped.add(due.group_id)
            outbox.settle(subscription.uid, [], [(due.seq, due.attempts + 1, again)])
        if outside and done:
            outbox.settle(subscription.uid, done, [])
            done = []
    if done:
        outbox.settle(subscription.uid, done, [])


def _deliver(platform: Any, topic: Record, subscription: Record, due: Due) -> float | None:
    """None: it is settled; else when (platform time) it is tried again."""
    outcome, attempts = attempt(platform, topic, subscription, due), due.attempts + 1
    if outcome.delivered:
        count(platform, topic.arn, NumberOfNotificationsDelivered=1)
        return None
    policy = effective(topic.spec["Attributes"], subscription.spec["Attributes"], subscription.spec["Protocol"])
    wait = None if outcome.final else delay(policy, attempts)
    tell_failure(platform, topic.arn, subscription, due.body["MessageId"], attempts, outcome.reason, wait is None)
    if wait is not None:
        return platform.clock.now() + wait
    count(platform, topic.arn, NumberOfNotificationsFailed=1)
    buried = bury(platform, topic, subscription, due, outcome.reason)
    if buried is not None:
        name = "NumberOfNotificationsRedrivenToDlq" if buried else "NumberOfNotificationsFailedToRedriveToDlq"
        count(platform, topic.arn, **{name: 1})
    return None


@api.worker
def work(platform: Any) -> float | None:
    return platform.topics.courier.drain(platform)
