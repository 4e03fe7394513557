"""A large transform costs no more memory than a small one: the benchmark's figure, held on less data."""

import json
import subprocess
import sys

from tests.journeys.conftest import ROOT
from tests.support.needs import require


def test_the_worker_stays_small(tmp_path):
    require("sandbox")
    told = tmp_path / "told.json"
    command = [sys.executable, str(ROOT / "benchmarks/transform_memory.py"), "--mib", "160", "--json", str(told)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rss = json.loads(told.read_text())["rss"]
    assert 30 < rss["worker"][1] < 256, rss
    assert all(most - first < 64 for kind, (first, most) in rss.items() if kind != "worker"), rss
