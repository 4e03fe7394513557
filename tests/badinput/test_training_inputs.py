"""What is wrong with a job's inputs, role, image and output place: refused at create or failed with AWS's reason, nothing else lost."""

from __future__ import annotations

import json

import pytest

from modelyard.kernel.store import Step
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE
from tests.support.boxes import BUCKET, IMAGE
from tests.support.platform import ACCOUNT

LIST = "import os; print(sorted(os.path.relpath(os.path.join(d, f), '/opt/ml/input/data') for d, _, fs in os.walk('/opt/ml/input/data') for f in fs))"


def channel(uri: str, name: str = "train", kind: str = "S3Prefix", **more) -> dict:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}, **more}


def create(boxes, name: str, *channels: dict, **more):
    return lambda: boxes.job(name, LIST, InputDataConfig=list(channels), **more)


# --- buckets and keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["s3://no-such-bucket-here/x", f"s3://{BUCKET}/no/such/prefix", f"s3://{BUCKET}/no-such-key.csv"])
@pytest.mark.parametrize("kind", ["S3Prefix", "ManifestFile"])
def test_inputs_that_are_not_there_are_refused_at_create(boxes, refused, uri, kind):
    said = refused(create(boxes, "no-input", channel(uri, kind=kind)), "ValidationException", f'No S3 objects found under S3 URL "{uri}"')
    assert "Please ensure that the bucket exists in the selected region (us-east-1)" in said["Error"]["Message"]
    refused(lambda: boxes.sm.describe_training_job(TrainingJobName="no-input"), "ValidationException", "Requested resource not found.")


@pytest.mark.parametrize(
    "uri", ["http://x/y", "s3:///key", "s3://", "https://data.s3.amazonaws.com/x", "S3://data/x", "file:///etc/passwd", "/etc/passwd"]
)
def test_places_that_are_no_s3_uris(boxes, refused, uri):
    refused(create(boxes, "no-uri", channel(uri)), "ValidationException")
    refused(lambda: boxes.job("no-uri", OutputDataConfig={"S3OutputPath": uri}), "ValidationException")


def test_an_output_bucket_that_is_not_there_fails_the_job_at_its_end(boxes):
    job = boxes.run("no-out", "open('/opt/ml/model/m','w')", OutputDataConfig={"S3OutputPath": "s3://gone-bucket-here/out"})
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:NoSuchBucket (404)"), job["FailureReason"]


def test_an_object_deleted_between_create_and_download_fails_the_job(boxes):
    boxes.stop_engine()
    try:
        create(boxes, "deleted", channel(boxes.put("deleted/x.csv")))()
        boxes.s3.delete_object(Bucket=BUCKET, Key="deleted/x.csv")
    finally:
        boxes.start_engine()
    job = boxes.end("deleted")
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: Data download failed:")


def test_two_channels_of_one_name(boxes, refused):
    uri = boxes.put("two/x.csv")
    refused(create(boxes, "two", channel(uri), channel(uri)), "ValidationException")


@pytest.mark.parametrize("name", ["../up", "a/b", "x" * 65, "..", "."])
def test_channel_names_that_are_no_folders(boxes, refused, name):
    refused(create(boxes, "channel", channel(boxes.put("c/x.csv"), name)), "ValidationException")


# --- keys that cannot be files -----------------------------------------------------------------------


@pytest.mark.parametrize("key", ["dots/../../../../etc/x", "dots/a/../x", "dots/..", "dots//../x"])
def test_keys_with_dots_never_leave_their_channel(boxes, key):
    boxes.put(key)
    job = boxes.end(create(boxes, "dots-" + str(abs(hash(key)) % 10**6), channel(f"s3://{BUCKET}/dots/"))())
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: Data download failed:"), job
    boxes.s3.delete_object(Bucket=BUCKET, Key=key)


def test_a_key_that_is_both_a_folder_and_a_file(boxes):
    boxes.put("both/x")
    boxes.put("both/x/y")
    job = boxes.end(create(boxes, "both", channel(f"s3://{BUCKET}/both/"))())
    assert job["TrainingJobStatus"] == "Failed"
    assert "ensure that there is no object that is both a folder as well as a file" in job["FailureReason"]


@pytest.mark.parametrize("name", ["n" * 300, "a/" * 200 + "x", "new\nline", "\x01\x7f", "日本", "a//b", "./c", "tail/."])
def test_keys_that_are_odd_file_names(boxes, name):
    folder = f"odd{abs(hash(name)) % 10**6}"
    boxes.put(f"{folder}/{name}")
    job = boxes.end(create(boxes, folder, channel(f"s3://{BUCKET}/{folder}/"))())
    if job["TrainingJobStatus"] == "Failed":
        assert job["FailureReason"].startswith("ClientError: Data download failed:"), job
    else:
        assert job["TrainingJobStatus"] == "Completed", job


def test_folder_markers_and_empty_files_are_no_trouble(boxes):
    for key in ("marks/", "marks/a/", "marks/a/empty"):
        boxes.put(key, b"")
    assert boxes.end(create(boxes, "marks", channel(f"s3://{BUCKET}/marks"))())["TrainingJobStatus"] == "Completed"
    assert "['train/a/empty']" in boxes.log("marks")


def test_only_folder_markers_are_no_data(boxes):
    boxes.put("hollow/", b"")
    job = boxes.end(create(boxes, "hollow", channel(f"s3://{BUCKET}/hollow/"))())
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: Data download failed:")


# --- manifests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "manifest",
    [
        b"", b"not json", b"\xff\xfe\x00", b"{}", b"[]", b"null", b"3", b'["x"]', b'[{"prefix": 3}, "x"]', b'[{"prefix": "http://x/"}, "x"]',
        b'[{"prefix": "s3://data/"}, 3]', b'[{"prefix": "s3://data/"}, {"a": 1}]', b'[{"prefix": "s3://data/"}, null]', b"[" * 100_000,
        b'[{"prefix": "s3://"}, "x"]', b'[[], "x"]', b'{"prefix": "s3://data/", "0": "x"}', b'["s3://data/x"', b'[{"source": "s3://data/x"}]',
    ],
    ids=range(19),
)  # fmt: skip
def test_a_manifest_of_the_wrong_shape(boxes, manifest):
    uri = boxes.put("manifests/m", manifest)
    name = f"shape-{abs(hash(manifest)) % 10**9}"
    job = boxes.end(create(boxes, name, channel(uri, kind="ManifestFile"))())
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: "), job["FailureReason"]
    assert "manifest" in job["FailureReason"]


@pytest.mark.parametrize("names", [["missing.csv"], ["../x.csv"], ["/etc/passwd"], [""], ["x.csv", "x.csv/y"], ["a\0b"]])
def test_a_manifest_that_names_what_cannot_be(boxes, names):
    boxes.put("listed/x.csv")
    boxes.put("listed/x.csv/y")
    uri = boxes.put("manifests/names", json.dumps([{"prefix": f"s3://{BUCKET}/listed/"}, *names]).encode())
    job = boxes.end(create(boxes, f"names-{abs(hash(str(names))) % 10**9}", channel(uri, kind="ManifestFile"))())
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: Data download failed:"), job


def test_a_manifest_that_is_too_large_is_refused_by_its_size(boxes):
    uri = boxes.put("manifests/huge", b"[" + b" " * ((64 << 20) + 1))
    job = boxes.end(create(boxes, "huge", channel(uri, kind="ManifestFile"))(), 60)
    assert job["TrainingJobStatus"] == "Failed" and "64 MiB" in job["FailureReason"]


def test_a_manifest_of_many_rows_that_are_missing_ends_soon(boxes):
    rows = json.dumps([{"prefix": f"s3://{BUCKET}/none/"}, *[f"{n}.csv" for n in range(100_000)]])
    job = boxes.end(create(boxes, "many", channel(boxes.put("manifests/many", rows.encode()), kind="ManifestFile"))())
    assert job["TrainingJobStatus"] == "Failed" and "NoSuchKey" in job["FailureReason"]


def test_a_good_manifest(boxes):
    boxes.put("good/a/x.csv")
    boxes.put("good/y.csv")
    uri = boxes.put("manifests/good", json.dumps([{"prefix": f"s3://{BUCKET}/good/"}, "a/x.csv", "y.csv"]).encode())
    assert boxes.end(create(boxes, "good", channel(uri, kind="ManifestFile"))())["TrainingJobStatus"] == "Completed"
    assert "['train/a/x.csv', 'train/y.csv']" in boxes.log("good")


# --- roles -------------------------------------------------------------------------------------------

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def role(boxes, name: str, trust: dict = TRUST, allow: list[str] | None = None) -> str:
    arn = boxes.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if allow:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allow, "Resource": "*"}]}
        boxes.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    return arn


def test_a_role_that_is_missing_or_does_not_trust_sagemaker(boxes, refused):
    lambda_only = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    for arn in (f"arn:aws:iam::{ACCOUNT}:role/missing", role(boxes, "for-lambda", lambda_only)):
        said = refused(
            lambda arn=arn: boxes.job("roles", RoleArn=arn),
            "ValidationException",
            f"Could not assume role {arn}. Please ensure that the role exists",
        )
        assert "allows principal 'sagemaker.amazonaws.com' to assume the role." in said["Error"]["Message"]
        refused(
            lambda arn=arn: boxes.sm.create_model(ModelName="roles", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=arn),
            "ValidationException",
            "Could not assume role",
        )


def test_a_role_of_another_account(boxes, refused):
    refused(
        lambda: boxes.job("roles", RoleArn="arn:aws:iam::210987654321:role/other"),
        "ValidationException",
        "Cross-account pass role is not allowed.",
    )


@pytest.mark.parametrize("arn", ["arn:aws:iam::123456789012:user/x", "arn:aws:iam::12:role/x", "arn:aws:s3:::a-bucket", "x" * 3000])
def test_what_is_no_role_arn(boxes, refused, arn):
    refused(lambda: boxes.job("roles", RoleArn=arn), "ValidationException")


def test_a_caller_who_may_not_pass_the_role(boxes, refused):
    arn = role(boxes, "passed", allow=["s3:*"])
    boxes.iam.create_user(UserName="poor")
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}]}
    boxes.iam.put_user_policy(UserName="poor", PolicyName="p", PolicyDocument=json.dumps(allow))
    key = boxes.iam.create_access_key(UserName="poor")["AccessKey"]
    from tests.support import inproc

    poor = inproc.client(boxes.yard.gateway, "sagemaker", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    said = refused(
        lambda: poor.create_training_job(**boxes.request("poor", RoleArn=arn)),
        "AccessDeniedException",
        "is not authorized to perform: iam:PassRole on resource: " + arn,
    )
    assert f"User: arn:aws:iam::{ACCOUNT}:user/poor" in said["Error"]["Message"]
    refused(
        lambda: poor.create_model(ModelName="poor", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=arn),
        "AccessDeniedException",
        "iam:PassRole",
    )


def test_a_role_without_rights_on_the_input_is_refused_and_on_the_output_fails_the_job(boxes, refused):
    arn = role(boxes, "no-rights")
    refused(
        create(boxes, "denied", channel(boxes.put("denied/x")), RoleArn=arn),
        "ValidationException",
        f'and that the role "{arn}" has "s3:ListBucket" permissions',
    )
    job = boxes.run("denied-out", "open('/opt/ml/model/m','w')", RoleArn=arn)
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith(
        "ClientError: Artifact upload failed:AccessDenied (403)"
    ), job


def test_a_role_that_may_list_but_not_read(boxes):
    arn = role(boxes, "list-only", allow=["s3:ListBucket", "s3:PutObject"])
    job = boxes.end(create(boxes, "unread", channel(boxes.put("unread/x")), RoleArn=arn)())
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith(
        "ClientError: Data download failed:AccessDenied (403)"
    ), job


def test_a_role_deleted_before_the_job_starts_fails_it(boxes):
    arn = role(boxes, "gone-early", allow=["s3:*"])
    boxes.stop_engine()
    try:
        boxes.job("early", RoleArn=arn)
        job = boxes.platform.store.get("training-job", ACCOUNT, "us-east-1", "early")
        step = Step("InProgress", {"phase": "run", "attempt": 1, "started_at": boxes.platform.clock.now()})
        boxes.platform.store.apply(LIFECYCLE, job, step, boxes.platform.clock.now())
        boxes.iam.delete_role_policy(RoleName="gone-early", PolicyName="p")
        boxes.iam.delete_role(RoleName="gone-early")
    finally:
        boxes.start_engine()
    job = boxes.end("early", 5)
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: Could not assume role"), job


def test_a_role_deleted_while_the_job_runs_fails_it_at_the_upload(boxes):
    arn = role(boxes, "short-lived", allow=["s3:*"])
    boxes.job(
        "orphaned", "import os, time\nprint('up', flush=True)\nwhile not os.path.exists('/opt/ml/input/go'): time.sleep(.02)", RoleArn=arn
    )
    boxes.until("orphaned", lambda job: "up" in boxes.log("orphaned"))
    boxes.iam.delete_role_policy(RoleName="short-lived", PolicyName="p")
    boxes.iam.delete_role(RoleName="short-lived")
    for ml in (boxes.platform.settings.data / "jobs").glob("*/*/ml/input"):
        (ml / "go").touch()
    job = boxes.end("orphaned")
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: "), job


# --- images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image",
    [
        "no-such-image",
        f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/nothing:1",
        "docker.io/library/python:3.11",
        "x@sha256:00",
        ":",
        "",
        " ",
        "a b",
    ],
)
def test_an_unknown_image_fails_the_job(boxes, image):
    name = f"image-{abs(hash(image)) % 10**6}"
    job = boxes.run(name, AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].startswith(
        "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
    ), job


def test_an_image_uri_that_is_too_long(boxes, refused):
    too_long = {"TrainingImage": "x" * 256, "TrainingInputMode": "File"}
    refused(
        lambda: boxes.job("image", AlgorithmSpecification=too_long),
        "ValidationException",
        "Member must have length less than or equal to 255",
    )
