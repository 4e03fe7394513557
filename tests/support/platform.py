"""A whole platform in this process, but for sockets and boxes: real services, store, identity and gateway, a clock of the test's choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard import app
from modelyard.config import Settings
from modelyard.kernel.clock import Clock
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.tasks import Tasks, TaskState
from modelyard.wire.gateway import Gateway
from tests.support import inproc
from tests.support.postgres import scratch, store_of_tests

ACCOUNT = "123456789012"


class InlineTasks(Tasks):
    """Work is done before `ensure` answers: nothing in such a platform is under way."""

    def ensure(self, key: str, work: Callable[[], Any], on_end: Callable[[], Any] = lambda: None) -> TaskState:
        if self.look(key).state == "absent":
            self._run(key, work, on_end)
        return self.look(key)


class InProcess:
    """`client(service)` is a real boto3 client of the account's default role session; `root(service)` of its root keys."""

    def __init__(self, folder: Path, clock: Clock | None = None, **settings: Any) -> None:
        from modelyard.services.iam.bootstrap import ensure_account

        settings.setdefault("store", store_of_tests(folder))
        self.settings = Settings(data=folder, cache=folder / "cache", strict=True, patience=0.0, **settings)
        self.platform = app.build_platform(self.settings, "gateway", clock=clock)
        self.platform.parts.setdefault("tasks", InlineTasks())
        self.secrets = ensure_account(self.platform, self.settings.account)
        self.gateway = Gateway(self.platform)

    def client(self, service: str, **more: Any) -> Any:
        keys = self.secrets["session"]
        return inproc.client(
            self.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"], token=keys["SessionToken"], **more
        )

    def root(self, service: str, **more: Any) -> Any:
        keys = self.secrets["root"]
        return inproc.client(self.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"], **more)

    def settle(self, kinds: set[str] | None = None, rounds: int = 100) -> None:
        """What an engine would do now: events to their readers and due records (of `kinds`; None: all) to their reconcilers, until
        nothing is left. With a ManualClock: move it, then settle."""
        reconcilers = [r for s in self.platform.services.values() for r in s.reconcilers if kinds is None or r.lifecycle.kind in kinds]
        engine, bus = Engine(self.platform, reconcilers), app.event_bus(self.platform)
        for _ in range(rounds):
            engine.settle()
            due = [drain(self.platform) for s in self.platform.services.values() for drain in s.workers]
            if not bus.drain() and not any(when is not None and when <= self.platform.clock.now() for when in due):
                return
        raise TimeoutError("the platform did not settle")

    def close(self) -> None:
        self.gateway.close()
        self.platform.trail.close()
        self.platform.store.db.close()
        scratch.closed(self.settings.data)
