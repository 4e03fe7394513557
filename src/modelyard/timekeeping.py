"""Which clock this platform runs on: decided at `up`, read alike by all its processes.

A platform that always ran at speed 1 is on real time and needs no file. Any other has an anchor in the data
folder: (real, platform) seconds and a speed from there on. While a platform is down its time passes as real
time does. A supervisor that was killed left processes that may have written later times, so after it the old
clock simply went on.
"""

from __future__ import annotations

from pathlib import Path

from modelyard import datafolder
from modelyard.kernel.clock import Clock, ScaledClock, SystemClock, real_now


def read_clock(folder: Path) -> Clock:
    """The clock of the platform in this folder."""
    anchor = datafolder.load_anchor(folder)
    if anchor is None:
        return SystemClock()
    return ScaledClock(anchor["speed"], anchor["anchor_real"], anchor["anchor_platform"])


def start_clock(folder: Path, speed: float) -> Clock:
    """Sets the speed from now on, without a step back."""
    anchor = datafolder.load_anchor(folder)
    if anchor is None and speed == 1.0:
        return SystemClock()
    real = real_now()
    platform = real if anchor is None else max(real, read_clock(folder).now())
    datafolder.save_anchor(folder, {"speed": speed, "anchor_real": real, "anchor_platform": platform})
    return read_clock(folder)


def stop_clock(folder: Path) -> None:
    """At a clean end: from now on platform time passes as real time, until the next start."""
    if datafolder.load_anchor(folder) is not None:
        start_clock(folder, 1.0)
