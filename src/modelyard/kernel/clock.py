"""The one platform clock.

Everything that AWS would do "later" (schedules, alarm periods, bakes, TTLs, session expiry,
retries) asks the clock it was given. User processes keep real time, and so do the limits that
wait for them (start-up health checks, invocation time-outs, MaxRuntime, stop grace): those use
`real_now()`.

All times are epoch seconds as floats; durations carry their unit in the name.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol


def real_now() -> float:
    """The real time, for what real processes wait for and for checking signatures."""
    return time.time()


class Clock(Protocol):
    """What the platform asks for the time."""

    speed: float

    def now(self) -> float:
        """Platform time, epoch seconds."""

    def real_seconds_until(self, when: float) -> float:
        """How many real seconds pass until platform time `when` (0 if it is past).

        A manual clock answers infinity for any future time: only `advance` gets there.
        """

    def of_real(self, real: float) -> float:
        """The platform time at a real time: for telling when a real process did something."""


class SystemClock:
    """Platform time is real time."""

    speed = 1.0

    def now(self) -> float:
        return time.time()

    def real_seconds_until(self, when: float) -> float:
        return max(0.0, when - self.now())

    def of_real(self, real: float) -> float:
        return real


@dataclass(frozen=True)
class ScaledClock:
    """Platform time runs `speed` times as fast as real time from an anchor on.

    The anchor is kept in the data folder, so every process of one platform, and the next start of
    it, read the same time and it never goes back.
    """

    speed: float
    anchor_real: float
    anchor_platform: float

    def now(self) -> float:
        return self.anchor_platform + (time.time() - self.anchor_real) * self.speed

    def real_seconds_until(self, when: float) -> float:
        return max(0.0, (when - self.now()) / self.speed)

    def of_real(self, real: float) -> float:
        return self.anchor_platform + (real - self.anchor_real) * self.speed


class ManualClock:
    """Time stands still until a test moves it."""

    speed = 0.0

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._now

    def real_seconds_until(self, when: float) -> float:
        return 0.0 if when <= self._now else float("inf")

    def of_real(self, real: float) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Move on by `seconds` (never back) and answer the new time."""
        if seconds < 0:
            raise ValueError("the platform clock never goes back")
        with self._lock:
            self._now += seconds
            return self._now

    def jump_to(self, when: float) -> float:
        """Move on to `when`; a past time changes nothing."""
        return self.advance(max(0.0, when - self._now))
