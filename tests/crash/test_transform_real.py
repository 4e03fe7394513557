"""kill -9 of real engines and of a transform job's worker: the outputs are whole, and each was written once."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

import pytest

from tests.crash.test_real_processes import SCRIPT, check_whole
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
        eventually(lambda: not made.processes(), 20, lambda: [(p.pid, p.cmdline()) for p in made.processes()])


def workers(realm: Realm) -> list[int]:
    return [p.pid for p in realm.processes() if "_work" in p.cmdline()]


def test_engines_and_workers_are_killed(realm):
    realm.s3.put_bucket_versioning(Bucket=realm.bucket, VersioningConfiguration={"Status": "Enabled"})
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
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
    )

    def job():
        return realm.sm.describe_transform_job(TransformJobName="j")

    def outputs() -> list[str]:
        rows = realm.s3.list_object_versions(Bucket=realm.bucket, Prefix="out/").get("Versions", [])
        return [row["Key"] for row in rows]

    chance, kills = random.Random(7), 0
    deadline = time.monotonic() + 90
    while job()["TransformJobStatus"] not in FINAL:
        assert time.monotonic() < deadline, job()
        if kills < 6 and workers(realm) and (kills < 2 or outputs()):
            victims = realm.pids("engine") if chance.random() < 0.5 else workers(realm)
            realm.kill(chance.choice(victims))
            kills += 1
        time.sleep(chance.uniform(0.1, 0.6))
    assert kills >= 3 and job()["TransformJobStatus"] == "Completed", (kills, job())
    for name, body in data.items():
        out = realm.s3.get_object(Bucket=realm.bucket, Key=f"out/{name}.out")["Body"].read()
        assert out == body, f"{name}: {len(out)} of {len(body)} bytes"
    # Killed in the instant between an output and its line in the ledger, a worker leaves an object to be done once more.
    assert FILES <= len(outputs()) <= FILES + 1, f"each output was written once: {sorted(outputs())}"
    eventually(lambda: not workers(realm) and not realm.shims(), 20, lambda: (workers(realm), realm.shims()))
    check_whole(realm)
