"""The one loop that moves records: claim → observe → decide → act → apply.

`observe(record, world)` looks at the outside (runs, children, files) and returns plain data; `decide(record,
observation, now)` is pure and returns a `Step`; its actions (`perform(world)`, ensure-shaped) run before the
guarded write. A crash anywhere repeats the whole look. `world` is the Platform.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelyard.kernel.clock import Clock, real_now
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.store import Step, Store
from modelyard.kernel.unchanged import Unchanged

if TYPE_CHECKING:
    from modelyard.kernel.platform import Platform

__all__ = ["Engine", "Reconciler", "Step"]

log = logging.getLogger("modelyard.engine")
# A look takes milliseconds (long work is a task). Short, because the records of a killed engine wait for its leases;
# too short is no danger: a second look at the same time is harmless, the revision decides.
LEASE_SECONDS = 3.0
LONGEST_NAP_SECONDS = 0.5
FIRST_BACK_OFF_SECONDS, LONGEST_BACK_OFF_SECONDS = 0.2, 30.0
LONGEST_REFUSAL_SECONDS = 2.0


@dataclass(frozen=True)
class Reconciler:
    lifecycle: Lifecycle
    observe: Callable[[Record, Any], Any]
    decide: Callable[[Record, Any, float], Step]


class Engine:
    """Runs the reconcilers of one process. `settle()` is for tests; `run()` for `modelyard up`."""

    def __init__(self, platform: Platform, reconcilers: Sequence[Reconciler], workers: int = 8) -> None:
        self._platform = platform
        self._by_kind = {r.lifecycle.kind: r for r in reconcilers}
        self._kinds = tuple(self._by_kind)
        self._workers = workers
        self._unchanged = Unchanged(platform.store.db)
        self._due: float | None = 0.0
        """When something is due next, as read last (platform time)."""
        self._failures: dict[str, int] = {}
        self._refusals = 0
        self._bell = threading.Event()
        self._stopping = False

    @property
    def _store(self) -> Store:
        return self._platform.store

    @property
    def _clock(self) -> Clock:
        return self._platform.clock

    def ring(self) -> None:
        """Look now: something may be due."""
        self._bell.set()

    def stop(self) -> None:
        self._stopping = True
        self._bell.set()

    def run(self) -> None:
        """Works until `stop()`. Several engines on one store share the work by leases."""
        with ThreadPoolExecutor(self._workers, thread_name_prefix="reconcile") as pool:
            busy: set[Future[None]] = set()
            while not self._stopping:
                self._bell.clear()
                busy = {f for f in busy if not f.done()}
                claimed: list[Record] = []
                room = len(busy) < self._workers
                quiet = room and self._quiet()
                if room and not quiet:
                    claimed = self._claim(self._workers - len(busy))
                for record in claimed:
                    future = pool.submit(self._work, record)
                    future.add_done_callback(lambda _: self._bell.set())
                    busy.add(future)
                if not claimed:
                    if not quiet:
                        self._due = self._store.next_due(self._kinds)
                    self._bell.wait(min(max(self._real_seconds_until_due(), 0.005), LONGEST_NAP_SECONDS))

    def settle(self, rounds: int = 10_000, real_timeout_s: float = 60.0) -> None:
        """Works on this thread until nothing is due (tests): real processes are waited for."""
        deadline = time.monotonic() + real_timeout_s
        for _ in range(rounds):
            claimed = self._claim(64)
            if not claimed:
                return
            for record in claimed:
                self._work(record)
            if time.monotonic() > deadline:
                raise TimeoutError("the engine did not settle")

    def _claim(self, limit: int) -> list[Record]:
        try:
            claimed = self._store.claim(self._kinds, self._clock.now(), real_now(), LEASE_SECONDS, limit)
            self._refusals = 0
            return claimed
        except Exception:
            self._refusals += 1
            log.exception("the store did not answer a claim (%d in a row)", self._refusals)
            time.sleep(min(FIRST_BACK_OFF_SECONDS * 2 ** min(self._refusals - 1, 10), LONGEST_REFUSAL_SECONDS))
            return []

    def _quiet(self) -> bool:
        """Whether nothing can be due: nothing was committed since the last look, and what was due next then is still to come."""
        return self._unchanged.still() and self._real_seconds_until_due() > 0

    def _real_seconds_until_due(self) -> float:
        return LONGEST_NAP_SECONDS if self._due is None else self._clock.real_seconds_until(self._due)

    def _work(self, record: Record) -> None:
        reconciler = self._by_kind[record.kind]
        try:
            seen = reconciler.observe(record, self._platform)
            step = reconciler.decide(record, seen, self._clock.now())
            for action in step.do:
                action.perform(self._platform)
            applied = self._store.apply(reconciler.lifecycle, record, step, self._wake_at(step))
            self._failures.pop(record.uid, None)
            if applied is None:
                self._store.wake(record.uid)
            elif applied.revision != record.revision:
                self._platform.ring(record.kind)
        except Exception:
            failures = self._failures[record.uid] = self._failures.get(record.uid, 0) + 1
            log.exception("looking at %s %s failed (%d in a row)", record.kind, record.name, failures)
            pause = min(FIRST_BACK_OFF_SECONDS * 2 ** min(failures - 1, 10), LONGEST_BACK_OFF_SECONDS)
            try:
                self._store.release(record, self._clock.now() + pause * (self._clock.speed or 1.0))
            except Exception:
                log.exception("the store did not take back %s; its lease runs out by itself", record.uid)

    def _wake_at(self, step: Step) -> float | None:
        times = [] if step.wake_at is None else [step.wake_at]
        if step.wake_in_real_s is not None:
            times.append(self._clock.now() + step.wake_in_real_s * self._clock.speed)
        return min(times, default=None)
