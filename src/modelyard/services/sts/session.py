"""What the operations that make temporary credentials share: durations, session policies, session tags, the answer.

Source: STS API reference; IAM User Guide, "Pass session tags in AWS STS" and "Role chaining" (1 hour at most).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Credential, Principal
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam.checks import tags_of
from modelyard.services.iam.document import parse
from modelyard.services.iam.validate import identity_policy
from modelyard.services.sts import api

POLICY_CHARACTERS, MANAGED_POLICIES, PACKED_BYTES = 2048, 10, 2048
SHORTEST_S, CHAINED_S = 900, 3600
Documents = tuple[Mapping[str, Any], ...]


def invalid(message: str, code: str = "ValidationError") -> ApiError:
    return ApiError(code, message, 400)


def credentials_field(credential: Credential) -> dict[str, Any]:
    return {
        "AccessKeyId": credential.access_key,
        "SecretAccessKey": credential.secret_key,
        "SessionToken": credential.token,
        "Expiration": credential.expires_at,
    }


def role_duration(request: dict[str, Any], role: Record, chained: bool) -> float:
    """Seconds of a role's session: within 15 minutes and the role's maximum, one hour at most where a role assumes a role."""
    seconds = request.get("DurationSeconds", 3600)
    if seconds < SHORTEST_S:
        raise invalid(
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: "
            f"Member must have value greater than or equal to {SHORTEST_S}"
        )
    if chained and seconds > CHAINED_S:
        raise invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
    if seconds > role.spec.get("MaxSessionDuration", 3600):
        raise invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return float(seconds)


def session_policies(call: Call, account: str, request: dict[str, Any]) -> Documents:
    """The documents that a request passes along. `account` is whose customer-managed policies it may name."""
    found: list[Mapping[str, Any]] = []
    arns = [entry["arn"] for entry in request.get("PolicyArns", []) if entry.get("arn")]
    if len(arns) > MANAGED_POLICIES:
        raise invalid(
            f"1 validation error detected: Value at 'policyArns' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MANAGED_POLICIES}"
        )
    for arn in arns:
        document = call.platform.identity.directory.managed_document(account, arn)
        if document is None or (":iam::aws:" not in arn and f":iam::{account}:" not in arn):
            raise invalid(f"PolicyArn {arn} does not exist or is not attachable.")
        found.append(parse(document))
    if request.get("Policy"):
        if len(request["Policy"]) > POLICY_CHARACTERS:
            raise invalid(
                "1 validation error detected: Value at 'policy' failed to satisfy constraint: "
                f"Member must have length less than or equal to {POLICY_CHARACTERS}"
            )
        found.append(identity_policy(request["Policy"]))
    return tuple(found)


def check_tags(request: dict[str, Any]) -> dict[str, str]:
    """The tags of a request; raises where two differ only in case, or one takes a name that is AWS's."""
    tags, seen = tags_of(request), set()
    for number, tag in enumerate(request.get("Tags", []), 1):
        key = tag["Key"].lower()
        if key in seen:
            raise invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.", "InvalidParameterValue")
        if key.startswith("aws:"):
            raise invalid(
                f"1 validation error detected: Value '{tag['Key']}' at 'tags.{number}.member.key' failed to satisfy constraint: "
                "Member must not start with aws:"
            )
        seen.add(key)
    return tags


def chained_tags(caller: Principal, request: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """(session tags, transitive keys) of a new role session: those of the request, and what the caller's session hands on."""
    asked, transitive = check_tags(request), list(request.get("TransitiveTagKeys", []))
    lower = {key.lower() for key in asked}
    if any(key.lower() not in lower for key in transitive):
        raise invalid("The specified transitive tag key must be included in the requested tags.", "InvalidParameterValue")
    handed = {key: caller.tags[key] for key in caller.session.get("transitive", []) if key in caller.tags}
    if any(key.lower() in lower for key in handed):
        raise invalid(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
            "InvalidParameterValue",
        )
    named = [key for key in asked if key.lower() in {one.lower() for one in transitive}]
    return {**handed, **asked}, [*handed, *named]


def packed_size(request: dict[str, Any], tags: Mapping[str, str]) -> dict[str, int]:
    """PackedPolicySize, in per cent, where policies or tags are passed. Raises PackedPolicyTooLarge."""
    passed = [request.get("Policy"), [entry.get("arn") for entry in request.get("PolicyArns", [])], dict(tags)]
    if not any(passed):
        return {}
    percent = max(1, -(-len(zlib.compress(orjson.dumps(passed), 9)) * 100 // PACKED_BYTES))
    if percent > 100:
        raise api.error.PackedPolicyTooLargeException(
            f"Packed policy consumes {percent}% of allotted space, please use smaller policy or fewer session tags."
        )
    return {"PackedPolicySize": percent}
