"""The command line as a user has it: following logs, status, accounts, a second `up`, open auth, a fast clock, several processes."""

import json
import os
import re
import signal
import threading
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.journeys import jobs
from tests.journeys.conftest import wait


def patient(yard, name, seconds, **more):
    hyperparameters = {"seconds": seconds, "bucket": jobs.BUCKET, "key": f"{name}/train/rows.csv"}
    jobs.submit(yard, name, "patient", hyperparameters, **more)


def test_logs_follow_a_job(yard):
    patient(yard, "followed", 3600, StoppingCondition={"MaxRuntimeInSeconds": 3600})
    lines, tail = [], yard.popen("logs", "followed", "-f")

    def read():
        for line in tail.stdout:
            lines.append(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        wait(lambda: any("second 3" in line for line in lines), 60)
        client = yard.client("sagemaker")  # as it was printed, not at the end
        assert client.describe_training_job(TrainingJobName="followed")["TrainingJobStatus"] == "InProgress"
        client.stop_training_job(TrainingJobName="followed")
    finally:
        tail.send_signal(signal.SIGINT)
        assert tail.wait(60) in (0, 130)
    assert jobs.finished(yard, "followed")["TrainingJobStatus"] == "Stopped"
    said = re.findall(r"second (\d+)", yard.modelyard("logs", "followed").stdout)
    assert said == [str(n) for n in range(len(said))] and len(said) >= 4, "all, once, in order"
    events = [json.loads(line) for line in yard.modelyard("logs", "followed", "--json").stdout.splitlines()]
    assert all(set(event) >= {"timestamp", "stream", "message"} for event in events)
    assert all(event["stream"].startswith("followed/algo-1-") for event in events)


def test_logs_of_an_endpoint(yard):
    jobs.submit(yard, "logged", "stream")
    jobs.deploy(yard, jobs.finished(yard, "logged"), "logged")
    yard.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="logged", ContentType="application/json", Accept="text/plain", Body='{"pause": 0}'
    )
    assert wait(lambda: yard.modelyard("logs", "logged").stdout, 20)
    yard.client("sagemaker").delete_endpoint(EndpointName="logged")
    assert "no job, endpoint or group nobody" in yard.modelyard("logs", "nobody", code=1).stderr


def test_status_and_health(yard):
    said = yard.status()
    assert {"endpoint", "auth", "tier", "clock", "processes"} <= set(said)
    assert (said["auth"], said["clock"]["speed"]) == ("iam", 1.0)
    assert abs(said["clock"]["now"] - time.time()) < 60
    assert {"supervisor", "gateway", "engine"} <= {p["role"] for p in said["processes"]}
    for process in said["processes"]:
        os.kill(process["pid"], 0)
    health = json.load(urllib.request.urlopen(said["endpoint"] + "/_modelyard/health"))
    assert health["version"] == said["version"]
    assert set(health["services"].values()) == {"ready"}
    assert health["tier"] == said["tier"]


def test_further_account(yard):
    yard.modelyard("account", "add", "111122223333")
    listed = [row["account"] for row in json.loads(yard.modelyard("account", "ls", "--json").stdout)]
    assert "111122223333" in listed and len(listed) == 2
    other = yard.client("sts", "--account", "111122223333").get_caller_identity()
    assert (other["Account"], other["Arn"]) == ("111122223333", "arn:aws:iam::111122223333:root")
    mine, theirs = yard.client("s3"), yard.client("s3", "--account", "111122223333")
    mine.create_bucket(Bucket="of-the-first")
    with pytest.raises(ClientError) as taken:
        theirs.create_bucket(Bucket="of-the-first")
    assert taken.value.response["Error"]["Code"] == "BucketAlreadyExists"
    with pytest.raises(ClientError) as denied:
        theirs.list_objects_v2(Bucket="of-the-first")
    assert denied.value.response["Error"]["Code"] == "AccessDenied"
    assert yard.client("sagemaker", "--account", "111122223333").list_training_jobs()["TrainingJobSummaries"] == []
    assert "no account 999988887777" in yard.modelyard("env", "--account", "999988887777", code=1).stderr


def test_second_up_says_who_holds_it(yard):
    done = yard.modelyard("up", "--detach", "--port", "0", code=None)
    assert done.returncode != 0
    holder = next(p["pid"] for p in yard.status()["processes"] if p["role"] == "supervisor")
    assert str(holder) in done.stderr, done.stderr
    assert yard.endpoint in done.stderr


def test_open_auth(fresh):
    fresh.up("--auth", "open")
    endpoint = fresh.endpoint
    for account in ("123456789012", "210987654321"):
        keys = {"aws_access_key_id": account, "aws_secret_access_key": "anything", "region_name": "us-east-1"}
        said = boto3.client("sts", endpoint_url=endpoint, **keys).get_caller_identity()
        assert said["Account"] == account
        s3 = boto3.client("s3", endpoint_url=endpoint, **keys)
        s3.create_bucket(Bucket=f"of-{account}")
        assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [f"of-{account}"]
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    assert boto3.client("sts", endpoint_url=endpoint, **keys).get_caller_identity()["Account"] == "123456789012"
    jobs.submit(fresh, "open", "stream")
    assert jobs.finished(fresh, "open")["TrainingJobStatus"] == "Completed"
    refused = fresh.modelyard("up", "--auth", "open", "--host", "0.0.0.0", code=2)
    assert "loopback" in refused.stderr


def test_fast_clock_kills_no_job(fresh):
    """An hour a second: the job works for 8 real seconds, with a limit of minutes and a session of hours, and ends well."""
    fresh.up("--clock-speed", "3600")
    started = fresh.status()["clock"]["now"]
    patient(fresh, "fast", 8, StoppingCondition={"MaxRuntimeInSeconds": 240})
    job = jobs.finished(fresh, "fast")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    told = json.loads(jobs.model_file(fresh, job, "facts.json"))
    assert told["row"] == "1,2,3\n"  # its session still held
    assert told["seconds"] >= 8
    assert abs(told["began"] - time.time()) < 1800  # user code has its own, real time
    assert fresh.status()["clock"]["now"] - started > 8 * 3600
    assert (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds() > 8 * 3600
    jobs.deploy(fresh, _model_of_words(fresh), "fast")
    time.sleep(3)  # three hours of health checks
    said = fresh.client("sagemaker").describe_endpoint(EndpointName="fast")
    assert said["EndpointStatus"] == "InService"


def _model_of_words(yard):
    jobs.submit(yard, "words", "stream")
    return jobs.finished(yard, "words")


def test_fast_clock_still_limits_jobs_by_real_time(fresh):
    fresh.up("--clock-speed", "3600")
    patient(fresh, "limited", 60, StoppingCondition={"MaxRuntimeInSeconds": 3})
    job = jobs.finished(fresh, "limited")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_two_gateways_two_engines(fresh):
    """Everything works, once; and still does when one of each is killed."""
    fresh.up("--gateways", "2", "--engines", "2")
    processes = fresh.status()["processes"]
    roles = [p["role"] for p in processes]
    assert (roles.count("gateway"), roles.count("engine")) == (2, 2)
    for n in range(4):
        patient(fresh, f"many-{n}", 3)
    for role in ("gateway", "engine"):
        os.kill(next(p["pid"] for p in processes if p["role"] == role), signal.SIGKILL)
    for n in range(4):
        job = jobs.finished(fresh, f"many-{n}", 120)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert fresh.modelyard("logs", f"many-{n}").stdout.count("second 0") == 1  # run once
    jobs.deploy(fresh, _model_of_words(fresh), "two")
    runtime = fresh.client("sagemaker-runtime")
    for _ in range(40):  # over both gateways
        answer = runtime.invoke_endpoint(EndpointName="two", ContentType="application/json", Accept="text/plain", Body='{"pause": 0}')
        assert answer["Body"].read().startswith(b"one")


def test_down_leaves_nothing_and_up_goes_on(fresh):
    fresh.up()
    patient(fresh, "again", 5)
    sagemaker = fresh.client("sagemaker")
    wait(lambda: sagemaker.describe_training_job(TrainingJobName="again")["SecondaryStatus"] == "Training")
    pids = [p["pid"] for p in fresh.status()["processes"]]
    assert any(p["role"] == "shim" for p in fresh.status()["processes"])
    fresh.down()
    assert [pid for pid in pids if _lives(pid)] == []
    assert fresh.modelyard("status", code=None).returncode != 0
    fresh.up()
    job = jobs.finished(fresh, "again")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    fresh.down()
    fresh.modelyard("reset", "--yes")
    fresh.up()
    assert fresh.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []


def _lives(pid):
    """Not of one that has ended and that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
