"""PutParameter. Source: the SSM API reference; texts as the service answers them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lazily import regex
from modelyard.kernel.records import Record
from modelyard.kernel.store import Taken
from modelyard.services.ssm import api
from modelyard.services.ssm.names import arn_of, check_name
from modelyard.services.ssm.parameter import DEFAULT_KEY, PARAMETER, SECURE, change, find, newest, told_event
from modelyard.services.ssm.policies import checked_policies
from modelyard.services.ssm.public import IMAGE, images
from modelyard.services.ssm.secure import sealed
from modelyard.services.ssm.tags import checked_tags

LARGEST = {"Standard": 4096, "Advanced": 8192}
MOST_VERSIONS, MOST_STANDARD = 100, 10_000
PATTERN_SECONDS = 0.5
_AMI = re.compile(r"ami-[a-z0-9]{8,17}\Z")


@api.operation
def put_parameter(call, request):
    name = request["Name"]
    check_name(name, call.region, call.account)
    tags = checked_tags(request.get("Tags") or [], {})
    if tags and request.get("Overwrite"):
        raise validation(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. "
            "To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource."
        )
    if tags:
        call.authorize("ssm:AddTagsToResource", arn_of(name, call.region, call.account))
    while True:
        record = find(call, [name, f"/{name}" if "/" not in name else name[1:]])
        if record is not None and not request.get("Overwrite"):
            raise api.error.ParameterAlreadyExists(
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
            )
        if record is not None:
            return _overwritten(call, record, request)
        if call.store.count(PARAMETER.kind, call.account, call.region) >= MOST_STANDARD:
            raise api.error.ParameterLimitExceeded(f"An account may have at most {MOST_STANDARD} parameters in a region.")
        version = _version(call, name, request, None)
        arn = arn_of(name, call.region, call.account)
        try:
            call.store.create(
                PARAMETER,
                account=call.account,
                region=call.region,
                name=name,
                arn=arn,
                spec={"Current": version},
                tags=tags,
                detail=told_event(None, "Create", call.now(), name=name, arn=arn, version=version),
            )
        except Taken:
            continue  # somebody was faster
        return {"Version": 1, "Tier": version["Tier"]}


def _overwritten(call: Any, record: Record, request: Mapping[str, Any]) -> dict[str, Any]:
    def next_version(now: Record) -> dict[str, Any]:
        version = _version(call, now.name, request, now)
        oldest = version["Version"] - MOST_VERSIONS
        if oldest > 0 and any(number <= oldest for number in now.spec.get("Labels", {}).values()):
            raise api.error.ParameterMaxVersionLimitExceeded(
                f"You attempted to create a new version of {now.name} by calling the PutParameter API with the overwrite flag. Version {oldest}, "
                "the oldest version, can't be deleted because it has a label associated with it. Move the label to another version of the "
                "parameter, and try again."
            )
        call.platform.parameters.keep(now.uid, newest(now))  # before the newest moves: a crash in between leaves it twice, not never
        return {"Current": version}

    version = newest(change(call, record, next_version, "Update", due=True))
    if version["Version"] > MOST_VERSIONS:
        call.platform.parameters.forget(record.uid, before=version["Version"] - MOST_VERSIONS + 1)
    return {"Version": version["Version"], "Tier": version["Tier"]}


# --- helpers -------------------------------------------------------------------------------------


def _version(call: Any, name: str, request: Mapping[str, Any], record: Record | None) -> dict[str, Any]:
    """The next version, checked; its value encrypted where it is a SecureString."""
    before = newest(record) if record is not None else {}
    kind = request.get("Type") or before.get("Type")
    if kind is None:
        raise validation("A parameter type is required when you create a parameter.")
    if before and kind != before["Type"]:
        raise api.error.HierarchyTypeMismatchException(
            f"Parameter Store does not support changing a parameter type: {name} is a {before['Type']}."
        )
    kept = {member: request.get(member, before.get(member)) for member in ("Description", "AllowedPattern", "DataType")}
    request = {**request, **kept}  # what an update does not say stays as it was
    _check_value(request, kind)
    policies = checked_policies(request["Policies"], call.now()) if request.get("Policies") else before.get("Policies", [])
    version = {
        "Version": before.get("Version", 0) + 1,
        "Type": kind,
        "Value": request["Value"],
        "Tier": _tier(request, before.get("Tier"), policies),
        "DataType": _data_type(call, request, kind),
        "At": call.now(),
        "User": call.principal.arn,
        "Policies": policies,
        **{member: request[member] for member in ("Description", "AllowedPattern") if request.get(member)},
    }
    if kind == SECURE:
        ref = request.get("KeyId") or before.get("KeyId") or DEFAULT_KEY
        arn = record.arn if record is not None else arn_of(name, call.region, call.account)
        version |= {"KeyId": ref, "Value": sealed(call, ref, arn, version["Tier"], request["Value"])}
    elif request.get("KeyId"):
        raise validation("KeyId is required for SecureString type parameter only.")
    return version


def _check_value(request: Mapping[str, Any], kind: str) -> None:
    value, pattern = request["Value"], request.get("AllowedPattern")
    if not value:
        raise validation(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1"
        )
    if "{{" in value and "}}" in value.partition("{{")[2]:
        raise validation('Parameter value can\'t nest another parameter. Do not use "{{}}" in the value.')
    if not pattern:
        return
    try:
        fits = all(
            regex.fullmatch(pattern, item, timeout=PATTERN_SECONDS) is not None
            for item in (value.split(",") if kind == "StringList" else [value])
        )
    except TimeoutError:
        fits = False
    except regex.error:
        raise api.error.InvalidAllowedPatternException(f"The request does not meet the regular expression requirement: {pattern}") from None
    if not fits:
        raise api.error.ParameterPatternMismatchException(f"Parameter value, cannot be validated against allowedPattern: {pattern}")


def _tier(request: Mapping[str, Any], before: str | None, policies: list[Any]) -> str:
    size, asked = len(request["Value"].encode()), request.get("Tier") or before or "Standard"
    if asked == "Intelligent-Tiering":
        asked = "Advanced" if size > LARGEST["Standard"] or policies or before == "Advanced" else "Standard"
    if asked == "Standard" and before == "Advanced":
        raise validation(
            "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the "
            "standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter."
        )
    if size > LARGEST[asked]:
        more = (
            " To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier." if asked == "Standard" else ""
        )
        raise validation(f"{asked} tier parameters support a maximum parameter value of {LARGEST[asked]} characters.{more}")
    if policies and asked == "Standard":
        raise validation("Parameter policies are supported for the advanced-parameter tier only. Set Tier to Advanced.")
    return asked


def _data_type(call: Any, request: Mapping[str, Any], kind: str) -> str:
    asked = request.get("DataType") or "text"
    if asked == "text":
        return asked
    if asked == "aws:ssm:integration":
        raise validation(f"Modelyard has not built the data type {asked}: there is nothing to check its value against. Use text.")
    if asked == IMAGE and kind == "String":
        if not _AMI.match(request["Value"]):
            raise validation("The parameter value does not match the AMI ID format: ami- and 8 to 17 letters or digits.")
        if request["Value"] not in images(call.region):
            raise validation(f"There is no image {request['Value']}: images are those of the public parameters below /aws/service.")
        return asked
    raise validation(f"The following data type is not supported: {asked} (Data type names are all lowercase.)")
