"""KmsKeyId of jobs' outputs: what they leave in S3 is encrypted with that key, which the role must be allowed to use."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.errors import ApiError
from modelyard.services.sagemaker.processing_job import outputs as processing
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job import outputs as training
from tests.support.platform import ACCOUNT, InProcess

REGION = "us-east-1"
S3_ONLY = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
THROUGH_S3 = [{"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": "*", "Condition": {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}}]  # fmt: skip


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path / "data", clock=ManualClock())
    made.client("s3").create_bucket(Bucket="bucket")
    yield made
    made.close()


def session(yard, *statements) -> RoleSession:
    iam = yard.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))["Role"][
        "Arn"
    ]
    iam.put_role_policy(
        RoleName="r", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [*S3_ONLY, *statements]})
    )
    return RoleSession(yard.platform, ACCOUNT, REGION, role)


def left_behind(tmp_path):
    ml = tmp_path / "ml"
    for name in ("model", "output/data"):
        (ml / name).mkdir(parents=True)
        (ml / name / "file").write_text("x")
    return ml


def key_of(yard, key: str) -> str | None:
    return yard.client("s3").head_object(Bucket="bucket", Key=key).get("SSEKMSKeyId")


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_a_training_jobs_model_and_output(yard, tmp_path, compression):
    key = yard.client("kms").create_key()["KeyMetadata"]["Arn"]
    to = {"S3OutputPath": "s3://bucket/out", "KmsKeyId": key, "CompressionType": compression}
    job = SimpleNamespace(name="job", spec={"OutputDataConfig": to, "AlgorithmSpecification": {}})
    training.collect(session(yard, *THROUGH_S3), job, [left_behind(tmp_path)], [], keep_model=True)
    keys = [one["Key"] for one in yard.client("s3").list_objects_v2(Bucket="bucket")["Contents"]]
    assert len(keys) == 2 and [key_of(yard, one) for one in keys] == [key, key]


def test_a_role_without_the_key_uploads_nothing(yard, tmp_path):
    key = yard.client("kms").create_key()["KeyMetadata"]["Arn"]
    to = {"S3OutputPath": "s3://bucket/out", "KmsKeyId": key}
    job = SimpleNamespace(name="job", spec={"OutputDataConfig": to, "AlgorithmSpecification": {}})
    with pytest.raises(ApiError, match=r"ClientError: Artifact upload failed:AccessDenied .*kms:GenerateDataKey"):
        training.collect(session(yard), job, [left_behind(tmp_path)], [], keep_model=True)
    assert "Contents" not in yard.client("s3").list_objects_v2(Bucket="bucket")


def test_a_processing_jobs_outputs(yard, tmp_path):
    yard.client("kms").create_alias(AliasName="alias/mine", TargetKeyId=(key := yard.client("kms").create_key()["KeyMetadata"])["KeyId"])
    to = {"S3Uri": "s3://bucket/to", "LocalPath": "/opt/ml/output/data", "S3UploadMode": "EndOfJob"}
    spec = {"ProcessingOutputConfig": {"KmsKeyId": "alias/mine", "Outputs": [{"OutputName": "o", "AppManaged": False, "S3Output": to}]}}
    ml = left_behind(tmp_path)
    processing.upload(session(yard, *THROUGH_S3), spec, [ml])
    assert key_of(yard, "to/file") == key["Arn"]
