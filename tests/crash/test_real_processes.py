"""kill -9 of real gateways, engines, shims and supervisors while clients work: nothing acknowledged is lost, nothing is left over."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import threading
import time
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support import patience
from tests.support.boxes import tar
from tests.support.realm import FINAL, SKLEARN, Realm, eventually

pytestmark = pytest.mark.slow
SCRIPT = b"def model_fn(folder): return 1\ndef input_fn(body, kind): return body\ndef predict_fn(data, model): return data\ndef output_fn(data, accept): return data, 'text/plain'\n"


@pytest.fixture
def realm():
    with tempfile.TemporaryDirectory(prefix="my-real-", ignore_cleanup_errors=True) as folder:
        made = Realm(Path(folder))
        yield made.up()
        made.down()
        eventually(lambda: not made.processes(), 20, lambda: [(p.pid, p.cmdline()) for p in made.processes()])


def deploy(realm: Realm, name: str) -> None:
    realm.s3.put_object(Bucket=realm.bucket, Key="model.tar.gz", Body=tar([("code/inference.py", SCRIPT)]))
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": SKLEARN, "ModelDataUrl": f"s3://{realm.bucket}/model.tar.gz", "Environment": environment}
    realm.sm.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=realm.role)
    variant = {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    for config in (name, f"{name}-2"):
        realm.sm.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant])
    realm.sm.create_endpoint(EndpointName=name, EndpointConfigName=name)


def status(realm: Realm, endpoint: str) -> str:
    return realm.sm.describe_endpoint(EndpointName=endpoint)["EndpointStatus"]


def check_whole(realm: Realm) -> None:
    """What must hold whenever nothing is under way."""
    broken = realm.rows(
        "SELECT uid, count(*), min(revision), max(revision) FROM events GROUP BY uid HAVING min(revision) <> 1 OR count(*) <> max(revision)"
    )
    assert broken == [], "the events of every record have revisions 1, 2, 3, … without gaps"
    behind = realm.rows(
        "SELECT r.uid, r.revision FROM records r WHERE r.revision <> (SELECT max(revision) FROM events e WHERE e.uid = r.uid)"
    )
    assert behind == [], "a record and its last event do not differ"

    def orphans() -> list[str]:
        uids = {
            row[0]
            for row in realm.rows(
                "SELECT uid FROM records WHERE kind = 'training-job' AND status = 'InProgress' OR kind = 'endpoint-replica'"
            )
        }
        runs = [path.name for path in (realm.data / "runs").iterdir() if path.name.rpartition("-")[0] not in uids]
        folders = [path.name for kind in ("jobs", "endpoints") for path in _entries(realm.data / kind) if path.name not in uids]
        shims = [run for run in realm.shims() if run.rpartition("-")[0] not in uids]
        return runs + folders + shims

    eventually(lambda: not orphans(), 30, orphans)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


class Clients:
    """Threads that work until told to stop, and remember what they were promised."""

    def __init__(self, realm: Realm, seed: int) -> None:
        self.realm, self.random, self.stopping = realm, random.Random(seed), threading.Event()
        self.objects: dict[str, str] = {}
        self.unsure: set[str] = set()
        self.jobs: list[str] = []
        self.answers = 0
        self.wrong: list[str] = []
        self.threads = [threading.Thread(target=self._work, args=(work,)) for work in (self._put, self._job, self._invoke)]

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)

    def _work(self, work) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            try:
                work(number)
            except ClientError as problem:
                code, http = problem.response["Error"]["Code"], problem.response["ResponseMetadata"]["HTTPStatusCode"]
                if http == 500 or code not in ("ModelError", "ServiceUnavailable", "ResourceInUse"):
                    self.wrong.append(f"{work.__name__}: {problem}")
            except BotoCoreError:
                pass  # retries ran out: not acknowledged

    def _put(self, number: int) -> None:
        key, data = f"o/{number % 40}", os.urandom(self.random.choice((10, 5_000, 300_000)))
        digest = hashlib.sha256(data).hexdigest()
        self.unsure.add(key)
        self.realm.s3.put_object(Bucket=self.realm.bucket, Key=key, Body=data)
        self.unsure.discard(key)
        self.objects[key] = digest
        self.stopping.wait(0.02)

    def _job(self, number: int) -> None:
        name = f"job-{number}"
        code = f"import time; time.sleep({self.random.choice((0.05, 0.5, 2))}); open('/opt/ml/model/m', 'w').write('{name}')"
        try:
            self.realm.job(name, code)
        finally:
            self.jobs.append(name)
        if self.random.random() < 0.2:
            try:
                self.realm.sm.stop_training_job(TrainingJobName=name)
            except ClientError as problem:  # it had ended
                if "was rejected because the training job is in status" not in str(problem):
                    raise
        self.stopping.wait(0.3)

    def _invoke(self, number: int) -> None:
        text = f"call {number}".encode()
        if self.realm.rt.invoke_endpoint(EndpointName="e", Body=text, ContentType="text/plain")["Body"].read() != text:
            self.wrong.append(f"call {number} had another's answer")
        self.answers += 1
        self.stopping.wait(0.02)


KILLS = 20


@pytest.mark.parametrize("seed", [7])
def test_a_monkey_with_kill_9(realm, seed):
    monkey = random.Random(seed)
    deploy(realm, "e")
    eventually(lambda: status(realm, "e") == "InService", 90, lambda: realm.sm.describe_endpoint(EndpointName="e"))
    killed = []
    with Clients(realm, seed) as clients:
        updated = 0

        def enough() -> bool:
            """By what was done, not by the clock: on a busy machine each kill takes longer."""
            return len(killed) >= KILLS and clients.answers > 50 and len(clients.jobs) > 15 and len(clients.objects) > 20

        until = patience.deadline(150)
        while not enough():
            assert time.monotonic() < until, (killed, clients.answers, len(clients.jobs), len(clients.objects))
            time.sleep(monkey.uniform(0.2, 1.2))
            role = monkey.choice(("gateway", "gateway", "engine", "engine", "shim"))
            victims = list(realm.shims().values()) if role == "shim" else realm.pids(role)
            if victims:
                realm.kill(monkey.choice(victims))
                killed.append(role)
            if len(killed) % 8 == 0:
                updated += _update(realm, updated)
            if len(killed) >= 12 and "supervisor" not in killed:
                realm.kill(realm.pids("supervisor")[0])
                killed.append("supervisor")
                realm.up()
    assert "supervisor" in killed
    assert clients.wrong == []
    for key, digest in clients.objects.items():
        if key not in clients.unsure:
            assert hashlib.sha256(realm.s3.get_object(Bucket=realm.bucket, Key=key)["Body"].read()).hexdigest() == digest, key
    for name in clients.jobs:
        try:
            job = realm.end(name, 60)
        except ClientError:
            continue  # its create was never acknowledged, and never happened
        if job["TrainingJobStatus"] == "Completed":
            realm.s3.head_object(Bucket=realm.bucket, Key=f"out/{name}/output/model.tar.gz")
        else:
            assert job["TrainingJobStatus"] == "Stopped" or "lost" in job["FailureReason"], job
    eventually(lambda: status(realm, "e") == "InService", 60)
    eventually(lambda: _answers(realm), 60)
    check_whole(realm)
    realm.sm.delete_endpoint(EndpointName="e")
    eventually(lambda: not realm.shims(), 60, realm.shims)
    check_whole(realm)


def _update(realm: Realm, number: int) -> int:
    try:
        realm.sm.update_endpoint(EndpointName="e", EndpointConfigName=("e-2", "e")[number % 2])
        return 1
    except (ClientError, BotoCoreError):
        return 0


def _answers(realm: Realm) -> bool:
    try:
        return realm.rt.invoke_endpoint(EndpointName="e", Body=b"x")["Body"].read() == b"x"
    except ClientError:
        return False


def test_down_in_mid_training_and_up_again_completes_the_job(realm):
    realm.job(
        "long",
        "import os, time\nprint('up', flush=True)\nwhile not os.path.exists('/opt/ml/input/go') and not os.environ.get('GO'): time.sleep(.05)",
    )
    eventually(lambda: "up" in realm.log("long"), 60)
    realm.s3.put_object(Bucket=realm.bucket, Key="kept", Body=b"x" * 300_000)
    realm.down()
    assert eventually(lambda: not realm.processes(), 20) is True
    realm.up()
    second = eventually(lambda: list((realm.data / "jobs").glob("*/2/ml/input")), 60)
    eventually(lambda: len(realm.log("long")) > 1, 60)
    (second[0] / "go").touch()
    job = realm.end("long")
    assert job["TrainingJobStatus"] == "Completed", job
    assert "Restarting" in [t["Status"] for t in job["SecondaryStatusTransitions"]]
    assert realm.s3.get_object(Bucket=realm.bucket, Key="kept")["Body"].read() == b"x" * 300_000
    check_whole(realm)


def test_a_killed_supervisor_is_replaced_and_its_jobs_go_on(realm):
    realm.job(
        "on",
        "import os, time\nprint('up', flush=True)\nwhile not os.path.exists('/opt/ml/input/go'): time.sleep(.05)\nopen('/opt/ml/model/m','w')",
    )
    eventually(lambda: "up" in realm.log("on"), 60)
    before = set(realm.shims())
    realm.kill(realm.pids("supervisor")[0])
    realm.up()
    assert set(realm.shims()) == before, "the run outlived its platform"
    next((realm.data / "jobs").glob("*/1/ml/input")).joinpath("go").touch()
    job = realm.end("on")
    assert job["TrainingJobStatus"] == "Completed" and "Restarting" not in str(job["SecondaryStatusTransitions"]), job
    check_whole(realm)


def test_down_after_a_killed_supervisor_leaves_no_process(realm):
    realm.job("left", "import time; print('up', flush=True); time.sleep(100)")
    eventually(lambda: "up" in realm.log("left"), 60)
    realm.kill(realm.pids("supervisor")[0])
    realm.down()
    eventually(lambda: not realm.processes(), 20, realm.processes)


def test_the_payload_killed_is_the_users_failure_and_the_shim_killed_the_platforms(realm):
    realm.job("user", "import os; print('up', flush=True); os.kill(os.getpid(), 9)")
    job = realm.end("user")
    assert job["FailureReason"].startswith("AlgorithmError: ") and job["FailureReason"].endswith("exit code: 137"), job
    realm.job("ours", "import os, time\nprint('up', flush=True)\nwhile not os.path.exists('/opt/ml/input/go'): time.sleep(.05)")
    eventually(lambda: "up" in realm.log("ours"), 60)
    realm.kill(next(pid for run, pid in realm.shims().items()))
    second = eventually(lambda: list((realm.data / "jobs").glob("*/2/ml/input")), 60)
    eventually(lambda: len(realm.log("ours")) > 1, 60)
    (second[0] / "go").touch()
    job = realm.end("ours")
    assert job["TrainingJobStatus"] == "Completed" and "Restarting" in str(job["SecondaryStatusTransitions"]), job


@pytest.mark.parametrize("phase", ["Downloading", "Uploading"])
def test_both_engines_killed_in_the_middle_of_a_copy(realm, phase):
    megabytes = 80
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))
        file.flush()
        realm.s3.upload_file(file.name, realm.bucket, "in/big")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{realm.bucket}/in/"}
    code = "import os, shutil; size = os.path.getsize('/opt/ml/input/data/train/big'); print(size); shutil.copy('/opt/ml/input/data/train/big', '/opt/ml/model/big')"
    name, kills = "", 0
    for turn in range(5):  # a machine may be so quick, or so busy, that a look misses the phase
        name = realm.job(f"copy-{turn}", code, InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}])
        kills = _kill_engines(realm, name, phase)
        job = realm.end(name, 90)
        assert job["TrainingJobStatus"] == "Completed", job
        if kills:
            break
    assert kills > 0
    assert str(megabytes << 20) in realm.log(name)
    check_whole(realm)


def _kill_engines(realm: Realm, name: str, phase: str) -> int:
    """Twice, while the job is in this phase."""
    kills = 0
    while kills < 2:
        job = realm.describe(name)
        if job["TrainingJobStatus"] in FINAL:
            break
        if job["SecondaryStatus"] == phase:
            for pid in realm.pids("engine"):
                realm.kill(pid)
            kills += 1
            time.sleep(1.0)
    return kills


def test_engines_killed_in_the_middle_of_an_image_build(tmp_path):
    """The build goes with its engine or on without it; the job runs on an environment that is whole, and nothing half is left."""
    with tempfile.TemporaryDirectory(prefix="my-build-", ignore_cleanup_errors=True) as folder:
        realm = Realm(Path(folder), gateways=1, engines=2, env={"XDG_CACHE_HOME": str(tmp_path)}).up()
        images = tmp_path / "modelyard/images"
        try:
            realm.job("first", "import numpy; print('numpy', numpy.__version__)")
            for _ in range(2):
                # The build may have ended without its engine.
                eventually(lambda: list(images.glob("base-python-*")), 60, lambda: realm.describe("first"))
                for pid in realm.pids("engine"):
                    realm.kill(pid)
                time.sleep(0.3)
            job = realm.end("first", 180)
            assert job["TrainingJobStatus"] == "Completed", (job, realm.log("first"))
            assert any(line.startswith("numpy") for line in realm.log("first"))
            built = [path for path in images.iterdir() if path.is_dir()]
            assert len(built) == 1 and ".building" not in built[0].name, built
        finally:
            realm.down()
