"""Works off the outbox: each lane (subscription) on a thread of its own, endpoints outside and services inside in pools of their own.

A delivery that fails is tried again when the retry policy says so, on the platform clock; given up, it goes to the subscription's
dead letters. The outbox row leaves after the delivery was made: a crash in between makes it twice, never not at all.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sns import api
from modelyard.services.sns.delivery import attempt, bury
from modelyard.services.sns.figures import count, tell_failure
from modelyard.services.sns.outbox import Due, Outbox
from modelyard.services.sns.retries import delay, effective

log = logging.getLogger("modelyard.sns")
THREADS = {"inside": 4, "outside": 32, "failing": 16}
"""Of each pool. An endpoint whose last attempt got no answer is in the third, so that however many are dead, those that live go on."""
LANES = 64
LEASE_S = 20.0
"""Real seconds: longer than one attempt may take; what a killed engine had waits so long."""
CHUNK = 50


class Lost(Exception):
    """The lease ended meanwhile: somebody else works on the lane."""


class Courier:
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._lock = threading.Lock()
        self._leases: dict[str, float] = {}
        """Of the lanes that threads of this process have or will have."""
        self._failing: set[str] = set()

    def drain(self, platform: Any) -> float | None:
        """Begins what is due; answers when more will be. In an engine lanes are worked off by threads, elsewhere (tests) right here."""
        for uid, lease in self._outbox.claim(LEASE_S, LANES):
            with self._lock:
                known, self._leases[uid] = uid in self._leases, lease
            if known:
                continue  # its thread has not begun yet, or is late: the lane stays with it
            if "engine" in platform.parts:
                self._pool(platform, uid).submit(self._work, platform, uid)
            else:
                self._work(platform, uid)
        return self._outbox.next_due()

    def _pool(self, platform: Any, uid: str) -> ThreadPoolExecutor:
        subscription = platform.store.by_uid(uid)
        outside = subscription is not None and subscription.spec["Protocol"] in ("http", "https")
        name = ("failing" if uid in self._failing else "outside") if outside else "inside"
        if name not in self._pools:
            self._pools[name] = ThreadPoolExecutor(THREADS[name], thread_name_prefix=f"deliver {name}")
        return self._pools[name]

    def _work(self, platform: Any, uid: str) -> None:
        """One lane, until nothing of it is due."""
        try:
            while not self._is_over(platform, uid):
                self._lane(platform, platform.store.by_uid(uid))
        except Exception as problem:
            log.exception("lane %s stopped (%r); it goes on when its lease has ended", uid, problem)
            with self._lock:
                self._leases.pop(uid, None)

    def _is_over(self, platform: Any, uid: str) -> bool:
        """Gives the lane back if nothing of it is due; else the lease is new. One step: what is claimed again is begun again."""
        with self._lock:
            self._renew(uid)
            if platform.store.by_uid(uid) is None:
                self._outbox.drop(uid)
            elif not self._outbox.release(uid):
                return False
            del self._leases[uid]
            return True

    def _renew(self, uid: str) -> None:
        lease = self._outbox.renew(uid, self._leases[uid], LEASE_S)
        if lease is None:
            raise Lost
        self._leases[uid] = lease

    def _lane(self, platform: Any, subscription: Record | None) -> None:
        """Every delivery of the lane that is due now, once. Behind a failed one of a FIFO group the group waits."""
        if subscription is None:
            return
        topic = platform.store.by_uid(subscription.owner)
        outside = subscription.spec["Protocol"] in ("http", "https")
        stopped, done = set[str](), list[int]()
        for due in self._outbox.due(subscription.uid, CHUNK):
            if due.group_id in stopped:
                continue
            if topic is None:
                done.append(due.seq)
                continue
            if outside:
                with self._lock:
                    self._renew(subscription.uid)
            again = self._deliver(platform, topic, subscription, due)
            if again is None:
                done.append(due.seq)
            else:
                if due.group_id is not None:
                    stopped.add(due.group_id)
                self._outbox.settle(subscription.uid, [], [(due.seq, due.attempts + 1, again)])
            if outside and done:
                self._outbox.settle(subscription.uid, done, [])
                done = []
        if done:
            self._outbox.settle(subscription.uid, done, [])

    def _deliver(self, platform: Any, topic: Record, subscription: Record, due: Due) -> float | None:
        """None: it is settled; else when (platform time) it is tried again."""
        outcome, attempts = attempt(platform, topic, subscription, due), due.attempts + 1
        (self._failing.discard if outcome.delivered else self._failing.add)(subscription.uid)
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
