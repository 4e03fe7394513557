"""Processing jobs as real sandboxed processes: what reaches the hosts, what comes back, and how jobs end that mean no good."""

from __future__ import annotations

import functools
import gzip
import json
import os
import signal
import time

import pytest

from modelyard.kernel.tasks import Tasks
from modelyard.runtime.base import RunSpec
from modelyard.services.sagemaker.instances import Instance
from modelyard.services.sagemaker.jobs import usage, volume
from modelyard.services.sagemaker.processing_job import reconcile, run
from modelyard.services.sagemaker.processing_job import usage as processing_usage
from modelyard.services.sagemaker.training_job import usage as training_usage
from tests.support.boxes import BUCKET
from tests.support.patience import SLOWNESS, deadline
from tests.support.processing import OUT, WAIT, Processing, s3_input, s3_output

IN = "/opt/ml/processing/input"
LIST = (
    "import json, os, pathlib\n"
    "host = json.load(open('/opt/ml/config/resourceconfig.json'))['current_host']\n"
    f"here = {{str(p.relative_to('{IN}')): p.read_text() for p in sorted(pathlib.Path('{IN}').rglob('*')) if p.is_file() and p.name != 'run.py'}}\n"
    f"open('{OUT}/' + host + '.json', 'w').write(json.dumps(here))\n"
)


@pytest.fixture
def jobs(boxes):
    """After whatever a test did, nothing is left."""
    yield Processing(boxes)
    end = deadline(15)
    folder = boxes.platform.settings.data / "jobs"
    left = ["?"]
    while left and time.monotonic() < end:
        left = [*boxes.runtime.ids(), *(folder.iterdir() if folder.is_dir() else ())]
        time.sleep(0.02 if left else 0)
    assert left == [], "runs and folders are removed once their job has ended"


def seen(jobs: Processing, name: str) -> dict[str, dict[str, str]]:
    """What each host had among its inputs."""
    return {host.removesuffix(".json"): json.loads(text) for host, text in jobs.files(f"{name}/out/").items()}


# --- inputs ------------------------------------------------------------------------------------------


def test_inputs_keep_their_names_below_the_prefix(jobs):
    for key in ("a.csv", "sub/b.csv", "sub/", "../"):
        jobs.boxes.put(f"names/data/{key}", key.encode())
    jobs.boxes.put("names/single.txt", b"one")
    inputs = [
        s3_input("folder", f"s3://{BUCKET}/names/data/a.csv", f"{IN}/key"),
        s3_input("sub", f"s3://{BUCKET}/names/data/sub/", f"{IN}/sub/"),
        s3_input("half", f"s3://{BUCKET}/names/sing", f"{IN}/half"),
    ]
    assert jobs.run("names", LIST, inputs=inputs)["ProcessingJobStatus"] == "Completed"
    assert seen(jobs, "names") == {"algo-1": {"key/a.csv": "a.csv", "sub/b.csv": "sub/b.csv", "half/single.txt": "one"}}


def test_every_host_gets_all_or_with_sharding_its_share(jobs):
    for number in range(4):
        jobs.boxes.put(f"hosts/data/{number}.txt", str(number).encode())
    source = f"s3://{BUCKET}/hosts/data/"
    sharded = s3_input("sharded", source, f"{IN}/mine", S3DataDistributionType="ShardedByS3Key")
    whole = s3_input("whole", source, f"{IN}/all", S3DataDistributionType="FullyReplicated")
    assert jobs.run("hosts", LIST, inputs=[sharded, whole], count=3)["ProcessingJobStatus"] == "Completed"
    found = seen(jobs, "hosts")
    assert sorted(found) == ["algo-1", "algo-2", "algo-3"]
    mine = [[name[5:] for name in files if name.startswith("mine/")] for files in found.values()]
    assert sorted(map(len, mine)) == [1, 1, 2] and sorted(name for names in mine for name in names) == ["0.txt", "1.txt", "2.txt", "3.txt"]
    assert all(sum(name.startswith("all/") for name in files) == 4 for files in found.values())


def test_more_hosts_than_objects_leave_the_last_with_an_empty_folder(jobs):
    jobs.boxes.put("few/data/x", b"x")
    source = s3_input("few", f"s3://{BUCKET}/few/data", f"{IN}/few", S3DataDistributionType="ShardedByS3Key")
    code = LIST + f"assert os.path.isdir('{IN}/few')"
    assert jobs.run("few", code, inputs=[source], count=2)["ProcessingJobStatus"] == "Completed"
    assert seen(jobs, "few") == {"algo-1": {"few/x": "x"}, "algo-2": {}}


def test_a_lab_that_needs_all_files_fails_when_they_are_sharded_and_works_when_replicated(jobs):
    """Four files, four hosts, a script that loads x_train: with one file each, three hosts do not have it."""
    for name in ("x_test", "x_train", "y_test", "y_train"):
        jobs.boxes.put(f"lab/{name}.npy", name.encode())
    code = f"import os\nprint(sorted(os.listdir('{IN}/data')))\nopen('{IN}/data/x_train.npy').read()\nopen('{OUT}/done', 'w').write('1')"

    def source(how):
        return s3_input("data", f"s3://{BUCKET}/lab/", f"{IN}/data", S3DataDistributionType=how)

    job = jobs.run("lab-sharded", code, inputs=[source("ShardedByS3Key")], count=4)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information, exit code: 1 (algo-")
    assert "FileNotFoundError" in job["FailureReason"] and "x_train.npy" in job["FailureReason"]
    lists = [line for line in jobs.log("lab-sharded") if line.startswith("[")]
    assert sorted(lists) == ["['x_test.npy']", "['x_train.npy']", "['y_test.npy']", "['y_train.npy']"]
    assert jobs.run("lab-replicated", code, inputs=[source("FullyReplicated")], count=4)["ProcessingJobStatus"] == "Completed"


def test_a_manifest_names_its_objects(jobs):
    jobs.boxes.put("listed/data/a/1", b"one")
    jobs.boxes.put("listed/data/2", b"two")
    manifest = [{"prefix": f"s3://{BUCKET}/listed/data/"}, "a/1", "2"]
    uri = jobs.boxes.put("listed/manifest", json.dumps(manifest).encode())
    source = s3_input("listed", uri, f"{IN}/listed", S3DataType="ManifestFile")
    assert jobs.run("listed", LIST, inputs=[source])["ProcessingJobStatus"] == "Completed"
    assert seen(jobs, "listed") == {"algo-1": {"listed/a/1": "one", "listed/2": "two"}}


@pytest.mark.parametrize(
    ("name", "uri", "more", "reason"),
    [
        ("nothing", f"s3://{BUCKET}/no-such-prefix", {}, f"No objects found under s3://{BUCKET}/no-such-prefix"),
        ("no-bucket", "s3://no-such-bucket-here/x", {}, "NoSuchBucket (404)"),
        ("no-manifest", f"s3://{BUCKET}/none", {"S3DataType": "ManifestFile"}, "NoSuchKey (404)"),
        ("bad-manifest", f"s3://{BUCKET}/bad-manifest/code/run.py", {"S3DataType": "ManifestFile"}, "is not a JSON list that starts with a prefix"),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_had_fail_the_job(jobs, name, uri, more, reason):
    job = jobs.run(name, inputs=[s3_input("in", uri, f"{IN}/in", **more)])
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed:") and reason in job["FailureReason"]
    assert {"ProcessingStartTime", "ProcessingEndTime"} < job.keys()


def test_a_file_where_another_input_has_its_folder_fails_the_job(jobs):
    jobs.boxes.put("clash/sub", b"x")
    jobs.boxes.put("clash2/x", b"x")
    inputs = [s3_input("b", f"s3://{BUCKET}/clash2/", f"{IN}/d/sub"), s3_input("a", f"s3://{BUCKET}/clash/", f"{IN}/d")]
    job = jobs.run("clash", inputs=inputs)
    assert job["ProcessingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: Data download failed:")


def test_a_job_may_change_its_inputs_and_the_objects_stay(jobs):
    uri = jobs.boxes.put("own/data", b"before")
    jobs.run("own", f"open('{IN}/d/data', 'w').write('after')", inputs=[s3_input("d", uri, f"{IN}/d")])
    assert jobs.files("own/data")[""] == b"before"


# --- Pipe mode ---------------------------------------------------------------------------------------


def pipe(name: str, uri: str, **more) -> dict:
    return s3_input(name, uri, f"{IN}/{name}", **({"S3InputMode": "Pipe"} | more))


def test_objects_come_through_pipes_as_often_as_they_are_read(jobs):
    jobs.boxes.put("pipe/data/1", b"one\n" * 50_000)
    jobs.boxes.put("pipe/data/2", b"two\n" * 50_000)
    code = (
        f"for n in range(3): data = open('{IN}/data_' + str(n), 'rb').read(); assert data == b'one\\n' * 50_000 + b'two\\n' * 50_000, len(data)\n"
        f"open('{IN}/data_3').read(10)\nopen('{IN}/data_4').read(10)\nopen('{OUT}/done', 'w').write('1')"
    )
    job = jobs.run("pipe", code, inputs=[pipe("data", f"s3://{BUCKET}/pipe/data/")])
    assert job["ProcessingJobStatus"] == "Completed", job["FailureReason"]
    assert jobs.files("pipe/out/") == {"done": b"1"}


def test_pipes_unpack_and_shard(jobs):
    for number in range(2):
        packed = gzip.compress(f"a{number}\n".encode()) + gzip.compress(f"b{number}\n".encode())
        jobs.boxes.put(f"zipped/data/{number}", packed)
    source = pipe("data", f"s3://{BUCKET}/zipped/data/", S3CompressionType="Gzip", S3DataDistributionType="ShardedByS3Key")
    code = f"import socket\nopen('{OUT}/' + socket.gethostname(), 'w').write(open('{IN}/data_0').read())"
    assert jobs.run("zipped", code, inputs=[source], count=2)["ProcessingJobStatus"] == "Completed"
    assert jobs.files("zipped/out/") == {"algo-1": b"a0\nb0\n", "algo-2": b"a1\nb1\n"}


@pytest.mark.parametrize("content", [b"no gzip at all", gzip.compress(b"x" * 100_000)[:-20]], ids=["plain", "cut"])
def test_what_is_no_gzip_fails_the_job_whatever_the_payload_makes_of_it(jobs, content):
    uri = jobs.boxes.put("unzip/data", content)
    job = jobs.run(f"unzip-{len(content)}", f"open('{IN}/data_0', 'rb').read()", inputs=[pipe("data", uri, S3CompressionType="Gzip")])
    assert job["ProcessingJobStatus"] == "Failed"
    assert "[modelyard] channel /opt/ml/processing/input/data: " in job["FailureReason"] and "exit code: 137" in job["FailureReason"]


def test_a_payload_that_reads_no_pipe_or_bends_it_ends_as_it_likes(jobs, tmp_path):
    uri = jobs.boxes.put("unread/data", b"1" * 500_000)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    bend = f"import os, time\nos.remove('{IN}/data_0'); os.symlink('{victim}', '{IN}/data_0'); time.sleep(0.3)"
    for name, code in (
        ("unread", "pass"),
        ("part", f"open('{IN}/data_0').read(9)"),
        ("bent-pipe", bend),
        ("no-folder", f"import shutil; shutil.rmtree('{IN}')"),
    ):
        assert jobs.run(name, code, inputs=[pipe("data", uri)])["ProcessingJobStatus"] == "Completed", name
    assert victim.read_text() == "mine"


def test_a_feed_goes_on_when_the_engine_is_gone(jobs):
    jobs.boxes.put("cut/data", b"x" * 3_000_000)
    code = (
        f"import time\npipe = open('{IN}/data_0'); size = len(pipe.read(100)); print('begun', flush=True); time.sleep(1)\n"
        f"open('{OUT}/size', 'w').write(str(size + len(pipe.read())))"
    )
    jobs.job("cut", code, inputs=[pipe("data", f"s3://{BUCKET}/cut/data")])
    jobs.until("cut", lambda job: "begun" in jobs.log("cut"))
    jobs.boxes.stop_engine()
    jobs.boxes.platform.parts["tasks"] = Tasks()
    jobs.boxes.s3.delete_object(Bucket=BUCKET, Key="cut/data")
    jobs.boxes.start_engine()
    assert jobs.end("cut")["ProcessingJobStatus"] == "Completed"
    assert jobs.files("cut/out/") == {"size": b"3000000"} and jobs.log("cut").count("begun") == 1


def test_objects_behind_pipes_cannot_be_written(jobs):
    uri = jobs.boxes.put("sealed/data", b"before")
    code = (
        "import glob\n"
        "for path in [*glob.glob('/run/input/*/*'), *glob.glob('/run/input/.pipes/*')]:\n"
        "    try: open(path, 'a').write('after')\n    except OSError: pass\n    else: exit(9)\n"
    )
    assert jobs.run("sealed", code, inputs=[pipe("data", uri)])["ProcessingJobStatus"] == "Completed"
    assert jobs.files("sealed/data")[""] == b"before"


# --- outputs -----------------------------------------------------------------------------------------


WRITE = f"import os\nos.makedirs('{OUT}/deep/er')\nopen('{OUT}/a','w').write('1')\nopen('{OUT}/deep/er/b','w').write('2')\n"


def test_outputs_keep_their_folders_whether_the_job_ends_well_or_not(jobs):
    for name, code in (("good", WRITE), ("bad", WRITE + "exit(2)")):
        job = jobs.run(name, code)
        assert job["ProcessingJobStatus"] == ("Completed" if name == "good" else "Failed")
        assert jobs.files(f"{name}/out/") == {"a": b"1", "deep/er/b": b"2"}


def test_outputs_to_the_root_of_a_bucket_and_to_prefixes_that_end_with_a_slash(jobs):
    jobs.boxes.s3.create_bucket(Bucket="whole-bucket")
    outputs = [s3_output("root", "s3://whole-bucket"), s3_output("slash", f"s3://{BUCKET}/slash/out/", "/opt/ml/processing/deep/down")]
    code = f"open('{OUT}/x','w').write('1'); open('/opt/ml/processing/deep/down/y','w').write('2')"
    assert jobs.run("slash", code, outputs=outputs)["ProcessingJobStatus"] == "Completed"
    assert [o["Key"] for o in jobs.boxes.s3.list_objects_v2(Bucket="whole-bucket")["Contents"]] == ["x"]
    assert jobs.files("slash/out/") == {"y": b"2"}


def test_continuous_outputs_are_there_while_the_job_runs_and_end_of_job_ones_are_not(jobs):
    outputs = [
        s3_output("live", f"s3://{BUCKET}/live/out", mode="Continuous"),
        s3_output("late", f"s3://{BUCKET}/live/late", "/opt/ml/processing/late"),
    ]
    code = (
        f"open('{OUT}/first','w').write('1'); open('/opt/ml/processing/late/x','w').write('1')\n"
        f"{WAIT}\nopen('{OUT}/first','w').write('22'); open('{OUT}/second','w').write('2')"
    )
    jobs.job("live", code, outputs=outputs)
    jobs.until("live", lambda job: jobs.files("live/out/") == {"first": b"1"})
    assert jobs.sm.describe_processing_job(ProcessingJobName="live")["ProcessingJobStatus"] == "InProgress"
    assert jobs.files("live/late/") == {}
    jobs.go()
    assert jobs.end("live")["ProcessingJobStatus"] == "Completed"
    assert jobs.files("live/out/") == {"first": b"22", "second": b"2"} and jobs.files("live/late/") == {"x": b"1"}


def test_outputs_that_the_role_may_not_write_fail_the_job(jobs):
    job = jobs.run("no-where", WRITE, outputs=[s3_output("out", "s3://no-such-bucket-here/x")])
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:NoSuchBucket (404)")


def test_app_managed_members_are_the_jobs_own_business(jobs):
    inputs = [s3_input("in", f"s3://{BUCKET}/no-such-prefix", f"{IN}/in") | {"AppManaged": True}]
    outputs = [s3_output("out", f"s3://{BUCKET}/managed/out") | {"AppManaged": True}]
    assert (
        jobs.run("managed", "import os; assert not os.path.exists('/opt/ml/processing/output')", inputs=inputs, outputs=outputs)[
            "ProcessingJobStatus"
        ]
        == "Completed"
    )


def test_a_job_without_outputs_and_one_that_takes_its_folders_away(jobs):
    assert jobs.run("without", ProcessingOutputConfig=None)["ProcessingJobStatus"] == "Completed"
    assert (
        jobs.run("razed", "import shutil; shutil.rmtree('/opt/ml/processing'); shutil.rmtree('/opt/ml/output')")["ProcessingJobStatus"]
        == "Completed"
    )


def test_links_out_of_an_output_folder_give_nothing_away(jobs, tmp_path):
    (tmp_path / "key").write_text("hush")
    code = (
        f"import os, shutil\nos.symlink('{tmp_path}/key', '{OUT}/key')\nos.symlink('{tmp_path}', '{OUT}/folder')\nos.mkfifo('{OUT}/pipe')\n"
        f"shutil.rmtree('/opt/ml/processing/bent'); os.symlink('{tmp_path}', '/opt/ml/processing/bent'); os.symlink('{tmp_path}/key', '/opt/ml/output/message')"
    )
    outputs = [s3_output("out", f"s3://{BUCKET}/bent/out"), s3_output("bent", f"s3://{BUCKET}/bent/out", "/opt/ml/processing/bent")]
    job = jobs.run("bent", code, outputs=outputs)
    assert job["ProcessingJobStatus"] == "Completed" and "ExitMessage" not in job
    assert jobs.files("bent/out/") == {}


@pytest.mark.slow
def test_much_output_is_written_in_little_memory(jobs):
    import resource

    code = f"for n in range(3):\n    with open(f'{OUT}/{{n}}', 'wb') as f:\n        for _ in range(256): f.write(bytes(1 << 20))"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    jobs.job("much", code)
    assert jobs.end("much", 120)["ProcessingJobStatus"] == "Completed"
    sizes = [row["Size"] for row in jobs.boxes.s3.list_objects_v2(Bucket=BUCKET, Prefix="much/out/")["Contents"]]
    assert sizes == [256 << 20] * 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB more than before"


# --- the exit message --------------------------------------------------------------------------------


def says(text: bytes, more: str = "") -> str:
    return f"open('/opt/ml/output/message', 'wb').write({text!r})\n{more}"


@pytest.mark.parametrize(
    ("name", "code", "status", "message"),
    [
        ("fine", says(b"all is well"), "Completed", "all is well"),
        ("failed", says("schön".encode(), "exit(1)"), "Failed", "schön"),
        ("long", says(b"m" * 5000), "Completed", "m" * 1024),
        ("cut", says(b"m" * 1023 + "é".encode()), "Completed", "m" * 1023),
        ("empty", says(b""), "Completed", None),
        ("folder", "import os; os.mkdir('/opt/ml/output/message')", "Completed", None),
    ],
)
def test_the_exit_message(jobs, name, code, status, message):
    job = jobs.run(f"message-{name}", code)
    assert (job["ProcessingJobStatus"], job.get("ExitMessage")) == (status, message)


def test_an_exit_message_that_is_no_text_fails_the_job(jobs):
    job = jobs.run("message-bytes", says(b"\xff\xfe"))
    assert job["ProcessingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: ") and "UTF-8" in job["FailureReason"]


def test_the_exit_messages_of_all_hosts_follow_each_other(jobs):
    code = (
        "import json; open('/opt/ml/output/message','w').write(json.load(open('/opt/ml/config/resourceconfig.json'))['current_host'] + ';')"
    )
    assert jobs.run("message-hosts", code, count=3)["ExitMessage"] == "algo-1;algo-2;algo-3;"


# --- the container -----------------------------------------------------------------------------------


def test_what_a_host_finds(jobs):
    code = (
        "import json, os, socket, sys\n"
        "job, here = (json.load(open(f'/opt/ml/config/{n}.json')) for n in ('processingjobconfig', 'resourceconfig'))\n"
        f"open('{OUT}/' + here['current_host'], 'w').write(json.dumps([job, here, sys.argv[1:], dict(os.environ), socket.gethostname()]))"
    )
    asked = jobs.request("found", code, arguments=["--a", "b c", ""], count=2, Environment={"COLOUR": "grün"})
    asked["NetworkConfig"] = {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    jobs.sm.create_processing_job(**asked)
    assert jobs.end("found")["ProcessingJobStatus"] == "Completed"
    for host, raw in jobs.files("found/out/").items():
        job, here, arguments, environment, hostname = json.loads(raw)
        assert (here["current_host"], here["hosts"], hostname) == (host, ["algo-1", "algo-2"], host)
        assert job["ProcessingJobArn"].endswith(":processing-job/found") and job["ProcessingJobName"] == "found"
        assert job["AppSpecification"] == asked["AppSpecification"] and job["NetworkConfig"] == asked["NetworkConfig"]
        assert job["ProcessingResources"] == asked["ProcessingResources"] and job["RoleArn"] == asked["RoleArn"]
        assert job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"] == asked["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
        assert arguments == ["--a", "b c", ""] and environment["COLOUR"] == "grün"
        assert {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"} <= environment.keys()
    streams = jobs.boxes.logs.describe_log_streams(logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix="found/")["logStreams"]
    assert streams == [] or all(stream["logStreamName"].startswith("found/algo-") for stream in streams)


def test_each_host_has_a_log_of_its_own(jobs):
    jobs.run("logs", "import socket; print('I am', socket.gethostname())", count=2)
    group = "/aws/sagemaker/ProcessingJobs"
    streams = jobs.boxes.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="logs/")["logStreams"]
    names = [stream["logStreamName"] for stream in streams]
    assert [name.rpartition("-")[0] for name in names] == ["logs/algo-1", "logs/algo-2"] and all(
        n.rpartition("-")[2].isdigit() for n in names
    )
    said = [jobs.boxes.logs.get_log_events(logGroupName=group, logStreamName=name)["events"][0]["message"] for name in names]
    assert said == ["I am algo-1", "I am algo-2"]


@pytest.mark.parametrize("isolated", [False, True])
def test_hosts_reach_each_other_by_name(jobs, isolated):
    """algo-1 listens, the others tell it their names and get all names back."""
    code = (
        "import socket, time\nme = socket.gethostname()\n"
        "if me == 'algo-1':\n"
        "    s = socket.create_server(('0.0.0.0', 5000)); lines = [s.accept()[0] for _ in range(2)]\n"
        "    all = ','.join(sorted(line.recv(99).decode() for line in lines)); [line.send(all.encode()) for line in lines]\n"
        "else:\n"
        "    until = time.monotonic() + 20\n"
        "    while True:\n"
        "        try: line = socket.create_connection(('algo-1', 5000), 1); break\n"
        "        except OSError:\n"
        "            if time.monotonic() > until: raise\n"
        "            time.sleep(0.05)\n"
        "    line.send(me.encode()); all = line.recv(99).decode()\n"
        f"open('{OUT}/' + me, 'w').write(all)"
    )
    name = f"talk-{isolated}".lower()
    job = jobs.run(name, code, count=3, NetworkConfig={"EnableNetworkIsolation": isolated})
    assert job["ProcessingJobStatus"] == "Completed", job
    assert jobs.files(f"{name}/out/") == {f"algo-{n}": b"algo-2,algo-3" for n in (1, 2, 3)}


def test_an_isolated_job_has_no_credentials_and_reaches_nothing(jobs):
    code = (
        "import os, socket\nassert not [k for k in os.environ if k.startswith('AWS_') and 'REGION' not in k]\n"
        "for port in (80, 9, 443):\n    try: socket.create_connection(('127.0.0.1', port), 0.2)\n    except OSError: pass\n    else: exit(7)\n"
    )
    assert jobs.run("isolated", code, NetworkConfig={"EnableNetworkIsolation": True})["ProcessingJobStatus"] == "Completed"


def test_an_image_that_runs_nothing_by_itself_needs_an_entry_point(jobs):
    asked = jobs.request("no-entry")
    del asked["AppSpecification"]["ContainerEntrypoint"]
    jobs.sm.create_processing_job(**asked)
    job = jobs.end("no-entry")
    assert job["ProcessingJobStatus"] == "Failed" and "ContainerEntrypoint" in job["FailureReason"]


def test_an_image_that_is_not_there(jobs):
    asked = jobs.request("no-image")
    asked["AppSpecification"]["ImageUri"] = "123456789012.dkr.ecr.us-east-1.amazonaws.com/no-such:1"
    jobs.sm.create_processing_job(**asked)
    job = jobs.end("no-image")
    assert job["ProcessingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: Cannot pull algorithm container.")


# --- how it ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("exit-3", "import sys; print('bad luck'); sys.exit(3)", "AlgorithmError: See job logs for more information, exit code: 3 (bad luck)"),
        ("raises", "raise ValueError('no such column')", "AlgorithmError: See job logs for more information, exit code: 1 (ValueError: no such column)"),
        ("silent", "import os; os._exit(255)", "AlgorithmError: See job logs for more information, exit code: 255"),
        ("killed", "import os; os.kill(os.getpid(), 9)", "AlgorithmError: See job logs for more information, exit code: 137"),
        ("long", "print('x' * 5000); exit(1)", "AlgorithmError: See job logs for more information, exit code: 1 (" + "x" * 2000),
    ],
)  # fmt: skip
def test_what_fails_is_an_algorithm_error(jobs, name, code, reason):
    job = jobs.run(f"fails-{name}", code)
    assert (job["ProcessingJobStatus"], job["FailureReason"]) == ("Failed", reason[:1024])


def test_bytes_that_are_no_text_reach_the_log(jobs):
    job = jobs.run("bytes", "import sys; sys.stdout.buffer.write(b'\\xff\\x00\\x1b[31m\\n' * 3 + bytes(range(256))); sys.exit(1)")
    assert job["ProcessingJobStatus"] == "Failed" and "exit code: 1" in job["FailureReason"]
    assert len(jobs.log("bytes")) >= 4


@pytest.mark.slow
def test_a_million_lines_reach_the_log_and_do_not_hold_up_the_job(jobs):
    began = time.monotonic()
    jobs.job("chatty", "for n in range(1_000_000): print(n)")
    assert jobs.end("chatty", 120)["ProcessingJobStatus"] == "Completed"
    store = jobs.boxes.platform.logs
    group = store.group("123456789012", "us-east-1", "/aws/sagemaker/ProcessingJobs")
    (stream,) = store.streams(group, prefix="chatty/", limit=2)
    place, count, last = (-1, -1), 0, ""
    while events := store.events([stream.id], after=place, limit=50_000):
        assert [event.message for event in events] == [str(count + n) for n in range(len(events))], "in order, none lost, none twice"
        place, count, last = (events[-1].at_ms, events[-1].seq), count + len(events), events[-1].message
    assert (count, last) == (1_000_000, "999999")
    assert time.monotonic() - began < 120 * SLOWNESS


def test_out_of_memory_is_told_as_such(jobs, monkeypatch):
    monkeypatch.setattr(run, "instance", lambda kind: Instance(2, 96 << 20, 0))
    job = jobs.run("oom", "b = []\nwhile True: b.append(bytearray(8 << 20))")
    assert job["FailureReason"].startswith("ClientError: Please use an instance type with more memory"), job


@pytest.mark.slow
@pytest.mark.parametrize("where", [OUT, "/tmp"], ids=["output", "tmp"])
def test_a_job_that_writes_more_than_its_volume_holds_is_ended_and_told_so(jobs, monkeypatch, where):
    monkeypatch.setattr(volume, "EVERY_SECONDS", 0.2)
    code = f"import time\nwith open('{where}/big', 'wb') as file:\n    for _ in range(80): file.write(bytes(16 << 20)); time.sleep(0.02)\ntime.sleep(30)"
    job = jobs.run(f"big-{where[-3:]}", code)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: No space left on device: algo-1 has written more than the 1 GB of VolumeSizeInGB")
    assert jobs.files(f"big-{where[-3:]}/out/") == {}, "it would be on this disk twice"


def test_a_stop_asks_politely_and_keeps_what_was_written(jobs):
    code = (
        f"import signal, sys, time\nsignal.signal(15, lambda *_: (open('{OUT}/last', 'w').write('bye'), sys.exit(0)))\n"
        "print('up', flush=True); time.sleep(60)"
    )
    jobs.job("polite", code, count=2)
    jobs.until("polite", lambda job: jobs.log("polite").count("up") == 2)
    jobs.sm.stop_processing_job(ProcessingJobName="polite")
    job = jobs.end("polite", 10)
    assert job["ProcessingJobStatus"] == "Stopped" and "FailureReason" not in job
    assert jobs.files("polite/out/") == {"last": b"bye"}


def test_a_job_that_ignores_sigterm_is_killed_when_its_grace_is_over(jobs, monkeypatch):
    monkeypatch.setattr(run, "RunSpec", functools.partial(RunSpec, grace_s=1.0))
    jobs.job(
        "stubborn", "import signal, time; signal.signal(15, lambda *_: print('no', flush=True)); print('up', flush=True); time.sleep(60)"
    )
    jobs.until("stubborn", lambda job: "up" in jobs.log("stubborn"))
    jobs.sm.stop_processing_job(ProcessingJobName="stubborn")
    assert jobs.until("stubborn", lambda job: "no" in jobs.log("stubborn"))["ProcessingJobStatus"] in ("Stopping", "Stopped")
    assert jobs.end("stubborn", 20)["ProcessingJobStatus"] == "Stopped"


def test_the_grace_is_that_of_aws():
    assert RunSpec("x", [], {}, "/").grace_s == 120.0


def test_the_longest_runtime_ends_a_job_and_keeps_what_was_written(jobs):
    code = f"import time; open('{OUT}/half', 'w').write('1'); time.sleep(60)"
    job = jobs.run("endless", code, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["ProcessingJobStatus"] == "Stopped" and jobs.files("endless/out/") == {"half": b"1"}


def test_a_host_that_fails_ends_the_others(jobs, monkeypatch):
    monkeypatch.setattr(reconcile, "PEER_SECONDS", 0.5)
    code = "import socket, time\nif socket.gethostname() == 'algo-2': raise RuntimeError('mine')\ntime.sleep(60)"
    job = jobs.run("peers", code, count=3)
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 1 (algo-2: RuntimeError: mine)"


def test_a_role_that_may_not_read_cannot_process(jobs):
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "sagemaker.amazonaws.com"}}]}  # fmt: skip
    arn = jobs.boxes.iam.create_role(RoleName="narrow", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    job = jobs.run("narrow", RoleArn=arn)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed:AccessDenied (403)") and "narrow" in job["FailureReason"]


@pytest.mark.parametrize("where", ["Environment", "arguments"])
def test_a_zero_byte_where_no_process_can_have_one_ends_the_job(jobs, where):
    more = {"arguments": ["a\0b"]} if where == "arguments" else {"Environment": {"X": "a\0b"}}
    try:
        name = jobs.job(f"zero-{where.lower()}", **more)
    except jobs.sm.exceptions.ClientError as problem:
        assert problem.response["Error"]["Code"] == "ValidationException"
        return
    assert jobs.end(name, 10)["ProcessingJobStatus"] in ("Failed", "Completed")


# --- metrics -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["processing", "training"])
def test_hosts_tell_how_busy_they_are_once_a_minute(jobs, monkeypatch, kind):
    monkeypatch.setattr(usage, "SHORTEST_REAL_SECONDS", 0.0)
    monkeypatch.setattr(usage, "PERIOD_SECONDS", 0.5)
    code = "import os\nprint('up', flush=True)\nheld = bytearray(64 << 20)\nwhile not os.path.exists('/opt/ml/go'): pass"
    name, boxes = f"busy-{kind}", jobs.boxes
    if kind == "processing":
        jobs.job(name, code, count=2)
        jobs.until(name, lambda job: jobs.log(name).count("up") == 2)
        service, hosts = processing_usage, [f"{name}/algo-1", f"{name}/algo-2"]
    else:
        boxes.job(name, code)
        boxes.until(name, lambda job: "up" in boxes.log(name))
        service, hosts = training_usage, [f"{name}/algo-1"]
    until = deadline(20)
    cloudwatch, found = boxes.yard.client("cloudwatch"), {}
    while len(found) < 3 * len(hosts) and time.monotonic() < until:
        service.measure(boxes.platform)
        told = cloudwatch.list_metrics(Namespace=service.NAMESPACE)["Metrics"]
        found = {(m["Dimensions"][0]["Value"], m["MetricName"]) for m in told if m["Dimensions"][0]["Value"] in hosts}
        time.sleep(0.1)
    assert found == {(host, f"{what}Utilization") for host in hosts for what in ("CPU", "Memory", "Disk")}
    times = {"StartTime": time.time() - 300, "EndTime": time.time() + 60, "Period": 60, "Statistics": ["Maximum"]}
    dimensions = [{"Name": "Host", "Value": hosts[0]}]
    for metric, least, most in (("CPUUtilization", 1, 400), ("MemoryUtilization", 0.1, 100)):
        (point,) = cloudwatch.get_metric_statistics(Namespace=service.NAMESPACE, MetricName=metric, Dimensions=dimensions, **times)[
            "Datapoints"
        ][:1]
        assert least < point["Maximum"] < most
    jobs.go()
    (jobs if kind == "processing" else boxes).end(name)


# --- whoever is killed -------------------------------------------------------------------------------


def test_another_engine_goes_on_with_the_hosts_that_run(jobs):
    outputs = [s3_output("out", f"s3://{BUCKET}/handover/out", mode="Continuous")]
    code = f"import socket, time\nprint('up', flush=True)\ntime.sleep(2)\nopen('{OUT}/' + socket.gethostname(), 'w').write('done')"
    jobs.job("handover", code, outputs=outputs, count=2)
    jobs.until("handover", lambda job: jobs.log("handover").count("up") == 2)
    jobs.boxes.stop_engine()
    jobs.boxes.platform.parts["tasks"] = Tasks()  # what an engine has under way dies with it
    jobs.boxes.start_engine()
    assert jobs.end("handover")["ProcessingJobStatus"] == "Completed"
    assert jobs.files("handover/out/") == {"algo-1": b"done", "algo-2": b"done"}
    assert jobs.log("handover").count("up") == 2, "no host began twice"


def test_a_lost_host_lets_all_hosts_begin_again(jobs):
    """The shim of a host is killed with -9, as by a machine that goes down."""
    code = (
        "import socket\nprint('up', socket.gethostname(), flush=True)\n"
        f"{WAIT}\nopen('{OUT}/' + socket.gethostname(), 'w').write('done')"
    )
    jobs.job("lost", code, count=2)
    jobs.until("lost", lambda job: sum(line.startswith("up") for line in jobs.log("lost")) == 2)
    victim = next(run for run in jobs.boxes.runtime.ids() if jobs.boxes.runtime.look(run).state == "running")
    os.kill(jobs.boxes.runtime.look(victim).pid, signal.SIGKILL)
    jobs.until("lost", lambda job: sum(line.startswith("up") for line in jobs.log("lost")) == 4)
    jobs.go()
    assert jobs.end("lost", 40)["ProcessingJobStatus"] == "Completed"
    assert jobs.files("lost/out/") == {"algo-1": b"done", "algo-2": b"done"}
    assert sorted(line for line in jobs.log("lost") if line.startswith("up")) == ["up algo-1"] * 2 + ["up algo-2"] * 2
