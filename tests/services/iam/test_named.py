"""Policies of resources mean the users and roles that they named when they were put, not later ones of the same name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"


@pytest.fixture
def yard(tmp_path: Path) -> Any:
    made = InProcess(tmp_path)
    yield made
    made.close()


def new_ann(yard: InProcess) -> tuple[Callable[[str], Any], str]:
    """Makes ann (again); answers clients of hers and her unique id."""
    iam = yard.client("iam")
    try:
        for key in iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]:
            iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName="ann")
    except iam.exceptions.NoSuchEntityException:
        pass
    user_id, key = iam.create_user(UserName="ann")["User"]["UserId"], iam.create_access_key(UserName="ann")["AccessKey"]
    return lambda service: inproc.client(yard.gateway, service, key=key["AccessKeyId"], secret=key["SecretAccessKey"]), user_id


def statement(action: str, resource: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": ANN}, "Action": action, "Resource": resource}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def bucket(yard: InProcess) -> tuple[Any, Any, Any]:
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="x", Body=b"x")
    text = policy(statement("s3:GetObject", "arn:aws:s3:::bucket/*"))
    return (
        lambda: s3.put_bucket_policy(Bucket="bucket", Policy=text),
        lambda ann: ann("s3").get_object(Bucket="bucket", Key="x"),
        lambda: s3.get_bucket_policy(Bucket="bucket")["Policy"],
    )


def queue(yard: InProcess) -> tuple[Any, Any, Any]:
    sqs = yard.client("sqs")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    text = policy(statement("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:queue"))
    return (
        lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": text}),
        lambda ann: ann("sqs").send_message(QueueUrl=url, MessageBody="x"),
        None,
    )


def topic(yard: InProcess) -> tuple[Any, Any, Any]:
    sns = yard.client("sns")
    arn = sns.create_topic(Name="topic")["TopicArn"]
    return (
        lambda: sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy(statement("sns:Publish", arn))),
        lambda ann: ann("sns").publish(TopicArn=arn, Message="x"),
        None,
    )


def key(yard: InProcess) -> tuple[Any, Any, Any]:
    kms = yard.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    account = {**statement("kms:*"), "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    return (
        lambda: kms.put_key_policy(KeyId=arn, Policy=policy(account, statement("kms:Encrypt"))),
        lambda ann: ann("kms").encrypt(KeyId=arn, Plaintext=b"x"),
        lambda: kms.get_key_policy(KeyId=arn)["Policy"],
    )


def secret(yard: InProcess) -> tuple[Any, Any, Any]:
    secrets = yard.client("secretsmanager")
    arn = secrets.create_secret(Name="secret", SecretString="x")["ARN"]
    return (
        lambda: secrets.put_resource_policy(SecretId=arn, ResourcePolicy=policy(statement("secretsmanager:DescribeSecret"))),
        lambda ann: ann("secretsmanager").describe_secret(SecretId=arn),
        lambda: secrets.get_resource_policy(SecretId=arn)["ResourcePolicy"],
    )


@pytest.mark.parametrize("resource", [bucket, queue, topic, key, secret])
def test_a_user_made_again_is_not_the_one_named(yard: InProcess, resource: Callable[[InProcess], tuple[Any, Any, Any]]) -> None:
    put, use, shown = resource(yard)
    ann, first = new_ann(yard)
    put()
    use(ann)
    ann, second = new_ann(yard)
    with pytest.raises(ClientError, match="not authorized"):
        use(ann)
    if shown is not None:
        assert first in shown() and ANN not in shown()
    put()
    use(ann)
    if shown is not None:
        assert ANN in shown() and second not in shown()
