"""Two hundred jobs at once on this machine: all finish, in the order they came, a few at a time."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.boxes import Boxes

JOBS = 200
pytestmark = pytest.mark.slow


@pytest.fixture
def boxes(tmp_path):
    made = Boxes(tmp_path / "data")
    yield made
    made.close()


def test_two_hundred_jobs_at_once_all_finish_in_order(boxes):
    names = [boxes.job(f"job-{n:03d}", "print('done')") for n in range(JOBS)]
    most, deadline = 0, time.monotonic() + 300
    while True:
        rows = boxes.platform.store.list("training-job")
        inside = [row for row in rows if row.status == "InProgress" and row.state.get("phase", "image") != "image"]
        most = max(most, len(inside))
        if all(row.status != "InProgress" for row in rows):
            break
        assert time.monotonic() < deadline, f"{sum(r.status == 'InProgress' for r in rows)} jobs are left"
        time.sleep(0.1)
    rows = {row.name: row for row in rows}
    assert {row.status for row in rows.values()} == {"Completed"}
    places = 2 * len(os.sched_getaffinity(0))
    assert most <= places, "places are bounded"
    order = sorted(names, key=lambda name: rows[name].state["started_at"])
    # Those that have places at the same time start in any order.
    moved = {name: order.index(name) - at for at, name in enumerate(names) if abs(order.index(name) - at) >= places}
    assert not moved, "first come, first served"
