"""Units: values of different ones are never added up.

GetMetricData without a Unit answers the values of one unit, and says that there are others. Which one that is, is the order of AWS's own list of
units, as its messages have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelyard.services.cloudwatch.rollup import SLOTS

if TYPE_CHECKING:
    from modelyard.services.cloudwatch.sums import Windows

ORDER = (
    "Megabits", "Terabits", "Gigabits", "Count", "Bytes", "Gigabytes", "Gigabytes/Second", "Kilobytes", "Kilobits/Second", "Terabytes",
    "Terabits/Second", "Bytes/Second", "Percent", "Megabytes", "Megabits/Second", "Milliseconds", "Microseconds", "Kilobytes/Second",
    "Gigabits/Second", "Megabytes/Second", "Bits", "Bits/Second", "Count/Second", "Seconds", "Kilobits", "Terabytes/Second", "None",
)  # fmt: skip
_PLACE = {unit: place for place, unit in enumerate(ORDER)}


def one_unit(rows: Sequence[Any], windows: Windows) -> tuple[Sequence[Any], dict[int, tuple[str, ...]]]:
    """(rows of one unit per series, the units of each series that has several) of what reading.py brings."""
    pairs = {(row[1], row[4]) for row in rows}
    if len(pairs) == len({series for series, _ in pairs}):
        return rows, {}
    found: dict[int, set[str]] = {}
    for row in rows:
        if not row[0] or _counts(row, windows):
            found.setdefault(row[1], set()).add(row[4])
    several = {series: tuple(sorted(units, key=_place)) for series, units in found.items() if len(units) > 1}
    taken = {series: min(units, key=_place) for series, units in found.items()}
    return [row for row in rows if taken.get(row[1]) == row[4]], several


def _place(unit: str) -> tuple[int, str]:
    return _PLACE.get(unit, len(ORDER)), unit


def _counts(row: Any, windows: Windows) -> bool:
    """Whether a pack has anything in the windows: packs that only reach up to there are brought too."""
    from modelyard.services.cloudwatch import packs

    _, _, start, size, _, body, *_ = row
    if windows.start <= start and start + size * SLOTS[size] <= windows.end:
        return True
    return len(windows.of(packs.starts(bytes(body), start, size))[1]) > 0
