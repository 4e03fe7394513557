"""kill -9 of a process that answers calls: each answered call is in the audit trail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from modelyard.services.cloudtrail import files
from tests.support import patience
from tests.support.realm import ROOT

GATEWAY = """
import sys
from pathlib import Path
from botocore.exceptions import ClientError
from tests.support.platform import InProcess
yard = InProcess(Path(sys.argv[1]))
iam, stranger = yard.client("iam"), yard.client("sagemaker")
for number in range(100_000):
    if number % 3 == 2:
        try:
            stranger.describe_model(ModelName="nothing")
        except ClientError as problem:
            answer = problem.response
    else:
        answer = iam.create_group(GroupName=f"g-{sys.argv[2]}-{number}") if number % 3 else iam.list_users()
    print(answer["ResponseMetadata"]["RequestId"], flush=True)
"""


def test_nothing_answered_is_missing_after_kill_9(tmp_path: Path) -> None:
    data, answered = tmp_path / "data", set()
    for name in ("one", "two"):
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        child = subprocess.Popen(
            [sys.executable, "-c", GATEWAY, str(data), name], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        bound = threading.Timer(30 * patience.SLOWNESS, child.kill)
        bound.start()
        try:
            answered |= {child.stdout.readline().strip() for _ in range(40)}
        finally:
            child.send_signal(signal.SIGKILL)
            answered |= set(child.stdout.read().split("\n")[:-1])
            child.wait(20)
            bound.cancel()
    assert len(answered) >= 80 and "" not in answered
    kept = {stored["e"]["requestID"] for _, line in files.lines(data / "trail") if (stored := files.parse(line)) and "e" in stored}
    assert answered <= kept
