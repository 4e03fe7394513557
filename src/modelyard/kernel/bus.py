"""The outbox reader: every event of the store, in order, to everyone who asked, at least once.

A reader has a name and a stored cursor. Its handler sees an event before the cursor moves past it, so a crash shows
it the event again: handlers are ensure-shaped. Of several engines each event is handled by whoever comes first; a
handler that raises is tried again and holds up only its own reader.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from modelyard.kernel.records import Event
from modelyard.kernel.store import Store
from modelyard.kernel.unchanged import Unchanged

log = logging.getLogger("modelyard.bus")
PAGE, LOOK_SECONDS, BACK_OFF_SECONDS = 500, 0.25, 1.0


@dataclass(frozen=True)
class Reader:
    """`name` owns the cursor: it never changes once released. `handle(event)` is called for events of `kinds` (None: all)."""

    name: str
    handle: Callable[[Event], None]
    kinds: frozenset[str] | None = None


class Bus:
    def __init__(self, store: Store, readers: list[Reader]) -> None:
        self._store, self._readers = store, readers
        self._bell = threading.Event()
        self._stopping = False
        self._passed: dict[str, int] = {}
        self._unchanged, self._behind = Unchanged(store.db), True

    def ring(self) -> None:
        self._bell.set()

    def stop(self) -> None:
        self._stopping = True
        self._bell.set()

    def run(self) -> None:
        """Reads until `stop()`; costs nothing where there are no readers."""
        while not self._stopping and self._readers:
            self._bell.clear()
            if (self._unchanged.still() and not self._behind) or not self.drain():
                self._bell.wait(LOOK_SECONDS)

    def drain(self) -> int:
        """Hands out what is there now; answers how many events were passed."""
        self._behind = False
        passed = sum(self._drain(reader) for reader in self._readers)
        self._behind |= passed > 0  # there may be more than a page
        return passed

    def _drain(self, reader: Reader) -> int:
        """The cursor is written when something was handled, or after a page of events that were not the reader's: most events are of
        no kind that it asked for, and one that is read again after a crash costs nothing."""
        stored = self._store.cursor(reader.name)
        start = place = max(stored, self._passed.get(reader.name, 0))
        passed, handled = 0, False
        for event in self._store.events(place, PAGE):
            try:
                if reader.kinds is None or event.kind in reader.kinds:
                    reader.handle(event)
                    handled = True
            except Exception:
                log.exception("reader %s failed on event %d (%s %s); it is tried again", reader.name, event.seq, event.kind, event.name)
                self._behind = True
                break
            passed, place = passed + 1, event.seq
        if place != start and (handled or place - stored >= PAGE):
            self._store.set_cursor(reader.name, place)
        self._passed[reader.name] = place
        return passed
