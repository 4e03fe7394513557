"""The resources of an event: ARN, owner and type, and what LookupEvents calls them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.service import Call
from modelyard.services.cloudtrail import kinds

_TYPES = {
    "iam": {
        "role": "Role",
        "user": "User",
        "group": "Group",
        "policy": "Policy",
        "instance-profile": "InstanceProfile",
        "mfa": "MFADevice",
    },
    "kms": {"key": "Key", "alias": "Alias"},
    "logs": {"log-group": "LogGroup"},
    "cloudwatch": {"alarm": "Alarm", "dashboard": "Dashboard"},
}
_VENDORS = {
    "iam": "IAM", "s3": "S3", "sagemaker": "SageMaker", "kms": "KMS", "logs": "Logs", "sns": "SNS", "sqs": "SQS", "ssm": "SSM", "sts": "STS",
    "secretsmanager": "SecretsManager", "cloudwatch": "CloudWatch",
}  # fmt: skip
_ARN_OF_NEW = {
    "kms": lambda said: said.get("KeyMetadata", {}).get("Arn"),
    "secretsmanager": lambda said: said.get("ARN"),
}
"""Services whose new resources get a name that the request does not have."""


def of_call(call: Call, arns: list[str], said: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """`arns` are those that the call asked permission for."""
    if call.service == "s3":
        return _of_s3(call, arns)
    new = _ARN_OF_NEW.get(call.service, lambda said: None)(said or {})
    if new is not None and (not arns or any(re.search(r"[*?]", arn) for arn in arns)):
        return [resource(new, call.account)]
    if not any("*" not in arn for arn in arns) and kinds.is_data(call.service, call.operation) and (kind := kinds.data_type(call.service)):
        return [{"accountId": call.account, "type": kind}]
    return [resource(re.sub(r":log-stream:\**$", "", arn), call.account) for arn in arns if "*" not in arn]


def _of_s3(call: Call, arns: list[str]) -> list[dict[str, str]]:
    """An object and its bucket; of a list of objects, what they begin with."""
    found: list[dict[str, str]] = []
    for arn in arns:
        bucket, slash, _ = arn.partition("/")
        if "*" in bucket:
            continue
        if slash:
            found.append({"type": "AWS::S3::Object", "ARN": arn})
        elif kinds.is_data("s3", call.operation):
            found.append({"type": "AWS::S3::Object", "ARNPrefix": f"{arn}/"})
        owner = call.platform.objects.owner(bucket.removeprefix("arn:aws:s3:::")) or call.account
        own = {"accountId": owner, "type": "AWS::S3::Bucket", "ARN": bucket}
        if own not in found:
            found.append(own)
    return found


def resource(arn: str, account: str) -> dict[str, str]:
    parts = arn.split(":", 5)
    owner = parts[4] if len(parts) == 6 and parts[4] else account
    return {"ARN": arn, "accountId": owner, "type": _type(parts)}


def _type(parts: list[str]) -> str:
    if len(parts) < 6:
        return "AWS::Unknown"
    service, rest = parts[2], parts[5]
    vendor = _VENDORS.get(service, _camel(service))
    if service == "s3":
        return f"AWS::S3::{'Object' if '/' in rest else 'Bucket'}"
    if service == "iam" and rest == "root":
        return "AWS::IAM::User"
    kind = re.split(r"[:/]", rest, maxsplit=1)[0] if re.search(r"[:/]", rest) else {"sns": "topic", "sqs": "queue"}.get(service, rest)
    return f"AWS::{vendor}::{_TYPES.get(service, {}).get(kind, _camel(kind))}"


def _camel(text: str) -> str:
    return "".join(piece[:1].upper() + piece[1:] for piece in re.split(r"[-_.]", text))


def name_of(arn: str) -> str:
    """A resource's own name: what follows its kind. Names of parameters, log groups and metrics are paths."""
    service, rest = arn.split(":", 5)[2], arn.split(":", 5)[-1]
    if service == "s3":
        return rest
    if service == "ssm" and rest.startswith("parameter/"):
        name = rest.removeprefix("parameter")
        return name if name.count("/") > 1 else name[1:]
    if service in ("logs", "secretsmanager") and ":" in rest:
        return rest.split(":")[1]
    return re.split(r"[:/]", rest)[-1] if re.search(r"[:/]", rest) else rest
