"""The threads of an engine that look after tables which are not records (`Service.worker`): one per worker.

A worker does what is due and says when something will be due next; a bell makes it look at once. Several engines may run the
same worker: what they share is in the store, with leases.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.kernel.platform import Platform

log = logging.getLogger("modelyard.workers")
LONGEST_NAP_S, SHORTEST_NAP_S, BACK_OFF_S = 1.0, 0.01, 1.0
QUIET_NAP_S = 2.0
"""Of a worker that knows of nothing to come; on a fast clock as short as any."""


class Workers:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._drains = [drain for service in platform.services.values() for drain in service.workers]
        self._bells = [threading.Event() for _ in self._drains]
        self._stopping = False

    def start(self) -> None:
        for drain, bell in zip(self._drains, self._bells, strict=True):
            threading.Thread(target=self._run, args=(drain, bell), name=f"worker {drain.__module__}", daemon=True).start()

    def ring(self) -> None:
        for bell in self._bells:
            bell.set()

    def stop(self) -> None:
        self._stopping = True
        self.ring()

    def _run(self, drain: Callable[[Platform], float | None], bell: threading.Event) -> None:
        while not self._stopping:
            bell.clear()
            try:
                due = drain(self._platform)
                clock = self._platform.clock
                if due is None:
                    nap = QUIET_NAP_S if clock.speed <= 1 else LONGEST_NAP_S
                else:
                    nap = min(clock.real_seconds_until(due), LONGEST_NAP_S)
            except Exception:
                log.exception("%s failed; it is tried again", drain.__module__)
                nap = BACK_OFF_S
            bell.wait(max(nap, SHORTEST_NAP_S))
