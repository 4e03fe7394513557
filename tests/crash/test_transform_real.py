"""kill -9 of real engines and of a transform job's worker: the outputs are whole, and each was written once."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.crash.test_real_processes import SCRIPT, check_whole
from tests.support import patience
from tests.support.boxes import tar
from tests.support.realm import FINAL, SKLEARN, Realm, eventually

pytestmark = pytest.mark.slow
FILES, LINES = 6, 1500


@pytest.fixture
def realm():
    with tempfile.TemporaryDirectory(prefix="my-real-", ignore_cleanup_errors=True) as folder:
        made = Realm(Path(folder))
        yield made.up()
        made.down()
        eventually(lambda: not made.processes(), 20, lambda: [p.pid for p in made.processes()])


def workers(realm: Realm) -> list[int]:
    found = []
    for process in realm.processes():
        with contextlib.suppress(psutil.Error):
            found += [process.pid] if "_work" in process.cmdline() else []
    return found


def start(realm: Realm, count: int) -> dict[str, bytes]:
    """A job of SingleRecord over FILES objects, on so many instances; answers what it will put out."""
    realm.s3.put_object(Bucket=realm.bucket, Key="model.tar.gz", Body=tar([("code/inference.py", SCRIPT)]))
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": SKLEARN, "ModelDataUrl": f"s3://{realm.bucket}/model.tar.gz", "Environment": environment}
    realm.sm.create_model(ModelName="echo", PrimaryContainer=container, ExecutionRoleArn=realm.role)
    data = {f"{n}.csv": b"".join(b"%d,%d,%s\n" % (n, line, b"x" * 1000) for line in range(LINES)) for n in range(FILES)}
    for name, body in data.items():
        realm.s3.put_object(Bucket=realm.bucket, Key=f"in/{name}", Body=body)
    realm.sm.create_transform_job(
        TransformJobName="j",
        ModelName="echo",
        BatchStrategy="SingleRecord",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{realm.bucket}/in/"}},
            "SplitType": "Line",
            "ContentType": "text/csv",
        },
        TransformOutput={"S3OutputPath": f"s3://{realm.bucket}/out", "AssembleWith": "Line", "Accept": "text/plain"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": count},
    )
    return data


def job(realm: Realm) -> dict:
    return realm.sm.describe_transform_job(TransformJobName="j")


def outputs(realm: Realm) -> list[str]:
    rows = realm.s3.list_object_versions(Bucket=realm.bucket, Prefix="out/").get("Versions", [])
    return [row["Key"] for row in rows]


def check_outputs(realm: Realm, data: dict[str, bytes]) -> None:
    for name, body in data.items():
        out = realm.s3.get_object(Bucket=realm.bucket, Key=f"out/{name}.out")["Body"].read()
        assert out == body, f"{name}: {len(out)} of {len(body)} bytes"


def test_engines_and_workers_are_killed(realm):
    realm.s3.put_bucket_versioning(Bucket=realm.bucket, VersioningConfiguration={"Status": "Enabled"})
    data = start(realm, 2)
    chance, kills, lives = random.Random(7), 0, 4  # a worker that dies five times over one object is given up
    deadline = patience.deadline(120)
    while job(realm)["TransformJobStatus"] not in FINAL:
        assert time.monotonic() < deadline, job(realm)
        if kills < 6 and workers(realm) and (kills < 2 or outputs(realm)):
            engine = lives == 0 or chance.random() < 0.5
            victims = realm.pids("engine") if engine else workers(realm)
            if victims:
                realm.kill(chance.choice(victims))
            kills, lives = kills + 1, lives - (not engine)
        time.sleep(chance.uniform(0.1, 0.6))
    assert kills >= 3 and job(realm)["TransformJobStatus"] == "Completed", (kills, job(realm))
    check_outputs(realm, data)
    # Killed in the instant between an output and its line in the ledger, a worker leaves an object to be done once more.
    assert FILES <= len(outputs(realm)) <= FILES + kills, f"each output was written once: {sorted(outputs(realm))}"
    eventually(lambda: not workers(realm) and not realm.shims(), 20, lambda: (workers(realm), realm.shims()))
    check_whole(realm)


def test_down_and_up_in_the_middle(realm):
    data = start(realm, 1)
    eventually(lambda: workers(realm) and outputs(realm), 60, lambda: job(realm))
    realm.down()
    eventually(lambda: not realm.processes(), 20, lambda: [p.pid for p in realm.processes()])
    realm.up()
    eventually(lambda: job(realm)["TransformJobStatus"] in FINAL, 120, lambda: job(realm))
    assert job(realm)["TransformJobStatus"] == "Completed", job(realm)
    check_outputs(realm, data)
