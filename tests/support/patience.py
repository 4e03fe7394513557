"""How long tests wait for what must come about."""

from __future__ import annotations

import time

SLOWNESS = 4.0
"""A machine with nothing else to do keeps each bound; one that runs several suites at once takes so many times as long. A bound is
there so that nothing hangs: what a test finds out must not depend on it."""


def deadline(seconds: float) -> float:
    """The monotonic time at which a wait of `seconds` is given up."""
    return time.monotonic() + seconds * SLOWNESS
