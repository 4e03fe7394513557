"""The AWS CLI as it comes from PyPI: buckets, jobs from JSON, waiters, invocation, logs, metrics, roles."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.journeys.conftest import ROOT, CommandLine, wait
from tests.journeys.jobs import finished
from tests.support.boxes import FINAL

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
IRIS = ROOT / "examples" / "iris.csv"


@pytest.fixture(scope="module")
def aws(yard, aws_commands, tmp_path_factory):
    return CommandLine(yard, aws_commands, tmp_path_factory.mktemp("cli"))


def test_who_am_i(yard, aws):
    words = ["env", f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}", "aws", "sts", "get-caller-identity"]
    said = json.loads(yard.run(*words).stdout)
    assert aws("sts", "get-caller-identity") == said, "from the shell, and as these tests call it"
    assert set(said) == {"UserId", "Account", "Arn"}
    assert said["Arn"].startswith(f"arn:aws:sts::{said['Account']}:assumed-role/")


def test_buckets_and_objects(aws):
    assert aws("s3", "mb", "s3://cli-data") == "make_bucket: cli-data\n"
    tree = aws.folder / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.txt").write_text("alpha")
    (tree / "sub/b.txt").write_text("beta")
    (aws.folder / "big.bin").write_bytes(os.urandom(20 << 20))  # over the CLI's 8 MiB: multipart up, ranges down
    aws("s3", "cp", "--no-progress", "big.bin", "s3://cli-data/big.bin")
    aws("s3", "cp", "--no-progress", "s3://cli-data/big.bin", "back.bin")
    assert (aws.folder / "back.bin").read_bytes() == (aws.folder / "big.bin").read_bytes()
    assert aws("s3api", "head-object", "--bucket", "cli-data", "--key", "big.bin")["ETag"].endswith('-3"')

    assert aws("s3", "sync", "--no-progress", "tree", "s3://cli-data/tree").count("upload:") == 2
    assert aws("s3", "sync", "--no-progress", "tree", "s3://cli-data/tree") == ""
    (tree / "a.txt").unlink()
    assert aws("s3", "sync", "--no-progress", "--delete", "tree", "s3://cli-data/tree") == "delete: s3://cli-data/tree/a.txt\n"
    aws("s3", "sync", "--no-progress", "s3://cli-data/tree", "copy")
    assert (aws.folder / "copy/sub/b.txt").read_text() == "beta"

    listed = [line.split() for line in aws("s3", "ls", "--recursive", "s3://cli-data").splitlines()]
    assert [(row[2], row[3]) for row in listed] == [(str(20 << 20), "big.bin"), ("4", "tree/sub/b.txt")]
    assert "PRE tree/" in aws("s3", "ls", "s3://cli-data")

    url = aws("s3", "presign", "s3://cli-data/tree/sub/b.txt", "--expires-in", "60").strip()
    assert urllib.request.urlopen(url).read() == b"beta"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url[:-6] + "AAAAAA")
    assert refused.value.code == 403

    assert "BucketNotEmpty" in aws("s3", "rb", "s3://cli-data", code=1)
    assert aws("s3", "rb", "--force", "s3://cli-data").endswith("remove_bucket: cli-data\n")
    assert "NoSuchBucket" in aws("s3", "ls", "s3://cli-data", code=255)


@pytest.fixture(scope="module")
def job(aws, yard):
    """A training job from a JSON file, waited for with the CLI's waiter."""
    aws("s3", "mb", "s3://cli-train")
    aws("s3", "cp", "--no-progress", str(IRIS), "s3://cli-train/train/iris.csv")
    name = aws("sts", "get-caller-identity")["Arn"].split("/")[1]
    role = aws("iam", "get-role", "--role-name", name, "--query", "Role.Arn", "--output", "text").strip()
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://cli-train/train/", "S3DataDistributionType": "FullyReplicated"}
    request = {
        "TrainingJobName": "cli-iris",
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": role,
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}, "ContentType": "text/csv"}],
        "OutputDataConfig": {"S3OutputPath": "s3://cli-train/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "HyperParameters": {"objective": "multi:softmax", "num_class": "3", "num_round": "30", "eval_metric": "merror"},
    }
    (aws.folder / "job.json").write_text(json.dumps(request))
    made = aws("sagemaker", "create-training-job", "--cli-input-json", "file://job.json")
    assert made["TrainingJobArn"].endswith(":training-job/cli-iris")
    finished(yard, "cli-iris")  # the CLI's waiter looks every two minutes
    aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", "cli-iris")
    return aws("sagemaker", "describe-training-job", "--training-job-name", "cli-iris")


def test_training_job(aws, job):
    assert job["TrainingJobStatus"] == "Completed"
    assert [m["MetricName"] for m in job["FinalMetricDataList"]] == ["train:merror"]
    again = aws("sagemaker", "create-training-job", "--cli-input-json", "file://job.json", code=255)
    assert "(ResourceInUse)" in again
    listed = aws("sagemaker", "list-training-jobs", "--name-contains", "cli-iris", "--query", "TrainingJobSummaries[].TrainingJobName")
    assert listed == ["cli-iris"]


def test_logs_and_metrics(aws, job):
    group = "/aws/sagemaker/TrainingJobs"
    filtered = aws(
        "logs",
        "filter-log-events",
        "--log-group-name",
        group,
        "--log-stream-name-prefix",
        "cli-iris/",
        "--filter-pattern",
        '"train-merror"',
    )
    assert [event["message"].split("#011")[0] for event in filtered["events"]] == [f"[{n}]" for n in range(30)]
    words = ["cloudwatch", "get-metric-statistics", "--namespace", group, "--metric-name", "train:merror"]
    words += ["--dimensions", "Name=TrainingJobName,Value=cli-iris", "--period", "3600", "--statistics", "SampleCount", "Minimum"]
    start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (-3600, 60))
    points = aws(*words, "--start-time", start, "--end-time", end)["Datapoints"]
    assert sum(p["SampleCount"] for p in points) == 30
    assert min(p["Minimum"] for p in points) == pytest.approx(job["FinalMetricDataList"][0]["Value"], abs=0.02)


def test_endpoint_with_waiters(aws, job):
    model = f"Image={IMAGE},ModelDataUrl={job['ModelArtifacts']['S3ModelArtifacts']}"
    aws("sagemaker", "create-model", "--model-name", "cli", "--execution-role-arn", job["RoleArn"], "--primary-container", model)
    variant = "VariantName=all,ModelName=cli,InitialInstanceCount=1,InstanceType=ml.m5.large"
    aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", "cli", "--production-variants", variant)
    aws("sagemaker", "create-endpoint", "--endpoint-name", "cli", "--endpoint-config-name", "cli")
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli")
    words = ["sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "cli", "--content-type", "text/csv", "answer.txt"]
    said = aws(*words, "--body", "5.1,3.5,1.4,0.2")
    assert (said["InvokedProductionVariant"], float((aws.folder / "answer.txt").read_text())) == ("all", 0.0)
    assert "(ModelError)" in aws(*words, "--body", "not,a,number", code=255)

    def invocations():
        words = ["cloudwatch", "get-metric-statistics", "--namespace", "AWS/SageMaker", "--metric-name", "Invocations"]
        words += ["--dimensions", "Name=EndpointName,Value=cli", "Name=VariantName,Value=all", "--period", "3600", "--statistics", "Sum"]
        start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (-3600, 60))
        return sum(p["Sum"] for p in aws(*words, "--start-time", start, "--end-time", end)["Datapoints"]) == 2

    wait(invocations, 30)
    aws("sagemaker", "delete-endpoint", "--endpoint-name", "cli")
    aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "cli")
    assert "Could not find endpoint" in aws("sagemaker", "describe-endpoint", "--endpoint-name", "cli", code=255)
    aws("sagemaker", "delete-endpoint-config", "--endpoint-config-name", "cli")
    aws("sagemaker", "delete-model", "--model-name", "cli")


def test_roles(aws):
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    (aws.folder / "trust.json").write_text(json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    aws("iam", "create-role", "--role-name", "cli-role", "--assume-role-policy-document", "file://trust.json")
    policy = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    aws("iam", "attach-role-policy", "--role-name", "cli-role", "--policy-arn", policy)
    listed = aws("iam", "list-attached-role-policies", "--role-name", "cli-role", "--query", "AttachedPolicies[].PolicyArn")
    assert listed == [policy]
    assert "(DeleteConflict)" in aws("iam", "delete-role", "--role-name", "cli-role", code=255)
    aws("iam", "detach-role-policy", "--role-name", "cli-role", "--policy-arn", policy)
    aws("iam", "delete-role", "--role-name", "cli-role")
    assert "(NoSuchEntity)" in aws("iam", "get-role", "--role-name", "cli-role", code=255)


def test_what_is_not_built(aws):
    said = aws("sagemaker", "list-apps", code=255)
    assert "ListApps" in said


def test_a_processing_job_from_json_with_its_waiter(aws, yard):
    aws("s3", "mb", "s3://cli-process")
    (aws.folder / "count.py").write_text(
        "n = len(open('/opt/ml/processing/input/data/rows.txt').readlines())\nopen('/opt/ml/processing/out/n', 'w').write(str(n))"
    )
    (aws.folder / "rows.txt").write_text("a\nb\nc\n")
    for name, key in (("count.py", "code/count.py"), ("rows.txt", "data/rows.txt")):
        aws("s3", "cp", "--no-progress", name, f"s3://cli-process/{key}")
    name = aws("sts", "get-caller-identity")["Arn"].split("/")[1]
    role = aws("iam", "get-role", "--role-name", name, "--query", "Role.Arn", "--output", "text").strip()

    def source(what):
        where = {"S3Uri": f"s3://cli-process/{what}/", "LocalPath": f"/opt/ml/processing/input/{what}", "S3DataType": "S3Prefix"}
        return {"InputName": what, "S3Input": {**where, "S3InputMode": "File"}}

    output = {"S3Uri": "s3://cli-process/out", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
    request = {
        "ProcessingJobName": "cli-count",
        "AppSpecification": {
            "ImageUri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/count.py"],
        },
        "RoleArn": role,
        "ProcessingInputs": [source("code"), source("data")],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "n", "S3Output": output}]},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}},
    }
    (aws.folder / "processing.json").write_text(json.dumps(request))
    aws("sagemaker", "create-processing-job", "--cli-input-json", "file://processing.json")
    client = yard.client("sagemaker")
    wait(lambda: client.describe_processing_job(ProcessingJobName="cli-count")["ProcessingJobStatus"] in FINAL, 60)
    aws("sagemaker", "wait", "processing-job-completed-or-stopped", "--processing-job-name", "cli-count")
    told = aws("sagemaker", "describe-processing-job", "--processing-job-name", "cli-count")
    assert told["ProcessingJobStatus"] == "Completed"
    assert aws("s3", "cp", "--no-progress", "s3://cli-process/out/n", "-").strip() == "3"
    assert "ResourceInUse" in aws("sagemaker", "create-processing-job", "--cli-input-json", "file://processing.json", code=255)
    listed = aws("sagemaker", "list-processing-jobs", "--name-contains", "cli-", "--query", "ProcessingJobSummaries[].ProcessingJobName")
    assert listed == ["cli-count"]
