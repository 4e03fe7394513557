"""Packs what has lain for a while: a worker of the engine takes the oldest loose lines of each stream that has enough of them.

The newest half minute stays loose, so that live tail, which goes by arrival, finds it.
"""

from __future__ import annotations

import contextlib
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.services.logs import api
from modelyard.services.logs.log_store import LogStore
from modelyard.services.logs.packs import Moved

LOOSE_S, LOOK_S, QUIET_S = 30.0, 5.0, 600.0
IDLE_MS, FEWEST = 3_600_000, 64
"""A stream that has had no line for so long is packed with so few."""


class Packing:
    """`samples`: (real time, newest seq and platform time then). `seen`: (newest ingestion, idle?) of a stream in which nothing more was to be packed."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int, int]] = []
        self._seen: dict[int, tuple[int, bool]] = {}
        self._settled: tuple[bytes | None, float] = (None, 0.0)

    def look(self, logs: LogStore, now: float) -> int:
        """Packs what is due; answers how many packs it made."""
        stamp = logs.db.stamp()
        if stamp is not None and stamp == self._settled[0] and now < self._settled[1]:
            return 0  # nothing was committed since a look that found nothing to do
        if not self._samples or now - self._samples[-1][0] >= LOOK_S:
            self._samples.append((now, logs.last_seq(), logs.now_ms()))
        old = [sample for sample in self._samples if sample[0] <= now - LOOSE_S]
        self._samples = self._samples[max(len(old) - 1, 0) :]
        if not old:
            return 0
        _, up_to, then_ms = old[-1]
        made, idle, settled = 0, logs.now_ms() - IDLE_MS, True
        for stream, ingested_ms in logs.ingested():
            state = ingested_ms, ingested_ms < idle
            if self._seen.get(stream) == state:
                continue
            with contextlib.suppress(Moved):
                while logs.packs.pack(stream, up_to, FEWEST if state[1] else None):
                    made += 1
                if ingested_ms < then_ms:
                    self._seen[stream] = state
            settled &= self._seen.get(stream) == state
        self._settled = (stamp if settled and not made else None, now + QUIET_S)
        return made


@api.worker
def drain(platform: Any) -> float | None:
    found = platform.parts.setdefault("log_packing", Packing())
    found.look(platform.logs, real_now())
    return None
