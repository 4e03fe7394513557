"""Sweeping: what nothing owns goes, what is owned stays."""

from __future__ import annotations

import pytest

from modelyard import housekeeping
from modelyard.kernel.lifecycle import Lifecycle
from tests.support.platform import InProcess


class Runs:
    """A runtime of names."""

    def __init__(self, *names):
        self.names = list(names)

    def sweep(self, is_live):
        gone = [name for name in self.names if not is_live(name)]
        self.names = [name for name in self.names if name not in gone]
        return gone


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path)
    yield made
    made.close()


def test_runs_and_folders_without_a_record_go(yard):
    platform = yard.platform
    job = platform.store.create(Lifecycle("job", "New"), account="1", region="r", name="j", arn="arn:j", spec={})
    runs = platform.parts["runtime"] = Runs(f"{job.uid}-1", f"{job.uid}-2", "0123456789abcdef01234567-1")
    for kind in housekeeping.FOLDERS:
        for uid in (job.uid, "0123456789abcdef01234567"):
            (yard.settings.data / kind / uid / "1").mkdir(parents=True)
    for chore in housekeeping.CHORES:
        chore(platform)
    assert runs.names == [f"{job.uid}-1", f"{job.uid}-2"]
    assert {p.name for kind in housekeeping.FOLDERS for p in (yard.settings.data / kind).iterdir()} == {job.uid}
