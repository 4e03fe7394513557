"""When a scheduled action runs: `at(…)`, `rate(…)`, `cron(…)`. Pure.

Cron has AWS's six fields: minutes, hours, day of month, month, day of week (1 = Sunday), year; `? * , - / L W #`.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MONTHS = {name: n for n, name in enumerate(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1)}
DAYS = {name: n for n, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], 1)}
UNITS = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}
FIRST_YEAR, LAST_YEAR = 1970, 2199


class BadSchedule(ValueError):
    """The text says what is wrong with the expression."""


@dataclass(frozen=True)
class Schedule:
    """`after(moment, begin)` answers the first run after `moment`, None where there is none any more. `begin` is from when rates count."""

    after: Callable[[float, float], float | None]
    once: bool = False


def parse(text: str, zone: str = "UTC") -> Schedule:
    found = re.fullmatch(r"(at|rate|cron)\((.*)\)", text.strip())
    if not found:
        raise BadSchedule(f"Schedule {text} is not valid: use at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(fields).")
    try:
        tz = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise BadSchedule(f"Timezone {zone} is not a known IANA time zone.") from None
    return {"at": _at, "rate": _rate, "cron": _cron}[found[1]](found[2], tz)


def _at(text: str, zone: ZoneInfo) -> Schedule:
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone).timestamp()
    except ValueError:
        raise BadSchedule(f"Schedule at({text}) is not valid: use at(yyyy-mm-ddThh:mm:ss).") from None
    return Schedule(lambda now, begin: moment if moment > now else None, once=True)


def _rate(text: str, zone: ZoneInfo) -> Schedule:
    found = re.fullmatch(r"(\d+) +(minute|hour|day)(s?)", text)
    if not found or int(found[1]) < 1 or (found[1] == "1") == bool(found[3]):
        raise BadSchedule(f"Schedule rate({text}) is not valid: use a positive number and minute, minutes, hour, hours, day or days.")
    period = int(found[1]) * UNITS[found[2]]
    return Schedule(lambda now, begin: begin + (int(max(now - begin, 0.0) // period) + 1) * period)


# --- cron ----------------------------------------------------------------------------------------


def _cron(text: str, zone: ZoneInfo) -> Schedule:
    fields = text.split()
    if len(fields) != 6:
        raise BadSchedule(f"Schedule cron({text}) is not valid: it has {len(fields)} fields, and needs 6.")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise BadSchedule(f"Schedule cron({text}) is not valid: exactly one of day of month and day of week must be ?.")
    try:
        minutes, hours = _values(fields[0], 0, 59), _values(fields[1], 0, 23)
        months, years = _values(fields[3], 1, 12, MONTHS), _values(fields[5], FIRST_YEAR, LAST_YEAR)
        is_day = _day_of_month(fields[2]) if fields[4] == "?" else _day_of_week(fields[4])
    except (ValueError, KeyError, IndexError):
        raise BadSchedule(f"Schedule cron({text}) is not valid.") from None

    def after(now: float, begin: float) -> float | None:
        return _next(datetime.fromtimestamp(now, zone), sorted(minutes), sorted(hours), months, years, is_day)

    return Schedule(after)


def _next(
    now: datetime, minutes: list[int], hours: list[int], months: set[int], years: set[int], is_day: Callable[[date], bool]
) -> float | None:
    day, last = now.date(), max(years)
    while day.year <= last:
        if day.year not in years:
            day = date(day.year + 1, 1, 1)
        elif day.month not in months:
            day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
        else:
            if is_day(day):
                for hour in hours:
                    for minute in minutes:
                        moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=now.tzinfo)
                        # An hour that a change to summer time skips does not come that day.
                        exists = moment.astimezone(UTC).astimezone(now.tzinfo).hour == hour
                        if exists and moment.timestamp() > now.timestamp():
                            return moment.timestamp()
            day += timedelta(days=1)
    return None


def _values(text: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span in ("*", "?"):
            first, last = low, high
        else:
            first, last = (_number(end, names) for end in (span.split("-", 1) * 2)[:2])
            last = high if step and "-" not in span else last
        if not low <= first <= last <= high:
            raise ValueError(text)
        found |= set(range(first, last + 1, int(step) if step else 1))
    return found


def _number(text: str, names: dict[str, int] | None) -> int:
    return names[text.upper()] if names and text.upper() in names else int(text)


def _day_of_month(text: str) -> Callable[[date], bool]:
    if text == "L":
        return lambda day: day.day == _length(day)
    if text.endswith("W"):
        wanted = None if text == "LW" else int(text[:-1])
        return lambda day: day == _weekday_near(day, wanted or _length(day))
    days = _values(text, 1, 31)
    return lambda day: day.day in days


def _day_of_week(text: str) -> Callable[[date], bool]:
    if "#" in text:
        name, number = text.split("#")
        wanted, nth = _number(name, DAYS), int(number)
        if not (1 <= wanted <= 7 and 1 <= nth <= 5):
            raise ValueError(text)
        return lambda day: _sunday_first(day) == wanted and (day.day - 1) // 7 + 1 == nth
    if text.upper().endswith("L") and text.upper() not in DAYS:
        last = 7 if len(text) == 1 else _number(text[:-1], DAYS)
        if len(text) == 1:
            return lambda day: _sunday_first(day) == last
        return lambda day: _sunday_first(day) == last and day.day + 7 > _length(day)
    days = _values(text, 1, 7, DAYS)
    return lambda day: _sunday_first(day) in days


def _sunday_first(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _weekday_near(day: date, wanted: int) -> date:
    """The weekday nearest to a day of this month, in this month."""
    near = date(day.year, day.month, min(wanted, _length(day)))
    if near.isoweekday() == 6:
        return near + timedelta(days=2) if near.day == 1 else near - timedelta(days=1)
    if near.isoweekday() == 7:
        return near - timedelta(days=2) if near.day == _length(day) else near + timedelta(days=1)
    return near
