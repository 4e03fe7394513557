"""Platform time never goes back, over starts, ends and changes of speed."""

import pytest

from modelyard import timekeeping
from modelyard.kernel.clock import SystemClock


@pytest.fixture
def real(monkeypatch):
    """Real time, in the hands of the test."""
    now = [1_000_000.0]
    monkeypatch.setattr("modelyard.kernel.clock.time.time", lambda: now[0])
    return now


def test_a_platform_that_never_left_real_time_has_no_anchor(tmp_path, real):
    assert isinstance(timekeeping.start_clock(tmp_path, 1.0), SystemClock)
    assert not (tmp_path / "clock.json").exists()


def test_time_goes_on_through_every_change(tmp_path, real):
    seen = []

    def look():
        seen.append(timekeeping.read_clock(tmp_path).now())

    for speed, seconds in ((3600.0, 10), (1.0, 10), (0.5, 10), (100.0, 10)):
        timekeeping.start_clock(tmp_path, speed)
        look()
        real[0] += seconds
        look()
        timekeeping.stop_clock(tmp_path)
        look()
        real[0] += 5
        look()
    assert seen == sorted(seen)
    assert seen[1] - seen[0] == pytest.approx(36_000)
    assert seen[3] - seen[2] == pytest.approx(5), "while it is down its time passes as real time"


def test_after_a_kill_the_old_clock_went_on(tmp_path, real):
    timekeeping.start_clock(tmp_path, 60.0)
    real[0] += 10
    last_written = timekeeping.read_clock(tmp_path).now()
    real[0] += 10
    assert timekeeping.start_clock(tmp_path, 1.0).now() == pytest.approx(last_written + 600)
