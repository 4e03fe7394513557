"""User code that fails in every way it can: the job ends as on AWS, loses nothing else, and the platform goes on."""

from __future__ import annotations

import functools
import io
import json
import os
import tarfile
import time
from pathlib import Path

import pytest

from modelyard.runtime.base import RunSpec
from modelyard.services.sagemaker.instances import Instance
from modelyard.services.sagemaker.training_job import run as job_run
from tests.support.boxes import BUCKET


@pytest.fixture(autouse=True)
def goes_on(boxes, request):
    """After whatever a test did, the next job completes and nothing of the earlier ones is left."""
    yield
    after = boxes.run(f"after-{abs(hash(request.node.name)) % 10**9}")
    assert after["TrainingJobStatus"] == "Completed", after
    deadline = time.monotonic() + 10
    jobs = boxes.platform.settings.data / "jobs"
    while (left := [*boxes.runtime.ids(), *jobs.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == [], "runs and folders are removed once their job has ended"


def archive(boxes, name: str, key: str = "model.tar.gz") -> dict[str, bytes | str | None]:
    """Members of an artifact: name → bytes, or the text of a link."""
    body = boxes.s3.get_object(Bucket=BUCKET, Key=f"out/{name}/output/{key}")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {m.name: tar.extractfile(m).read() if m.isreg() else m.linkname for m in tar if not m.isdir()}


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("exit-3", "import sys; print('bad luck'); sys.exit(3)", "AlgorithmError: bad luck, exit code: 3"),
        ("raises", "raise ValueError('no such column')", "AlgorithmError: ValueError: no such column, exit code: 1"),
        ("says-why", "open('/opt/ml/output/failure','w').write('W' * 5000); exit(1)", f"AlgorithmError: {'W' * 1024}, exit code: 1"),
        ("silent", "import os; os._exit(255)", "AlgorithmError: , exit code: 255"),
        ("segfault", "import ctypes; print('here', flush=True); ctypes.string_at(0)", "AlgorithmError: here, exit code: 139"),
        ("killed", "import os; os.kill(os.getpid(), 9)", "AlgorithmError: , exit code: 137"),
        ("aborts", "import os; os.abort()", "AlgorithmError: , exit code: 134"),
        ("bytes", "import sys; sys.stdout.buffer.write(b'\\xff\\x00\\x1b[31m'); sys.exit(1)", "exit code: 1"),
    ],
)
def test_what_fails_is_an_algorithm_error_with_its_exit_code(boxes, name, code, reason):
    job = boxes.run(name, code)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].endswith(reason) and job["FailureReason"].startswith("AlgorithmError: ")
    assert boxes.keys(f"out/{name}/") == [], "a failed job leaves no model"
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Failed" and "TrainingEndTime" in job


def test_a_failed_job_keeps_its_output_data(boxes):
    boxes.run("kept", "open('/opt/ml/output/data/seen', 'w').write('so far'); open('/opt/ml/model/m', 'w'); exit(1)")
    assert boxes.keys("out/kept/") == ["out/kept/output/output.tar.gz"]
    assert archive(boxes, "kept", "output.tar.gz") == {"seen": b"so far"}


@pytest.mark.parametrize("entry", [["no-such-program"], ["/opt/ml/input"], ["python3", "/nowhere.py"]])
def test_an_entry_point_that_cannot_start(boxes, entry):
    job = boxes.run("entry-" + entry[-1].strip("/").replace("/", "-").replace(".", "-"), argv=entry)
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("AlgorithmError: "), job["FailureReason"]


def test_out_of_memory_is_told_as_such(boxes, monkeypatch):
    monkeypatch.setattr(job_run, "instance", lambda kind: Instance(2, 96 << 20, 0))
    job = boxes.run("oom", "b = []\nwhile True: b.append(bytearray(8 << 20))")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Please use an instance type with more memory"), job["FailureReason"]


def test_a_job_that_ignores_sigterm_is_killed_when_its_grace_is_over(boxes, monkeypatch):
    monkeypatch.setattr(job_run, "RunSpec", functools.partial(RunSpec, grace_s=1.0))
    boxes.job(
        "stubborn", "import signal, time; signal.signal(15, lambda *_: print('no', flush=True)); print('up', flush=True); time.sleep(60)"
    )
    boxes.until("stubborn", lambda job: "up" in boxes.log("stubborn"))
    boxes.sm.stop_training_job(TrainingJobName="stubborn")
    job = boxes.end("stubborn", 20)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped") and "FailureReason" not in job
    assert "no" in boxes.log("stubborn")
    assert boxes.keys("out/stubborn/") == ["out/stubborn/output/model.tar.gz"], "a stopped job's model is uploaded"


def test_the_longest_runtime_ends_a_job_and_keeps_its_model(boxes):
    code = "import time; open('/opt/ml/model/m', 'w').write('half'); time.sleep(60)"
    job = boxes.run("endless", code, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert archive(boxes, "endless") == {"m": b"half"}


def test_daemons_die_with_their_job(boxes):
    marker = f"7{os.getpid()}.5"
    code = (
        f"import subprocess as s; [s.Popen(['setsid', 'sleep', '{marker}'], start_new_session=True) for _ in range(20)]; print('left them')"
    )
    assert boxes.run("daemons", code)["TrainingJobStatus"] == "Completed"
    living = [p for p in Path("/proc").glob("[0-9]*/cmdline") if marker.encode() in _bytes(p)]
    assert living == []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
def test_a_fork_bomb_hurts_itself_only(boxes):
    code = "import os, time\nfor _ in range(100_000):\n    try:\n        if os.fork() == 0: time.sleep(60); os._exit(0)\n    except OSError as e: print('stopped', e); raise SystemExit(4)"
    job = boxes.run("bomb", code)
    assert job["TrainingJobStatus"] == "Failed", job
    assert "exit code: 4" in job["FailureReason"]


def test_long_lines_and_many_lines_reach_the_log_whole(boxes):
    code = "print('x' * 700_000)\nfor n in range(20_000): print(n)\nprint('last', end='')"
    assert boxes.run("chatty", code)["TrainingJobStatus"] == "Completed"
    lines = boxes.log("chatty")
    assert sum(line.count("x") for line in lines) >= 700_000 and lines[-1] == "last"
    assert [line for line in lines if line.isdigit()] == [str(n) for n in range(20_000)]


# --- what user code may put where the platform reads -----------------------------------------------


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "key").write_text("hush")
    return tmp_path


def test_links_out_of_the_model_folder_are_left_behind(boxes, secret):
    code = (
        "import os\nos.chdir('/opt/ml/model')\nopen('m','w').write('1')\nos.symlink('m', 'inner')\n"
        f"os.symlink('{secret}/key', 'key')\nos.symlink('{secret}', 'folder')\nos.symlink('../../../..', 'up')\nos.mkfifo('pipe')"
    )
    assert boxes.run("links", code)["TrainingJobStatus"] == "Completed"
    assert archive(boxes, "links") == {"m": b"1", "inner": "m"}


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_a_model_folder_that_is_itself_a_link_to_the_host_gives_nothing_away(boxes, secret, compression):
    code = f"import os\nos.rmdir('/opt/ml/model')\nos.symlink('{secret}', '/opt/ml/model')"
    name = f"bent-{compression.lower()}"
    job = boxes.run(name, code, OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out", "CompressionType": compression})
    bodies = [boxes.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in boxes.keys(f"out/{name}/")]
    assert not any(b"hush" in body for body in bodies)
    if compression == "GZIP":
        assert archive(boxes, name) == {}
    assert job["TrainingJobStatus"] == "Completed"


def test_an_output_folder_that_is_a_link_to_the_host_is_neither_read_nor_written(boxes, secret):
    (secret / "data").mkdir()
    (secret / "data/private").write_text("hush")
    (secret / "failure").write_text("hush")
    before = sorted(secret.rglob("*"))
    code = f"import os, shutil\nshutil.rmtree('/opt/ml/output')\nos.symlink('{secret}', '/opt/ml/output')\nexit(1)"
    job = boxes.run("bent-output", code)
    assert "hush" not in job["FailureReason"]
    assert boxes.keys("out/bent-output/") == []
    assert sorted(secret.rglob("*")) == before


def test_a_failure_file_that_is_a_link_or_a_pipe_is_not_read(boxes, secret):
    for name, code in (("link", f"os.symlink('{secret}/key', '/opt/ml/output/failure')"), ("pipe", "os.mkfifo('/opt/ml/output/failure')")):
        job = boxes.run(f"failure-{name}", f"import os\n{code}\nprint('said')\nexit(1)")
        assert job["FailureReason"] == "AlgorithmError: said, exit code: 1"


def test_a_job_that_takes_its_folders_away_ends(boxes):
    job = boxes.run("razed", "import shutil\nfor d in ('model', 'output', 'input'): shutil.rmtree('/opt/ml/' + d)")
    assert job["TrainingJobStatus"] == "Completed" and archive(boxes, "razed") == {}, job


def test_a_job_that_locks_its_folders_is_still_collected(boxes):
    code = "import os\nos.makedirs('/opt/ml/model/a/b'); open('/opt/ml/model/a/b/f','w').write('1'); os.chmod('/opt/ml/model/a/b', 0o500); os.chmod('/opt/ml/model', 0o500)"
    assert boxes.run("locked", code)["TrainingJobStatus"] == "Completed"
    assert archive(boxes, "locked") == {"a/b/f": b"1"}


def test_names_that_are_no_text_are_packed(boxes):
    code = "open(b'/opt/ml/model/\\xff\\n\\x01', 'w').write('1')"
    assert boxes.run("names", code)["TrainingJobStatus"] == "Completed"
    assert len(archive(boxes, "names")) == 1


def test_hyperparameters_and_environment_of_any_text(boxes):
    odd = {"quotes": "\"'`$(x)\\", "unicode": "日本\t", "empty": "", "long": "x" * 2500}
    code = "import json, os; h = json.load(open('/opt/ml/input/config/hyperparameters.json')); open('/opt/ml/model/h','w').write(json.dumps([h, os.environ['ODD']]))"
    job = boxes.run("odd", HyperParameters={"code": json.dumps(code), **odd}, Environment={"ODD": "a=b\n\"'$X日"})
    assert job["TrainingJobStatus"] == "Completed", job
    assert json.loads(archive(boxes, "odd")["h"]) == [{"code": json.dumps(code), **odd}, "a=b\n\"'$X日"]


@pytest.mark.parametrize("where", ["Environment", "HyperParameters", "argv"])
def test_a_zero_byte_where_no_process_can_have_one_ends_the_job(boxes, where):
    more = {"argv": ["echo", "a\0b"]} if where == "argv" else {where: {"X": "a\0b"}}
    try:
        name = boxes.job(f"zero-{where.lower()}", **more)
    except boxes.sm.exceptions.ClientError as problem:
        assert problem.response["Error"]["Code"] == "ValidationException"
        return
    assert boxes.end(name, 10)["TrainingJobStatus"] in ("Failed", "Completed")
