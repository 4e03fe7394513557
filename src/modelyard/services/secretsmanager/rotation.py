"""RotateSecret, CancelRotateSecret. A rotation is four calls of a Lambda function by the engine (upkeep.py).

Source: "Rotate AWS Secrets Manager secrets" and "Rotation by Lambda function" of the user guide.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.schedule import checked_rules
from modelyard.services.secretsmanager.secret import PENDING, change, check_alive, check_primary, request_token, staged, the_secret

_LAMBDA = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]+(:[A-Za-z0-9_$-]+)?\Z")


@api.operation
def rotate_secret(call, request):
    """Sets how it rotates, and rotates it now unless RotateImmediately is false."""
    record = the_secret(call, request["SecretId"])
    check_primary(record)
    if request.get("ExternalSecretRotationMetadata") or request.get("ExternalSecretRotationRoleArn"):
        raise api.error.InvalidParameterException("Modelyard has not built rotation of external secrets; nothing was done.")
    have = record.spec.get("Rotation") or {}
    function = request.get("RotationLambdaARN") or have.get("Lambda")
    if not function:
        raise api.error.InvalidRequestException("No Lambda rotation function ARN is associated with this secret.")
    if not _LAMBDA.match(function):
        raise api.error.InvalidParameterException(f"{function} is not the ARN of a Lambda function.")
    rules = checked_rules(request["RotationRules"]) if request.get("RotationRules") else have.get("Rules") or {}
    check_invocable(call.platform, function)
    token, at_once = request_token(request, api.error.InvalidParameterException), request.get("RotateImmediately", True)

    def rotating(now: Record) -> dict[str, Any]:
        check_alive(now)
        rotation = now.spec.get("Rotation") or {}
        if rotation.get("Run") and rotation["Run"]["Token"] != token:
            soon.append(now)
            raise api.error.InvalidRequestException("A previous rotation isn't complete. That rotation will be reattempted.")
        wanted = {"Enabled": True, "Lambda": function, "Rules": rules, "Since": call.now()}
        return begun(now, token, wanted, call.now()) if at_once else {"Rotation": wanted, "Changed": call.now()}

    soon: list[Record] = []
    try:
        record = change(call, record, rotating, due=True)
    except ApiError:
        for one in soon[-1:]:
            _again_now(call, one, function)
        raise
    return {"ARN": record.arn, "Name": record.name, **({"VersionId": token} if at_once else {})}


@api.operation
def cancel_rotate_secret(call, request):
    """No more by itself, and the one under way is given up; what it has done stays."""
    record = the_secret(call, request["SecretId"])
    cancelled: dict[str, str] = {}

    def off(now: Record) -> dict[str, Any]:
        check_alive(now)
        rotation = now.spec.get("Rotation")
        if not rotation or not rotation.get("Enabled"):
            raise api.error.InvalidRequestException("You tried to cancel the rotation of a secret for which rotation is not enabled.")
        if rotation.get("Run"):
            cancelled["VersionId"] = rotation["Run"]["Token"]
        return {"Rotation": {**rotation, "Enabled": False, "Run": None}, "Changed": call.now()}

    record = change(call, record, off, due=True)
    return {"ARN": record.arn, "Name": record.name, **cancelled}


def begun(record: Record, token: str, rotation: dict[str, Any], now: float) -> dict[str, Any]:
    """The patch that begins a rotation: an empty version, pending, which the function fills."""
    versions = record.spec["Versions"]
    if token not in versions:
        versions = staged({**versions, token: {"Value": None, "At": now, "Stages": [], "Key": "DefaultEncryptionKey"}}, token, [PENDING])
    return {"Versions": versions, "Changed": now, "Rotation": {**rotation, "Run": {"Token": token, "At": now, "Tries": 0, "Next": now}}}


def _again_now(call: Any, record: Record, function: str) -> None:
    """The rotation that failed is tried again at once, by the function that is named now."""
    run = {**record.spec["Rotation"]["Run"], "Next": call.now()}
    with suppress(Moved):
        call.store.request(record, {"Rotation": {**record.spec["Rotation"], "Lambda": function, "Run": run}})


def check_invocable(platform: Any, function: str) -> None:
    """As AWS answers for a function that it cannot invoke."""
    if not any("lambda" in one.target_names and one.target_function is not None for one in platform.services.values()):
        raise ApiError(
            "AccessDeniedException",
            "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal "
            f"secretsmanager.amazonaws.com. Modelyard has not built AWS Lambda yet: {function} does not exist; nothing was done.",
            400,
        )
