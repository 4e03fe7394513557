"""What a process has of SQS: the message store, the waiters of long polls, and the say of queue policies in authorisation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.database import open_database
from modelyard.services.sqs.message_store import MessageStore
from modelyard.services.sqs.waiters import Waiters

THREADS = 16


@dataclass
class Queues:
    """`platform.queues`."""

    messages: MessageStore
    waiters: Waiters
    pool: ThreadPoolExecutor

    def sweep(self, platform: Any) -> None:
        """What has expired, and messages of queues that are gone (a crash in DeleteQueue left them)."""
        self.messages.sweep()
        for queue in self.messages.queues():
            if platform.store.by_uid(queue) is None:
                self.messages.purge(queue, forget=True)


def install(platform: Any) -> Queues:
    from modelyard.services.sqs.permissions import resource_policy

    settings = platform.settings
    messages = MessageStore(open_database(settings.store, settings.data / "queues.db"), platform.clock)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="receive")
    platform.parts.setdefault("resource_policies", {})["sqs"] = resource_policy
    return Queues(messages, Waiters(messages, pool), pool)
