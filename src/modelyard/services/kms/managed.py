"""AWS-managed keys: one per account, region and service, made when it is first used."""

from __future__ import annotations

import json
import uuid
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Store, Taken
from modelyard.services.kms.aliases import ALIAS, alias_arn
from modelyard.services.kms.keyring import KEY
from modelyard.services.kms.making import first_material, key_arn
from modelyard.services.kms.policy import service_policy
from modelyard.services.kms.root import Root

_SPACE = uuid.UUID("5d3f9c52-6f0e-4c1b-9c69-3a6a1c0b7e11")
_HOLDS = {"s3": "S3 objects", "ssm": "SSM parameters", "secretsmanager": "Secrets Manager data", "sqs": "SQS messages", "sns": "SNS messages",
          "lambda": "Lambda functions", "ebs": "EBS volumes", "ecr": "ECR images", "dynamodb": "DynamoDB tables", "codecommit": "CodeCommit repositories",
          "kinesis": "Kinesis data", "glue": "Glue data", "rds": "RDS data", "elasticfilesystem": "EFS file systems"}  # fmt: skip
PREFIX = "alias/aws/"


def managed_alias(ref: str, account: str, region: str) -> str | None:
    """`alias/aws/…` where `ref` is one that this platform makes, else None."""
    name = ref.removeprefix(alias_arn(account, region, ""))
    return name if name.startswith(PREFIX) and name[len(PREFIX) :] in _HOLDS else None


def ensure_managed(platform: Any, root: Root, account: str, region: str, alias: str) -> Record:
    """Its id follows from account, region and alias, so that processes which make it at the same time make one."""
    store: Store = platform.store
    name = str(uuid.uuid5(_SPACE, f"{account} {region} {alias}"))
    key = store.get(KEY.kind, account, region, name)
    if key is None:
        key = _make(platform, root, account, region, name, alias)
    if store.get(ALIAS.kind, account, region, alias) is None:
        try:
            arn = alias_arn(account, region, alias)
            store.create(ALIAS, account=account, region=region, name=alias, arn=arn, spec={"TargetKeyId": name})
        except Taken:
            pass
    return key


def _make(platform: Any, root: Root, account: str, region: str, name: str, alias: str) -> Record:
    service, arn, now = alias[len(PREFIX) :], key_arn(account, region, name), platform.clock.now()
    spec = {
        "Description": f"Default key that protects my {_HOLDS[service]} when no other key is defined",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "Origin": "AWS_KMS",
        "Manager": "AWS",
        "Alias": alias,
        "Enabled": True,
        "Policy": json.dumps(service_policy(account, region, service), indent=2),
        "Rotation": {"Period": 365, "From": now},
    }
    state = {"Materials": [first_material(root, arn, "SYMMETRIC_DEFAULT", now)]}
    try:
        return platform.store.create(KEY, account=account, region=region, name=name, arn=arn, spec=spec, state=state)
    except Taken as taken:
        return taken.record
