from __future__ import annotations

import time

import pytest

from modelyard.kernel.clock import ManualClock, ScaledClock, SystemClock


def test_a_scaled_clock_runs_so_many_times_as_fast_from_its_anchor():
    real = time.time()
    clock = ScaledClock(3600.0, real - 10.0, 5_000_000.0)
    assert clock.now() == pytest.approx(5_036_000.0, abs=3600)
    assert clock.real_seconds_until(clock.now() + 7200.0) == pytest.approx(2.0, abs=0.2)
    assert clock.of_real(real) == pytest.approx(5_036_000.0)
    assert clock.real_seconds_until(0.0) == 0.0


def test_a_manual_clock_moves_only_when_told_and_never_back():
    clock = ManualClock(100.0)
    assert clock.real_seconds_until(101.0) == float("inf")
    assert clock.advance(5.0) == clock.now() == 105.0
    assert clock.jump_to(50.0) == 105.0
    with pytest.raises(ValueError, match="never goes back"):
        clock.advance(-1.0)


def test_the_system_clock_is_real_time():
    assert SystemClock().now() == pytest.approx(time.time(), abs=1.0)
    assert SystemClock().of_real(7.0) == 7.0
