"""A key for the volumes of a job or an endpoint: who names it needs kms:CreateGrant on it, as its key policy and IAM have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.iam.conftest import ACCOUNT, allow, policy
from tests.support import inproc
from tests.support.platform import InProcess


@pytest.fixture
def yard(tmp_path: Path) -> Any:
    yard = InProcess(tmp_path)
    yield yard
    yard.close()


def ann(yard: InProcess, *statements: dict[str, Any]) -> Any:
    """A new user's client of SageMaker."""
    iam = yard.client("iam")
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=policy(allow("sagemaker:*"), *statements))
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    return inproc.client(yard.gateway, "sagemaker", key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def config(sagemaker: Any, key: str) -> str:
    """What making an endpoint configuration with this key came to: its ARN or the refusal."""
    variant = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    try:
        return sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant], KmsKeyId=key)["EndpointConfigArn"]
    except ClientError as problem:
        assert problem.response["Error"]["Code"] in ("AccessDeniedException", "ValidationException")
        return problem.response["Error"]["Message"]


def test_the_caller_needs_the_grant(yard: InProcess) -> None:
    arn = yard.client("kms").create_key()["KeyMetadata"]["Arn"]
    yard.client("kms").create_alias(AliasName="alias/volumes", TargetKeyId=arn)
    sagemaker = ann(yard, allow("kms:DescribeKey", arn))
    for ref in (arn, arn.rsplit("/", 1)[-1], "alias/volumes"):
        assert f"not authorized to perform: kms:CreateGrant on resource: {arn}" in config(sagemaker, ref)


def test_a_grant_for_aws_resources_is_enough(yard: InProcess) -> None:
    arn = yard.client("kms").create_key()["KeyMetadata"]["Arn"]
    through = {"Bool": {"kms:GrantIsForAWSResource": "true"}, "StringEquals": {"kms:ViaService": "sagemaker.us-east-1.amazonaws.com"}}
    answer = config(ann(yard, allow("kms:CreateGrant", arn, Condition=through)), arn)
    assert "CreateGrant" not in answer


def test_the_key_policy_has_its_say(yard: InProcess) -> None:
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    no = {"Effect": "Deny", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"}, "Action": "kms:CreateGrant", "Resource": "*"}
    sagemaker = ann(yard, allow("*"))
    arn = yard.client("kms").create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": [root, no]}))["KeyMetadata"]["Arn"]
    assert "explicit deny" in config(sagemaker, arn)
