"""What IAM checks of the ARNs in a policy, and what it says of a wrong one."""

from __future__ import annotations

PARTITIONS = ("aws", "aws-cn", "aws-us-gov", "*")
_IAM_KINDS = (
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
)
# Taken though the text does not name them: AWS's own policies have role templates.
_TAKEN_TOO = ("*", "root", "?", "role-template/")
_NO_REGION = {"iam": "IAM resource {} cannot contain region information.", "s3": "Resource {} can not contain region information."}
_S3_REGIONAL = ("accesspoint/", "job/", "storage-lens/", "accesspoint:")


def fault(resource: str) -> str | None:
    """IAM's text for an ARN that it does not take; None: it takes it."""
    if resource == "*" or resource.startswith("${"):
        return None
    parts = resource.split(":")
    if len(parts) == 1:
        return f'Resource {resource} must be in ARN format or "*".'
    if parts[1] not in PARTITIONS:
        padded = ":".join([*parts[2:6], *["*"] * (6 - len(parts)), *parts[6:]])
        return f'Partition "{parts[1]}" is not valid for resource "arn:{parts[1]}:{padded}".'
    if len(parts) == 2:
        return "Resource vendor must be fully qualified and cannot contain regexes."
    return _of_service(resource, parts)


def _of_service(resource: str, parts: list[str]) -> str | None:
    service, region = parts[2], parts[3] if len(parts) > 3 else ""
    name = ":".join(parts[5:])
    if service in _NO_REGION and region and region != "*" and not name.startswith(_S3_REGIONAL):
        return _NO_REGION[service].format(resource)
    if service == "iam" and len(parts) > 5 and name != "*" and not name.startswith(_IAM_KINDS + _TAKEN_TOO):
        return f'IAM resource path must either be "*" or start with {", ".join(_IAM_KINDS)}.'
    return None


def old_parser_takes(resource: str) -> bool:
    """The old parser wants a service, and all six parts where two colons meet."""
    parts = resource.split(":")
    return resource == "*" or len(parts) < 3 or (parts[2] != "" and (len(parts) > 5 or "::" not in resource))
