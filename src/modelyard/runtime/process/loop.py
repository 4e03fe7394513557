"""The smallest event loop that a shim and its relay need: file descriptors and a few timers."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # a slow import, for annotations only
    from collections.abc import Callable

READ, WRITE = select.POLLIN, select.POLLOUT


class Loop:
    """`watch(fd, events, callback)` calls `callback(events)`; `at(when, callback)` once, at a monotonic time."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, tuple[int, Callable[[int], None]]] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        known = self._watched.get(fd)
        self._watched[fd] = (events, callback)
        if known is None or known[0] != events:
            self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def at(self, when: float, callback: Callable[[], None]) -> None:
        self._timers.append((when, callback))

    def turn(self) -> None:
        """Wait for the next thing to happen and handle it."""
        wait = None
        if self._timers:
            wait = max(0.0, min(when for when, _ in self._timers) - time.monotonic()) * 1000 + 1
        for fd, events in self._poll.poll(wait):
            entry = self._watched.get(fd)
            if entry is not None:  # not forgotten by an earlier callback of this turn
                entry[1](events)
        now = time.monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        if due:
            self._timers = [timer for timer in self._timers if timer[0] > now]
            for _, callback in due:
                callback()
