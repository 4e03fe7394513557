"""Two hundred jobs at once on this machine: all finish, in the order they came, a few at a time."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from modelyard.services.sagemaker.jobs import admission
from tests.support.boxes import Boxes
from tests.support.patience import deadline

JOBS = 200
pytestmark = pytest.mark.slow


@pytest.fixture
def boxes(tmp_path):
    made = Boxes(tmp_path / "data")
    yield made
    made.close()


def test_two_hundred_jobs_at_once_all_finish_in_order(boxes, monkeypatch):
    entered, enter = [], admission.Gate._enter

    def noted(gate, world, row):
        let_in = enter(gate, world, row)
        if let_in and row[0] not in entered:
            entered.append(row[0])
        return let_in

    monkeypatch.setattr(admission.Gate, "_enter", noted)
    monkeypatch.setattr(admission, "IDLE_CPUS", -1.0)  # on a machine that is very busy, jobs that wait for a CPU look idle
    gate = admission._gate(boxes.platform)
    boxes.job("first", "import time; time.sleep(600)")
    boxes.until("first", lambda job: job["SecondaryStatus"] == "Training")
    # No memory for another until all stand in the queue: one that is looked at late could not be before those that came after it.
    gate.machine = lambda: replace(admission.this_machine(), available=0.0)
    names = [boxes.job(f"job-{n:03d}", "print('done')") for n in range(JOBS)]
    wait_until(lambda: len(boxes.platform.store.db.read("SELECT uid FROM places WHERE since IS NULL")) == JOBS, 60)
    gate.machine = admission.this_machine
    boxes.sm.stop_training_job(TrainingJobName="first")
    most = 0

    def ended():
        nonlocal most
        most = max(most, boxes.platform.store.db.read("SELECT count(*) FROM places WHERE since IS NOT NULL")[0][0])
        return all(row.status not in ("InProgress", "Stopping") for row in boxes.platform.store.list("training-job"))

    wait_until(ended, 150)
    rows = {row.uid: row for row in boxes.platform.store.list("training-job")}
    assert {row.status for row in rows.values() if row.name != "first"} == {"Completed"}
    assert most <= 2 * len(os.sched_getaffinity(0)), "places are bounded"
    assert [rows[uid].name for uid in entered] == ["first", *names], "first come, first served"


def wait_until(good, seconds):
    end = deadline(seconds)
    while not good():
        assert time.monotonic() < end, f"not within {seconds} s, on a quiet machine"
        time.sleep(0.1)
