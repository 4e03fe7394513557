"""When scheduled actions run: at, rate and cron."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from modelyard.services.applicationautoscaling.schedule import BadSchedule, parse


def moment(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("text", "now", "next_run"),
    [
        ("cron(0 9 * * ? *)", "2026-03-02T08:59:59", "2026-03-02T09:00:00"),
        ("cron(0 9 * * ? *)", "2026-03-02T09:00:00", "2026-03-03T09:00:00"),
        ("cron(0/15 * * * ? *)", "2026-03-02T09:07:00", "2026-03-02T09:15:00"),
        ("cron(*/20 8-17 ? * MON-FRI *)", "2026-03-06T17:40:00", "2026-03-09T08:00:00"),
        ("cron(0 0 ? * 1 *)", "2026-03-02T00:00:00", "2026-03-08T00:00:00"),
        ("cron(0 0 L * ? *)", "2028-02-02T00:00:00", "2028-02-29T00:00:00"),
        ("cron(0 0 ? * 6L *)", "2026-03-02T00:00:00", "2026-03-27T00:00:00"),
        ("cron(0 0 ? * MON#2 *)", "2026-03-10T00:00:00", "2026-04-13T00:00:00"),
        ("cron(0 0 1W * ? *)", "2026-08-02T00:00:00", "2026-08-03T00:00:00"),
        ("cron(30 6 29 2 ? *)", "2026-03-02T00:00:00", "2028-02-29T06:30:00"),
        ("cron(0 0 1,15 JAN,JUL ? 2027)", "2026-03-02T00:00:00", "2027-01-01T00:00:00"),
        ("at(2026-03-02T10:00:00)", "2026-03-02T08:00:00", "2026-03-02T10:00:00"),
    ],
)
def test_next_run(text, now, next_run):
    after = parse(text).after(moment(now), moment(now))
    assert datetime.fromtimestamp(after, UTC).isoformat()[:19] == next_run


def test_no_run_any_more():
    assert parse("at(2026-03-02T10:00:00)").after(moment("2026-03-02T10:00:00"), 0) is None
    assert parse("cron(0 0 1 1 ? 2025)").after(moment("2026-03-02T10:00:00"), 0) is None


def test_time_zones():
    """Nine o'clock in New York is another moment after the change to summer time; an hour that is skipped does not come."""
    nine = parse("cron(0 9 * * ? *)", "America/New_York")
    before, after = moment("2026-03-07T00:00:00"), moment("2026-03-09T00:00:00")
    assert nine.after(before, 0) == moment("2026-03-07T14:00:00")
    assert nine.after(after, 0) == moment("2026-03-09T13:00:00")
    skipped = parse("cron(30 2 * * ? *)", "America/New_York")
    assert skipped.after(moment("2026-03-08T00:00:00", "America/New_York"), 0) == moment("2026-03-09T02:30:00", "America/New_York")
    assert parse("at(2026-07-01T09:00:00)", "Europe/Berlin").after(0, 0) == moment("2026-07-01T07:00:00")


def test_rates():
    rate = parse("rate(5 minutes)")
    assert rate.after(1000.0, 1000.0) == 1300.0
    assert rate.after(1299.0, 1000.0) == 1300.0
    assert rate.after(1300.0, 1000.0) == 1600.0
    assert parse("rate(1 day)").after(0.0, 0.0) == 86_400.0


@pytest.mark.parametrize(
    "text",
    [
        "every day", "cron(0 9 * * *)", "cron(0 9 * * * *)", "cron(0 9 ? * ? *)", "cron(60 9 * * ? *)", "cron(a 9 * * ? *)",
        "cron(0 9 ? * MON#6 *)", "cron(5-1 9 * * ? *)", "rate(0 minutes)", "rate(1 minutes)", "rate(2 minute)", "rate(-1 hours)",
        "rate(5 weeks)", "at(2026-13-01T00:00:00)", "at(tomorrow)", "cron(*/0 * * * ? *)",
    ],
)  # fmt: skip
def test_what_is_not_a_schedule(text):
    with pytest.raises(BadSchedule):
        parse(text)


def test_unknown_time_zone():
    with pytest.raises(BadSchedule, match="Mars"):
        parse("rate(5 minutes)", "Mars/Olympus")
    with pytest.raises(BadSchedule):
        parse("rate(5 minutes)", "../../etc/passwd")
