"""User code in a job: its role's session, the way to the platform, to packages, and to nothing else."""

import json
import re
import socket

import pytest
from botocore.exceptions import ClientError

from tests.journeys import jobs

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def narrow(yard):
    """A role that may do what a job needs with one bucket, and nothing else."""
    iam = yard.client("iam")
    role = iam.create_role(RoleName="inside-narrow", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    own = [f"arn:aws:s3:::{jobs.BUCKET}", f"arn:aws:s3:::{jobs.BUCKET}/*"]
    allowed = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], "Resource": own}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName="inside-narrow", PolicyName="own", PolicyDocument=document)
    return role["Arn"]


@pytest.fixture(scope="module")
def service():
    """Something that listens on this machine's own loopback and is nobody else's business."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def run(yard, name, port, pip, hyperparameters=None, **more):
    hyperparameters = {"bucket": jobs.BUCKET, "prefix": name, "pip": pip, "port": port, "home": str(yard.data), **(hyperparameters or {})}
    jobs.submit(yard, name, "inside", hyperparameters, **more)
    job = jobs.finished(yard, name, 150)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return json.loads(jobs.model_file(yard, job, "facts.json"))


@pytest.fixture(scope="module")
def inside(yard, narrow, service):
    return run(yard, "inside", service, True, RoleArn=narrow)


def test_it_acts_with_its_roles_session(inside, yard, narrow):
    account = narrow.split(":")[4]
    assert inside["caller"] == f"arn:aws:sts::{account}:assumed-role/inside-narrow/SageMaker"
    assert inside["region"] == "us-east-1"


def test_what_the_role_allows(inside, yard):
    assert inside["read"] == "1,2,3\n"
    assert yard.client("s3").get_object(Bucket=jobs.BUCKET, Key="inside/from-inside")["Body"].read() == b"hello"


def test_what_the_role_does_not_allow(inside, yard):
    assert inside["forbidden"]["code"] == "AccessDenied"
    users = f"arn:aws:iam::{inside['caller'].split(':')[4]}:user/"
    denied = f"User: {inside['caller']} is not authorized to perform: iam:ListUsers on resource: {users}"
    assert denied in inside["forbidden"]["text"]
    assert "because no identity-based policy allows the iam:ListUsers action" in inside["forbidden"]["text"]
    assert inside["forbidden_bucket"]["code"] == "AccessDenied"
    assert "made-inside" not in [b["Name"] for b in yard.client("s3").list_buckets()["Buckets"]]


def test_hard_coded_hosts_land_here(inside):
    assert inside["hard_sts"] == inside["caller"]


def test_packages(inside):
    assert re.fullmatch(r"\d+\.\d+\.\d+", inside["pip"]), inside["pip"]


def test_the_box(inside):
    assert inside["algo"].startswith("127.")
    assert inside["endpoint"] == 200
    assert {"code", "input", "model", "output"} <= set(inside["own_tree"])
    assert inside["host_service"]["error"] == "ConnectionRefusedError"  # the host's own loopback is not the box's
    assert "error" in inside["metadata"]
    assert "error" in inside["other_home"]  # secrets of the platform are not to be seen
    assert "error" in inside["root_is_read_only"]


def test_network_isolation(yard, narrow, service):
    """Nothing is reachable, and there are no keys; code, data and model still travel, the code as a channel as the SDK sends it."""
    prefix = f"s3://{jobs.BUCKET}/isolated"
    channels = [
        {
            "ChannelName": channel,
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{prefix}/{what}", "S3DataDistributionType": "FullyReplicated"}
            },
        }
        for channel, what in (("train", "train/"), ("code", "sourcedir.tar.gz"))
    ]
    hyperparameters = {"sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz"}
    more = {"EnableNetworkIsolation": True, "RoleArn": narrow, "InputDataConfig": channels}
    seen = run(yard, "isolated", service, True, hyperparameters, **more)
    for name in ("caller", "hard_sts", "read", "write", "pip", "open_internet", "metadata", "host_service", "endpoint"):
        assert "error" in seen[name], (name, seen[name])
    assert seen["algo"].startswith("127.")
    assert not [k for k in seen["keys"] if "KEY" in k or "TOKEN" in k or k.lower().endswith("_proxy")]


def test_a_role_that_may_not_read_the_data(yard):
    """Refused at once, in AWS's words."""
    role = yard.client("iam").create_role(RoleName="inside-nothing", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    with pytest.raises(ClientError, match="No S3 objects found under S3 URL") as refused:
        jobs.submit(yard, "no-data", "inside", {"pip": False}, RoleArn=role)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert f'that the role "{role}" has "s3:ListBucket" permissions' in str(refused.value)
