"""GetSecretValue, BatchGetSecretValue, DescribeSecret, ListSecretVersionIds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.filters import matching
from modelyard.services.secretsmanager.replicas import told_replication
from modelyard.services.secretsmanager.schedule import next_rotation, rotation_enabled
from modelyard.services.secretsmanager.secret import CURRENT, check_reachable, find, holder, no_secret, opened, the_secret

DAY = 86400.0


@api.operation
def get_secret_value(call, request):
    record = the_secret(call, request["SecretId"])
    return _told_value(call, record, request.get("VersionId"), request.get("VersionStage"))


@api.operation
def batch_get_secret_value(call, request):
    """Secret by secret: what the caller may not read, or what is not there, stands among the errors."""
    ids, filters = request.get("SecretIdList"), request.get("Filters")
    if bool(ids) == bool(filters):
        raise api.error.InvalidParameterException("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
    more: dict[str, Any] = {}
    if ids:
        if request.get("MaxResults") or request.get("NextToken"):
            raise api.error.InvalidParameterException(
                "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided."
            )
        wanted = list(ids)
    else:
        limit, after = (
            request.get("MaxResults") or 20,
            decode_token(request.get("NextToken"), api.error.InvalidNextTokenException, "") or "",
        )
        names = sorted(one.name for one in matching(call, filters) if one.name > after and not one.spec.get("Deletion"))
        wanted, more = names[:limit], {"NextToken": encode_token(names[limit - 1])} if len(names) > limit else {}
    found, errors = [], []
    for given in wanted:
        try:
            record = find(call, given)
            call.authorize("secretsmanager:GetSecretValue", record.arn if record else _as_arn(call, given))
            found.append(_told_value(call, the_secret(call, given), None, None))
        except ApiError as problem:
            errors.append({"SecretId": given, "ErrorCode": problem.code, "Message": problem.message})
    return {"SecretValues": found, "Errors": errors, **more}


@api.operation
def describe_secret(call, request):
    record = the_secret(call, request["SecretId"], deleted=True)
    told = described(call, record)
    versions = {name: version["Stages"] for name, version in record.spec["Versions"].items() if version["Stages"]}
    return {**told, **({"VersionIdsToStages": versions} if versions else {})}


@api.operation
def list_secret_version_ids(call, request):
    record = the_secret(call, request["SecretId"], deleted=True)
    after = decode_token(request.get("NextToken"), api.error.InvalidNextTokenException, [0.0, ""]) or [-1.0, ""]
    limit, whole = request.get("MaxResults") or 100, request.get("IncludeDeprecated")
    versions = sorted(record.spec["Versions"].items(), key=lambda item: (item[1]["At"], item[0]))
    read = record.spec.get("Read", {})
    left = [(name, one) for name, one in versions if (whole or one["Stages"]) and [one["At"], name] > after]
    told = [
        {
            "VersionId": name,
            "CreatedDate": one["At"],
            "KmsKeyIds": [one["Key"]],
            **({"LastAccessedDate": read[name]} if name in read else {}),
            **({"VersionStages": one["Stages"]} if one["Stages"] else {}),
        }
        for name, one in left[:limit]
    ]
    more = {"NextToken": encode_token([left[limit - 1][1]["At"], left[limit - 1][0]])} if len(left) > limit else {}
    return {"Versions": told, "ARN": record.arn, "Name": record.name, **more}


# --- helpers -------------------------------------------------------------------------------------


def described(call: Any, record: Record) -> dict[str, Any]:
    """What DescribeSecret and ListSecrets tell alike."""
    spec, rotation = record.spec, record.spec.get("Rotation") or {}
    told: dict[str, Any] = {
        "ARN": record.arn,
        "Name": record.name,
        "LastChangedDate": spec["Changed"],
        "CreatedDate": record.created_at,
        **{member: spec[member] for member in ("Description", "KmsKeyId") if spec.get(member)},
    }
    if (tags := call.store.tags(record.arn)) or spec.get("Tagged"):
        told["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    if spec.get("Accessed"):
        told["LastAccessedDate"] = spec["Accessed"]
    if spec.get("Rotated"):
        told["LastRotatedDate"] = spec["Rotated"]
    told |= told_replication(call.store, record)
    if spec.get("Deletion"):
        told["DeletedDate"] = spec["Deletion"]["At"]
    if rotation:
        told |= {"RotationEnabled": rotation_enabled(record), "RotationLambdaARN": rotation["Lambda"], "RotationRules": rotation["Rules"]}
        if (when := next_rotation(record)) is not None:
            told["NextRotationDate"] = when
    return told


def value_of(call: Any, record: Record, version: str) -> str | bytes | None:
    """The bare value of a version; None where it has none."""
    row = record.spec["Versions"][version]["Value"]
    content = call.platform.secrets.get(row) if row else None
    if content is None:
        return None
    found = opened(call.platform.kms, record.arn, version, content, call)
    return found.get("SecretString", found.get("SecretBinary"))


def _told_value(call: Any, record: Record, version: str | None, stage: str | None) -> dict[str, Any]:
    check_reachable(call, record, record.spec.get("KmsKeyId"))
    versions: Mapping[str, Any] = record.spec["Versions"]
    if version is None:
        stage = stage or CURRENT
        name = holder(versions, stage)
        if name is None or versions[name]["Value"] is None:
            raise api.error.ResourceNotFoundException(f"Secrets Manager can't find the specified secret value for staging label: {stage}")
    else:
        name = version
        if name not in versions or versions[name]["Value"] is None:
            raise api.error.ResourceNotFoundException(f"Secrets Manager can't find the specified secret value for VersionId: {name}")
        if stage is not None and stage not in versions[name]["Stages"]:
            raise api.error.InvalidRequestException("You provided a VersionStage that is not associated to the provided VersionId.")
    content = call.platform.secrets.get(versions[name]["Value"])
    if content is None:
        raise no_secret()  # deleted in this moment
    told = opened(call.platform.kms, record.arn, name, content, call)
    _accessed(call, record, name)
    stages = {"VersionStages": versions[name]["Stages"]} if versions[name]["Stages"] else {}
    return {"ARN": record.arn, "Name": record.name, "VersionId": name, "CreatedDate": versions[name]["At"], **stages, **told}


def _accessed(call: Any, record: Record, version: str) -> None:
    """The day of the last access: written once a day for a version, and not worth a retry."""
    day = call.now() // DAY * DAY
    read = record.spec.get("Read", {})
    if record.spec.get("Accessed") != day or read.get(version) != day:
        read = {name: when for name, when in {**read, version: day}.items() if name in record.spec["Versions"]}
        try:
            call.store.request(record, {"Accessed": day, "Read": read}, due=False)
        except Moved:
            return


def _as_arn(call: Any, given: str) -> str:
    return given if given.startswith("arn:") else f"arn:aws:secretsmanager:{call.region}:{call.account}:secret:{given}"
