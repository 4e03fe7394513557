"""Clocks of tests."""

from __future__ import annotations

import time


class JumpingClock:
    """Runs as real time does, and jumps on when a test says so: bakes and periods end at once while processes keep their pace."""

    speed = 1.0

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def real_seconds_until(self, when: float) -> float:
        return max(0.0, when - self.now())

    def of_real(self, real: float) -> float:
        return real + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
