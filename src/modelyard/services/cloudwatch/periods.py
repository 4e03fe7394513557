"""Periods, where they begin, and how far back each is kept.

Source: GetMetricData and GetMetricStatistics: data points of under a minute are there for 3 hours, of a minute for 15 days, of 5
minutes for 63 days, of an hour for 455 days; a start time is rounded down to a minute, 5 minutes or an hour by its age, and the
periods of an answer begin there.
"""

from __future__ import annotations

HOUR, DAY = 3_600.0, 86_400.0
LEVELS = ((3_600, 455 * DAY), (300, 63 * DAY), (60, 15 * DAY), (1, 3 * HOUR))
"""(resolution in seconds, seconds it is kept), coarsest first."""
HIGH_RESOLUTION, LONGEST = (1, 5, 10, 20, 30), 86_400


def problem(period: int) -> str | None:
    if period in HIGH_RESOLUTION or (period % 60 == 0 and period > 0):
        return None
    return f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60; it is {period}."


def rounded(start: float, period: float, now: float) -> float:
    """The start time as CloudWatch takes it."""
    age = now - start
    if age > 63 * DAY:
        step = 3_600.0
    elif age > 15 * DAY:
        step = 300.0
    else:
        step = float(period) if period < 60 else 60.0
    return start - start % step


def resolution(period: float, anchor: float) -> int:
    """The coarsest kept resolution that periods of this length, beginning at `anchor`, are made of. Odd ones of more than a minute are
    made of minutes."""
    return next((size for size, _ in LEVELS if period % size == 0 and anchor % size == 0 and size > 1), 60 if period >= 60 else 1)


def kept(size: int) -> float:
    return next(seconds for one, seconds in LEVELS if one == size)
